"""Nothing half-written, nothing of a person's lost, nothing left behind."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest
from processes import at_once, killed_after

from spinalroots.errors import InputError
from spinalroots.files import (
    alone,
    files_together,
    folder_in_one_piece,
    require_free,
    write_bytes,
    write_json,
    write_text,
)


def content(folder):
    """Relative name → text of every file below `folder`, hidden ones included, the list not."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".spinalroots"
    }


def add(folder, of="scan 1", **files):
    with files_together(folder, of=of) as staging:
        for name, text in files.items():
            write_text(staging / name.replace("__", "/"), text)


def put(folder, **files):
    with folder_in_one_piece(folder) as staging:
        for name, text in files.items():
            write_text(staging / name, text)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"value": 1})
    with pytest.raises(TypeError):
        write_json(path, {"value": object()})
    assert path.read_text(encoding="utf-8") == '{\n  "value": 1\n}\n'
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_what_a_killed_write_left_is_used_up_by_the_next(tmp_path):
    (tmp_path / ".a.txt.part").write_text("half of a long text", encoding="utf-8")
    write_text(tmp_path / "a.txt", "new")
    assert content(tmp_path) == {"a.txt": "new"}


def test_writers_of_one_file_at_once_leave_one_s_whole(tmp_path):
    path = tmp_path / "a.txt"

    def write_often(letter):
        for _ in range(50):
            write_text(path, letter * 10_000)

    assert at_once(*(partial(write_often, letter) for letter in "abc")) == [0, 0, 0]
    text = path.read_text(encoding="utf-8")
    assert text in [letter * 10_000 for letter in "abc"]
    assert list(content(tmp_path)) == ["a.txt"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "data"
    with folder_in_one_piece(target) as staging:
        write_text(staging / "a.txt", "first")
        assert not target.exists()
    with pytest.raises(TypeError), folder_in_one_piece(target) as staging:
        write_json(staging / "a.json", object())
    assert content(tmp_path) == {"data/a.txt": "first"}
    put(target, b="third")
    assert content(tmp_path) == {"data/b": "third"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["data"]


def test_a_folder_with_a_person_s_files_is_not_replaced(tmp_path):
    target = tmp_path / "data"
    target.mkdir()
    write_text(target / "scan.nii.gz", "scan")
    with pytest.raises(InputError, match=r"scan.nii.gz: .* a file that the pipeline did not write"):
        put(target, a="new")
    shutil.rmtree(target)
    put(target, a="own")
    write_text(target / "notes" / "mine.txt", "notes")
    with pytest.raises(InputError, match=r"notes/mine.txt"):
        put(target, a="new")
    assert content(tmp_path) == {"data/a": "own", "data/notes/mine.txt": "notes"}


def test_a_person_s_folder_is_not_taken_for_the_pipeline_s_own(tmp_path):
    add(tmp_path / "out", a="a result")
    write_text(tmp_path / "out" / "notes.txt", "notes")
    with pytest.raises(InputError, match=r"notes.txt"):
        put(tmp_path / "out", b="new")
    assert content(tmp_path / "out") == {"a": "a result", "notes.txt": "notes"}


@pytest.mark.parametrize("write", [add, put])
def test_a_link_to_a_folder_stays_and_its_target_is_written(tmp_path, write):
    disk = tmp_path / "disk" / "data"
    disk.mkdir(parents=True)
    link = tmp_path / "repository" / "data"
    link.parent.mkdir()
    link.symlink_to(disk)
    for text in ("first", "second"):
        write(link, a=text)
        assert link.is_symlink()
        assert content(disk) == {"a": text}
    assert [entry.name for entry in link.parent.iterdir()] == ["data"]
    assert [entry.name for entry in disk.parent.iterdir()] == ["data"]


@pytest.mark.parametrize("write", [add, put])
def test_a_link_to_a_disk_that_is_not_there_is_told(tmp_path, write):
    (tmp_path / "data").symlink_to(tmp_path / "unmounted" / "data")
    with pytest.raises(InputError, match="a place that can be written to"):
        write(tmp_path / "data", a="new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("umask", [0o077, 0o002, 0o027])
@pytest.mark.parametrize("write", [add, put])
def test_umask_is_followed(tmp_path, write, umask):
    out, before = tmp_path / "out", os.umask(umask)
    try:
        write(out, a="text")
    finally:
        os.umask(before)
    assert out.stat().st_mode & 0o777 == 0o777 & ~umask
    assert {path.stat().st_mode & 0o777 for path in out.iterdir()} == {0o666 & ~umask}


def test_files_appear_together_beside_those_that_are_there(tmp_path):
    folder = tmp_path / "deep" / "out"

    def fail():
        with files_together(folder, of="scan 1") as staging:
            write_text(staging / "a.txt", "half")
            write_json(staging / "b.json", object())

    with pytest.raises(TypeError):
        fail()
    assert not any(tmp_path.iterdir())
    add(folder, a="old", sub__c="old")
    write_text(folder / "other.txt", "kept")
    with pytest.raises(TypeError):
        fail()
    with files_together(folder, of="scan 1") as staging:
        write_text(staging / "a", "new")
        write_text(staging / "sub" / "c", "new")
        assert (folder / "a").read_text(encoding="utf-8") == "old"
    assert content(folder) == {"a": "new", "sub/c": "new", "other.txt": "kept"}


@pytest.mark.parametrize("edited", ["a", "sub/c"])
def test_a_corrected_file_is_never_overwritten(tmp_path, edited):
    add(tmp_path, a="mask", sub__c="mask", d="mask")
    write_text(tmp_path / edited, "corrected")
    before = content(tmp_path)
    with pytest.raises(InputError, match=f"{edited}: .*changed since.*Give another folder"):
        add(tmp_path, a="new", sub__c="new", d="new")
    with pytest.raises(InputError, match=edited):
        require_free(tmp_path, ["a", "sub/c"], of="scan 1")
    assert content(tmp_path) == before


def test_a_file_that_a_person_put_there_is_never_overwritten(tmp_path):
    write_text(tmp_path / "a", "a person's")
    (tmp_path / "b").mkdir()
    for name in ("a", "b"):
        with pytest.raises(InputError, match=f"{name}: .*did not write"):
            add(tmp_path, **{name: "new"})
    assert content(tmp_path) == {"a": "a person's"}
    assert not (tmp_path / ".spinalroots").exists()


def test_results_of_two_sources_under_one_name_do_not_mix(tmp_path):
    add(tmp_path, of="predict image.nii.gz 1", a="first", b="first")
    with pytest.raises(InputError, match=r"something else \(predict image.nii.gz 1\)"):
        add(tmp_path, of="predict image.nii.gz 2", a="second", c="second")
    with pytest.raises(InputError, match="something else"):
        require_free(tmp_path, ["a"], of="predict image.nii.gz 2")
    require_free(tmp_path, ["a", "c"], of="predict image.nii.gz 1")
    assert content(tmp_path) == {"a": "first", "b": "first"}


def test_an_earlier_result_of_the_same_source_that_is_not_made_again_goes(tmp_path):
    add(tmp_path, a="first", b="first", c="first")
    add(tmp_path, of="scan 2", d="of another")
    write_text(tmp_path / "c", "corrected")
    add(tmp_path, a="second")
    assert content(tmp_path) == {"a": "second", "c": "corrected", "d": "of another"}


def test_a_moved_folder_still_knows_its_files_and_a_copied_file_is_a_person_s(tmp_path):
    add(tmp_path / "here", a="first")
    shutil.move(tmp_path / "here", tmp_path / "there")
    add(tmp_path / "there", a="second")
    shutil.copy(tmp_path / "there" / "a", tmp_path / "a")
    with pytest.raises(InputError):
        add(tmp_path, a="third")
    add(tmp_path, a="second")  # to the byte what is there: nothing to lose


def test_a_list_that_a_kill_cut_short_loses_its_last_line_only(tmp_path):
    add(tmp_path, a="first", b="first")
    path = tmp_path / ".spinalroots"
    path.write_bytes(path.read_bytes()[:-30])
    add(tmp_path, of="scan 2", c="first")
    add(tmp_path, of="scan 2", c="second")
    assert content(tmp_path)["c"] == "second"


@pytest.mark.parametrize("renames", range(9))
@pytest.mark.parametrize("write", [add, put])
def test_a_kill_leaves_old_or_new_and_the_next_run_tidies_up(tmp_path, write, renames):
    """Three renames, or four, make the new files, the next ones put them in place."""
    out = tmp_path / "out"
    old, new = dict.fromkeys("abc", "old"), dict.fromkeys("abc", "new")
    write(out, **old)
    code = killed_after(renames, lambda: write(out, **new))
    assert code == (-signal.SIGKILL if renames < (8 if write is add else 5) else 0)
    if write is add:
        add(out, of="scan 2", z="z")
        (out / "z").unlink()
    else:
        put(tmp_path / "beside", z="z")
        shutil.rmtree(tmp_path / "beside")
    assert content(out) in (old, new)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert sorted(path.name for path in out.iterdir()) == [".spinalroots", "a", "b", "c"]
    write(out, **dict.fromkeys("abc", "again"))
    assert content(out) == dict.fromkeys("abc", "again")


def test_what_a_person_put_there_after_a_kill_is_not_overwritten_by_the_tidying(tmp_path):
    add(tmp_path, a="old", b="old")
    assert killed_after(5, lambda: add(tmp_path, a="new", b="new")) == -signal.SIGKILL
    write_text(tmp_path / "b", "corrected")
    with pytest.raises(InputError, match="b: "):
        add(tmp_path, a="newer", b="newer")
    assert content(tmp_path) == {"a": "new", "b": "corrected"}


@pytest.mark.parametrize("writer", [add, put])
def test_a_live_run_s_files_on_their_way_are_never_touched(tmp_path, writer):
    with files_together(tmp_path, of="scan 1") as staging:
        write_text(staging / "a", "on its way")
        writer(tmp_path if writer is add else tmp_path / "other", **{"b": "done"})
        assert (staging / "a").is_file()
    assert (tmp_path / "a").is_file()
    with folder_in_one_piece(tmp_path / "data") as staging:
        writer(tmp_path / "more", **{"b": "done"})
        write_text(staging / "a", "on its way")
    assert content(tmp_path / "data") == {"a": "on its way"}


def test_a_mount_point_is_told_before_the_work():
    mounted = next(Path(place) for place in ("/dev/shm", "/proc") if os.path.ismount(place))
    before = {path.name for path in mounted.iterdir() if path.name.startswith(".spinalroots")}
    with pytest.raises(InputError, match="a mount point"), folder_in_one_piece(mounted):
        pytest.fail("the work has begun")
    assert {
        path.name for path in mounted.iterdir() if path.name.startswith(".spinalroots")
    } == before


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EXDEV, errno.EACCES, errno.ENOSPC])
@pytest.mark.parametrize("write", [add, put])
def test_a_place_that_refuses_the_last_step_is_told_and_nothing_left(
    tmp_path, monkeypatch, write, code
):
    out = tmp_path / "out"
    write(out, a="old")
    real = os.replace

    def refuse(source, target):
        if Path(target) in (out, out / "a"):
            raise OSError(code, os.strerror(code))
        real(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    if write is put:  # the old folder comes back from where it was set aside
        monkeypatch.setattr(
            os, "replace", lambda s, t: refuse(s, t) if "old" not in Path(s).parts else real(s, t)
        )
    with pytest.raises(InputError, match="a place that can be written to"):
        write(out, a="new")
    assert content(tmp_path) == {"out/a": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("write", [add, put])
def test_a_full_disk_is_told_and_nothing_left(tmp_path, write):
    def fill():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        with pytest.raises(InputError, match="a place that can be written to"):
            write(tmp_path / "out", a="x" * 5000)

    assert at_once(fill) == [0]
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("write", [files_together, folder_in_one_piece])
def test_a_disk_that_is_full_for_a_library_is_told_too_but_no_other_error(tmp_path, write):
    options = {"of": "scan 1"} if write is files_together else {}
    with pytest.raises(InputError, match="Free some space"), write(tmp_path / "out", **options):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(FileNotFoundError), write(tmp_path / "out", **options) as staging:
        (staging / "input").read_bytes()
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("write", [files_together, folder_in_one_piece])
def test_what_is_full_is_named_though_it_is_another_place(tmp_path, monkeypatch, write):
    options = {"of": "scan 1"} if write is files_together else {}
    full = os.statvfs_result((4096, 4096, 9, 0, 0, 9, 9, 9, 0, 255))
    real, elsewhere = os.statvfs, Path(tempfile.gettempdir())
    monkeypatch.setattr(os, "statvfs", lambda p: full if Path(p) == elsewhere else real(p))
    with pytest.raises(InputError) as told, write(tmp_path / "out", **options):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert told.value.where == str(elsewhere)


@pytest.mark.parametrize(("blocks", "writes"), [(9, False), (2**20, True)])
def test_no_half_of_byte_code_is_left_on_a_disk_that_is_nearly_full(blocks, writes):
    full = (
        f"os.statvfs = lambda _: os.statvfs_result((4096, 4096, 9, 9, {blocks}, 9, 9, 9, 0, 255))"
    )
    asked = "print(not sys.dont_write_bytecode)"
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", f"import os, sys; {full}; import spinalroots; {asked}"]
    done = subprocess.run(command, env=kept, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.strip() == str(writes)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
@pytest.mark.parametrize("write", [add, put])
def test_a_read_only_place_is_told(tmp_path, write):
    tmp_path.chmod(0o555)
    with pytest.raises(InputError, match="Permission denied"):
        write(tmp_path / "out", a="new")
    assert not any(tmp_path.iterdir())


def test_a_name_that_is_too_long_is_told_as_such(tmp_path):
    with pytest.raises(InputError, match=r"too long.*shorter"):
        write_bytes(tmp_path / ("x" * 300), b"")


def test_whoever_is_alone_with_a_path_is_alone(tmp_path):
    path = tmp_path / "number.txt"
    write_text(path, "0")

    def count():
        for _ in range(100):
            with alone(path):
                write_text(path, str(int(path.read_text(encoding="utf-8")) + 1))

    assert at_once(count, count, count) == [0, 0, 0]
    assert content(tmp_path) == {"number.txt": "300"}
