"""A folder of data as a version that DVC holds, also after a DVC that was killed."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import yaml

from spinalroots.errors import InputError
from spinalroots.pipeline.interrupted import mended


def versioned(folder: Path) -> bool:
    """Whether DVC has the folder as it is now, or there is no DVC to have it."""
    record = folder.with_name(f"{folder.name}.dvc")
    if not Path(".dvc").is_dir() or not _is_whole(record):
        return not Path(".dvc").is_dir()
    status = [sys.executable, "-m", "dvc", "status", "--quiet", str(record)]
    return subprocess.run(status).returncode == 0


def _is_whole(record: Path) -> bool:
    """Whether a `.dvc` file says which version its folder has; one that was cut short does not."""
    try:
        (out,) = yaml.safe_load(record.read_text(encoding="utf-8"))["outs"]
        return bool(out["md5"] and out["path"])
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
        return False


def version(folder: Path) -> None:
    """Put a folder under DVC, which also keeps it out of git; a killed DVC's traces go first."""
    if not Path(".dvc").is_dir():
        print(f"No DVC repository here: {folder} is not versioned.")
        return
    record = folder.with_name(f"{folder.name}.dvc")
    with suppress(InputError):  # a DVC is at work: then nothing was left by a dead one
        print("".join(f"{line}\n" for line in mended()), end="")
        if record.is_file() and not _is_whole(record):
            record.unlink()
            print(f"{record}: half-written by a DVC that was killed; removed.")
    done = subprocess.run([sys.executable, "-m", "dvc", "add", "--quiet", str(folder)])
    if done.returncode:
        raise InputError(
            folder,
            expected="DVC to take the folder as a new version",
            found=f"`dvc add` ended with {done.returncode} (its message is above)",
            fix=f"The data is written; when the cause is mended, run: dvc add {folder}",
        )
    print(f"DVC holds it as a new version; keep it with: git add {folder}.dvc && git commit")
    print("To train and test on it: dvc exp run -S data.source=ingested")
