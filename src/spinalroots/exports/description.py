"""What an export's folder says of itself, and whether it may be used.

An export is a folder with `export.json` and the files of its runtime; nothing in it is a pickle.
`export.json` names the sha256 of everything that the export was made from and of the export's own
files, so that it never answers for other weights, nor after it was damaged.
"""

from collections.abc import Mapping
from pathlib import Path

from spinalroots.errors import InputError
from spinalroots.files import sha256
from spinalroots.registry.variants import Precision, Runtime, Variant
from spinalroots.settings.base import Section, read_record

DESCRIPTION = "export.json"
FILES = {
    Runtime.PYTORCH: ("model.safetensors",),
    Runtime.OPENVINO: ("model.xml", "model.bin"),
    Runtime.ONNXRUNTIME: ("model.onnx",),
}
"""What a runtime reads; it is given the first."""
REMAKE = "Run `dvc repro package`, which exports the models again, or `dvc pull`."


class Description(Section):
    """The content of `export.json`.

    `input_shape`: (C, *spatial) of one network input. `made_from`: file of the trained model →
    sha256; `calibration`: sha256 of the inputs that int8 ranges come from, empty without. `files`:
    own file → sha256.
    """

    model: str
    runtime: Runtime
    precision: Precision
    input_shape: tuple[int, ...]
    made_from: dict[str, str]
    calibration: str
    files: dict[str, str]

    @property
    def variant(self) -> Variant:
        """Precision and runtime."""
        return Variant(self.precision, self.runtime)


def read_description(folder: Path, made_from: Mapping[str, str]) -> Description:
    """The description of an export that is whole and was made from these files.

    :param made_from: file of the trained model → sha256, as it is now.
    :raises InputError: there is no export, it is damaged or half there, or it was made from others.
    """
    path = Path(folder) / DESCRIPTION
    described = read_record(path, Description, expected="an export", fix=REMAKE)
    if described.made_from != dict(made_from):
        others = [
            name for name, digest in made_from.items() if described.made_from.get(name) != digest
        ]
        raise InputError(
            path,
            expected="an export of the model's present weights",
            found=f"one that was made from another {' and '.join(others) or 'model'}",
            fix=REMAKE,
        )
    for name in FILES[described.runtime]:
        file = Path(folder) / name
        if not file.is_file() or sha256(file) != described.files.get(name):
            raise InputError(
                file,
                expected=f"the file that {DESCRIPTION} describes",
                found="another one" if file.is_file() else "no such file",
                fix=REMAKE,
            )
    return described
