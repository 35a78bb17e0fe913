import pytest

from spinalroots.files import files_together, folder_in_one_piece, write_json, write_text


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"value": 1})
    with pytest.raises(TypeError):
        write_json(path, {"value": object()})
    assert path.read_text(encoding="utf-8") == '{\n  "value": 1\n}\n'
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "data"
    with folder_in_one_piece(target) as staging:
        write_text(staging / "a.txt", "first")
        assert not target.exists()
    with pytest.raises(TypeError), folder_in_one_piece(target) as staging:
        write_json(staging / "a.json", object())
    assert (target / "a.txt").read_text(encoding="utf-8") == "first"
    with folder_in_one_piece(target) as staging:
        write_text(staging / "b.txt", "third")
    assert [entry.name for entry in target.iterdir()] == ["b.txt"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["data"]


def _write_and_fail(folder):
    with files_together(folder) as staging:
        write_text(staging / "a.txt", "half")
        write_json(staging / "b.json", object())


def test_files_appear_together_beside_those_that_are_there(tmp_path):
    folder = tmp_path / "out"
    with pytest.raises(TypeError):
        _write_and_fail(folder)
    assert not folder.exists()
    folder.mkdir()
    write_text(folder / "a.txt", "old")
    write_text(folder / "other.txt", "kept")
    with pytest.raises(TypeError):
        _write_and_fail(folder)
    assert (folder / "a.txt").read_text(encoding="utf-8") == "old"
    with files_together(folder) as staging:
        write_text(staging / "a.txt", "new")
        assert (folder / "a.txt").read_text(encoding="utf-8") == "old"
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert found == {"a.txt": "new", "other.txt": "kept"}
