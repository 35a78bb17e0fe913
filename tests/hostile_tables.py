"""Hostile text and masks: curves, discs, parameters, scores, sidecars, BIDS folders, requests."""

# ruff: noqa: E501
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from hostile import add, file
from lab_scans import RAS, SHAPE
from scan_files import nifti, tube

POINTS = [[0.0, -15.0, -35.0], [0.5, -15.0, -30.0]]


def _curve(points=POINTS, radius=None, **more: Any) -> bytes:
    markup = {
        "type": "Curve",
        "coordinateSystem": "LPS",
        "controlPoints": [{"position": point} for point in points],
        **more,
    }
    if radius is not None:
        markup["measurements"] = [{"name": "radius", "controlPointValues": radius}]
    return json.dumps({"markups": [markup]}).encode()


LONG = [[0.0, -15.0, float(z)] for z in range(-(10**5), 10**5, 20000)]
CURVES: dict[str, bytes] = {
    "as they should be": _curve(),
    "nothing": b"",
    "no JSON": b"{",
    "deep JSON": b"[" * 10**5,
    "deep objects": b'{"markups":' * 10**5,
    "a list": b"[]",
    "markups in words": b'{"markups": "two"}',
    "a markup that is a number": b'{"markups": [1]}',
    "two curves": b'{"markups": [{"type": "Curve"}, {"type": "Curve"}]}',
    "no points": _curve([]),
    "NaN": _curve([[float("nan")] * 3] * 2),
    "infinities": _curve([[1e400, 0, 0]] * 2),
    "a long number": b'{"markups": [{"type": "Curve", "coordinateSystem": "LPS", "controlPoints": '
    b'[{"position": [' + b"9" * 5000 + b", 1, 1]}]}]}",
    "points of two numbers": _curve([[1, 2], [3, 4]]),
    "points in words": _curve([["here", "and", "there"]] * 2),
    "points that are none": _curve(controlPoints=[1, None, "x"]),
    "points in an object": _curve(controlPoints={"a": 1}),
    "an unknown space": _curve(coordinateSystem="XYZ"),
    "metres": _curve(coordinateUnits="m"),
    "a space in a list": _curve(coordinateSystem=["LPS"]),
    "one point twice": _curve([POINTS[0]] * 5),
    "kilometres": _curve(LONG),
    "points far away": _curve([[1e12, 0, 0], [1e12, 1, 0]]),
    "a radius of NaN": _curve(radius=[float("nan")] * 2),
    "a radius of metres": _curve(radius=[4000.0] * 2),
    "a negative radius": _curve(radius=[-1.0] * 2),
    "too many radii": _curve(radius=[1.0] * 2000),
    "radii in words": _curve(radius=["thin", "thick"]),
    "measurements in words": _curve(measurements="none"),
    "measurements of numbers": _curve(measurements=[1, 2]),
    "Latin-1": '{"markups": "é"}'.encode("latin-1"),
    "a mark of UTF-16": "{}".encode("utf-16"),
}
for _name, _content in CURVES.items():
    file("masks", f"curve of {_name}", _content, "p7_L4_D_R.mrk.json")
for _called in ("p7.mrk.json", "L99_L.mrk.json", "..mrk.json", "p7_L3_D_L_x.mrk.json"):
    file("masks", f"curve called {_called}", _curve(), _called)


def _mask(
    change: Callable = lambda data: data, *, place=RAS, dtype=np.uint8, called="levels.nii.gz"
):
    def make(folder: Path) -> Path:
        data = np.zeros(SHAPE, dtype)
        data[5, 8, 3:8] = 20
        nib.save(nib.Nifti1Image(change(data), place), folder / called)
        return folder / called

    return make


def _at(value: Any, where=(6, 8, 4)) -> Callable:
    def change(data: np.ndarray) -> np.ndarray:
        data[where] = value
        return data

    return change


MOVED = RAS.copy()
MOVED[:3, 3] += 3
MASKS = {
    "as they should be": _mask(),
    "an unknown value": _mask(_at(200)),
    "a value of 31": _mask(_at(31)),
    "a negative value": _mask(_at(-3), dtype=np.int16),
    "a value of 2^31": _mask(_at(2**31 - 1), dtype=np.int32),
    "fractions": _mask(_at(0.5), dtype=np.float32),
    "NaN": _mask(_at(np.nan), dtype=np.float32),
    "infinities": _mask(_at(np.inf), dtype=np.float32),
    "values of 1e300": _mask(_at(1e300), dtype=np.float64),
    "whole numbers in floats": _mask(_at(21.0), dtype=np.float64),
    "complex numbers": _mask(dtype=np.complex64),
    "another grid": _mask(place=MOVED),
    "another size": _mask(lambda data: data[:-1]),
    "two axes": _mask(lambda data: data[:, :, 0]),
    "four axes": _mask(lambda data: np.stack([data, data], -1)),
    "nothing drawn": _mask(np.zeros_like),
    "all drawn": _mask(lambda data: data + np.uint8(19)),
    "a singular place": _mask(place=np.diag([1.0, 1e-20, 1, 1])),
    "a place far away": _mask(place=np.diag([1e7, 1e7, 1e7, 1])),
    "many values in one root": _mask(called="L3_D_L.nii.gz"),
    "a level that is none": _mask(called="L9.nii.gz"),
    "a root that is none": _mask(called="L3_X_Y.nii.gz"),
    "no name": _mask(called=".nii.gz"),
    "a name in capitals": _mask(called="LEVELS.NII.GZ"),
    "a rater that climbs": _mask(called="levels_rater-...nii.gz"),
    "an odd name": _mask(called="lev\nels \x1b[31m levels.nii.gz"),
}
for _name, _make in MASKS.items():
    add("masks", f"mask of {_name}", _make)
for _ending in ("nii", "nii.gz", "nrrd", "mha", "seg.nrrd", "mrk.json", "dcm", "txt"):
    file("masks", f"garbage as .{_ending}", b"\xa5\x5a" * 500, f"L3_D_L.{_ending}")


def _discs(values: dict[int, tuple], dtype=np.uint8) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        data = np.zeros(tube().data.shape, dtype)
        for value, where in values.items():
            data[where] = value
        nib.save(nib.Nifti1Image(data, tube().affine), folder / "discs.nii.gz")
        return folder / "discs.nii.gz"

    return make


for _name, _values in {
    "as they should be": {21: (15, 18, 25)},
    "nothing": {},
    "unknown values": {200: (15, 18, 25)},
    "values that are vertebrae": {21: (15, 18)},
    "discs upside down": {20: (15, 18, 5), 22: (15, 18, 35)},
    "discs at one place": {20: (15, 18, 5), 21: (15, 18, 5)},
    "discs everywhere": {21: ...},
}.items():
    add("discs", f"discs of {_name}", _discs(_values))
file("discs", "discs of text", b"L1/L2", "discs.nii.gz")
add("discs", "discs nowhere", lambda folder: folder / "discs.nii.gz")
for _text in (
    *("", "=", "L1/L2", "L1/L2=", "L1/L2=1,2", "L1/L2=1,2,3,4", "L1/L2=nan,0,0", "L1/L2=1e400,0,0"),
    *("L1/L2=1e300,0,0", "L9/L9=0,0,0", "X=0,0,0", "L1/L2=a,b,c", "L1/L2=٣,0,0", "L1/L2=0x1,0,0"),
    *("\x1b[2J=0,0,0", "a" * 10**5, "L1/L2=" + "9" * 5000 + ",0,0", "L1/L2=0,0,1e9"),
):
    add("anchor", f"anchor {_text[:30]!r}", lambda folder, text=_text: text)

PARAMS: dict[str, bytes] = {
    "as it should be": b"scale: smoke\n",
    "nothing": b"",
    "a list": b"- 1\n",
    "aliases": b"a: &a [1]\nb: *a\n",
    "a bomb of aliases": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(
        b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % (c, c, *[c - 1] * 8)
        for c in range(98, 120)
    ),
    "an alias of itself": b"a: &a [*a]\n",
    "merge keys": b"a: &a {b: 1}\nscale: smoke\nphantom: {<<: *a}\n",
    "deep lists": b"a: " + b"[" * 5000,
    "deep mappings": b"{a: " * 5000,
    "a typo": b"scale: smoke\nhardnet: {learning_rat: 1}\n",
    "an unknown section": b"scale: smoke\nhardnett: {}\n",
    "an unknown scale": b"scale: enormous\n",
    "a scale that climbs": b"scale: ../../x\n",
    "a scale in a list": b"scale: [smoke]\n",
    "a scale that is a number": b"scale: 7\n",
    "a section in words": b"scale: smoke\nhardnet: many\n",
    "words for numbers": b"scale: smoke\nseed: many\n",
    "a negative seed": b"scale: smoke\nseed: -1\n",
    "a seed of 1e400": b"scale: smoke\nseed: 1e400\n",
    "infinity": b"scale: smoke\nhardnet: {learning_rate: .inf}\n",
    "NaN": b"scale: smoke\nhardnet: {learning_rate: .nan}\n",
    "a long number": b"scale: smoke\nseed: " + b"9" * 5000 + b"\n",
    "a number of another base": b"scale: smoke\nseed: 0b" + b"1" * 20000 + b"\n",
    "a date that is none": b"scale: 2025-99-99\n",
    "a Python object": b"scale: !!python/object/apply:os.system ['true']\n",
    "a Python name": b"scale: !!python/name:os.system\n",
    "an unknown tag": b"scale: !secret x\n",
    "a key twice": b"scale: smoke\nscale: paper\n",
    "a key that is a list": b"? [a, b]\n: 1\n",
    "tabs": b"scale:\tsmoke\n\tseed: 1\n",
    "zeros": b"scale: sm\0oke\n",
    "Latin-1": "scale: é\n".encode("latin-1"),
    "UTF-16": "scale: smoke\n".encode("utf-16"),
    "UTF-8 with a mark": b"\xef\xbb\xbfscale: smoke\n",
    "two documents": b"scale: smoke\n---\nscale: paper\n",
    "a long line": b"scale: " + b"x" * 10**5 + b"\n",
    "10^4 keys": b"".join(b"k%d: 1\n" % n for n in range(10**4)),
    "escapes": b'scale: "\\e[2J\\0"\n',
}
for _name, _content in PARAMS.items():
    file("params", f"parameters of {_name}", _content, "params.yaml")

COLUMNS = "case,model,region,rater,score,minutes_without,minutes_with,comment,date,prediction"
ROW = "sub-001,hardnet-anatomy,,AB,0.9,,,,2025-01-01,"
SCORES: dict[str, bytes] = {
    "nothing": b"",
    "as they should be": f"{COLUMNS}\n{ROW}\n".encode(),
    "10^6 columns": b"," * 10**6 + b"\n",
    "10^6 named columns": b",".join(b"c%d" % n for n in range(10**6)) + b"\n",
    "a row of 10^6 cells": f"{COLUMNS}\n{ROW}{',' * 10**6}\n".encode(),
    "zeros": f"{COLUMNS}\n{ROW}\0\n".encode(),
    "only zeros": bytes(1000),
    "a cell of a megabyte": f"{COLUMNS}\n{ROW.replace('AB', 'A' * 10**6)}\n".encode(),
    "quotes without end": f'{COLUMNS}\n"{ROW}\n'.encode() * 2,
    "a formula": f"{COLUMNS}\n{ROW.replace('AB', '=cmd|/c calc')}\n".encode(),
    "NaN": f"{COLUMNS}\n{ROW.replace('0.9', 'nan')}\n".encode(),
    "1e400": f"{COLUMNS}\n{ROW.replace('0.9', '1e400')}\n".encode(),
    "words": f"{COLUMNS}\n{ROW.replace('0.9', 'good')}\n".encode(),
    "an unknown model": f"{COLUMNS}\n{ROW.replace('hardnet-anatomy', '../x')}\n".encode(),
    "a case that climbs": f"{COLUMNS}\n{ROW.replace('sub-001', '../sub-001')}\n".encode(),
    "a date that is none": f"{COLUMNS}\n{ROW.replace('01-01', '99-99')}\n".encode(),
    "few columns": b"case,score\nsub-001,1\n",
    "Latin-1": f"{COLUMNS}\n{ROW.replace('AB', 'é')}\n".encode("latin-1"),
    "UTF-16": f"{COLUMNS}\n{ROW}\n".encode("utf-16"),
    "carriage returns": f"{COLUMNS}\r{ROW}\r".encode(),
    "semicolons": f"{COLUMNS}\n{ROW}\n".replace(",", ";").encode(),
    "JSON": b'{"case": "sub-001"}',
}
for _name, _content in SCORES.items():
    file("scores", f"scores of {_name}", _content, "scores.csv")
for _field, _value in (
    *(("score", "nan"), ("score", "1e400"), ("score", "7"), ("rater", ""), ("rater", "\x1b[2J")),
    *(("minutes-with", "-1"), ("minutes-with", "inf"), ("comment", "=1+1\n\0"), ("model", "../x")),
    *(("region", "moon"), ("case", "../sub-001"), ("case", ""), ("prediction", "/etc/passwd")),
):
    given = {_field: _value}
    add("score", f"score of {_field} {_value!r}", lambda folder, given=given: given)

TEXTS: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[1]",
    "deep JSON": b"[" * 10**5,
    "Latin-1": '{"scan": "é"}'.encode("latin-1"),
    "other kinds": b'{"scan": 7, "model": [], "made_from": 1, "warnings": "x", "voxels": 3}',
    "warnings in words": b'{"warnings": ["look"], "voxels": {"L3": "many"}}',
    "a scan that climbs": b'{"scan": "../../../etc/passwd", "warnings": []}',
    "a long number": b'{"naming": {"renamed_by": ' + b"9" * 5000 + b"}}",
}
for _name, _content in TEXTS.items():
    file("record", f"prediction's JSON of {_name}", _content, "tube_prediction.json")
    file("sidecar", f"case's JSON of {_name}", _content, "sub-001_T2w.json")
PEOPLE = {
    "nothing": b"",
    "other columns": b"a\tb\n1\t2\n",
    "a case twice": b"participant_id\tsource\nsub-001\tx\nsub-001\ty\n",
    "ragged rows": b"participant_id\nsub-001\t1\t2\t3\nsub-002\t1\n",
    "zeros": b"participant_id\tsource\nsub-\0\tx\n",
    "Latin-1": "participant_id\tn\nsub-001\té\n".encode("latin-1"),
    "quotes without end": b'participant_id\tsource\n"sub-001\tx\n',
    "10^5 columns": b"participant_id" + b"\tx" * 10**5 + b"\n",
}
for _name, _content in PEOPLE.items():
    file("people", f"participants of {_name}", _content, "participants.tsv")
    file("corrections", f"corrections of {_name}", _content, "sub-001.csv")


def _bids(change: Callable[[Path], Any]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        root = folder / "bids"
        nifti(root / "sub-01" / "anat" / "sub-01_T2w.nii.gz", tube())
        (root / "dataset_description.json").write_text("{}", encoding="utf-8")
        (root / "derivatives").mkdir()
        change(root)
        return root

    return make


def _link(path: Path, to: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(to)


BIDS: dict[str, Callable[[Path], Any]] = {
    "as it should be": lambda root: None,
    "a circle of links": lambda root: _link(root / "sub-02", root),
    "derivatives that are a circle": lambda root: _link(root / "derivatives" / "a", root),
    "a scan that is a link out": lambda root: _link(
        root / "sub-02" / "anat" / "sub-02_T2w.nii.gz", Path("/etc/passwd")
    ),
    "a scan that is a link to nothing": lambda root: _link(
        root / "sub-02" / "anat" / "sub-02_T2w.nii.gz", Path("nowhere")
    ),
    "a subject of an odd name": lambda root: nifti(
        root / "sub-ü\nx" / "anat" / "sub-ü\nx_T2w.nii.gz", tube(1)
    ),
    "a subject of 100 letters": lambda root: nifti(
        root / f"sub-{'a' * 100}" / "anat" / f"sub-{'a' * 100}_T2w.nii.gz", tube(1)
    ),
    "a description that is none": lambda root: (root / "dataset_description.json").write_bytes(
        b"\0"
    ),
    "a mask of garbage": lambda root: _bytes(root / "derivatives" / "sub-01_label-L3_mask.nii.gz"),
    "a mask of nobody": lambda root: _bytes(root / "derivatives" / "sub-9_label-L3_mask.nii.gz"),
    "a scan of garbage": lambda root: _bytes(root / "sub-02" / "anat" / "sub-02_T2w.nii.gz"),
    "a scan that is a folder": lambda root: (root / "sub-02" / "anat" / "sub-02_T2w.nii.gz").mkdir(
        parents=True
    ),
}
for _name, _change in BIDS.items():
    add("scan", f"bids with {_name}", _bids(_change))


def _bytes(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\xa5" * 400)


JSON = {"content-type": "application/json"}
REQUESTS: dict[str, dict] = {
    "no token": {"path": "/api/cases"},
    "a wrong token": {"path": "/x/api/cases"},
    "a path that climbs": {"path": "/TOKEN/page/..%2f..%2fserver.py"},
    "a path of dots": {"path": "/TOKEN/../../etc/passwd"},
    "an odd path": {"path": "/TOKEN/%00%ff%0a"},
    "a case of -1": {"path": "/TOKEN/api/cases/-1?reviewer=AB"},
    "a case of 10^30": {"path": f"/TOKEN/api/cases/{10**30}?reviewer=AB"},
    "a case in words": {"path": "/TOKEN/api/cases/x?reviewer=AB"},
    "no reviewer": {"path": "/TOKEN/api/cases/0"},
    "a reviewer that climbs": {"path": "/TOKEN/api/cases/0?reviewer=../../x"},
    "a reviewer of 10^4 letters": {"path": f"/TOKEN/api/cases/0?reviewer={'a' * 10**4}"},
    "a reviewer twice": {"path": "/TOKEN/api/cases?reviewer=AB&reviewer=../x"},
    "another origin": {"path": "/TOKEN/api/cases", "headers": {"origin": "https://evil.example"}},
    "another host": {"path": "/TOKEN/api/cases", "headers": {"host": "evil.example"}},
    "another site": {"path": "/TOKEN/api/cases", "headers": {"sec-fetch-site": "cross-site"}},
    "an act by GET": {"path": "/TOKEN/api/cases/0/save"},
    "an unknown act": {"path": "/TOKEN/api/cases/0/burn", "body": b"{}", "headers": JSON},
    "a form": {"path": "/TOKEN/api/cases/0/save", "body": b"a=1"},
    **{
        f"a body of {name}": {"path": "/TOKEN/api/cases/0/edit", "body": body, "headers": JSON}
        for name, body in {
            "nothing": b"",
            "no JSON": b"{",
            "deep JSON": b"[" * 10**5,
            "33 MB": b" " * (33 * 2**20),
            "UTF-16": "{}".encode("utf-16"),
            "NaN": b'{"reviewer": NaN}',
            "a long number": b'{"reviewer": "AB", "version": "x", "revision": '
            + b"9" * 5000
            + b"}",
            "a huge voxel": b'{"reviewer":"AB","version":"VERSION","revision":0,"change":'
            b'{"kind":"paint","voxels":[99999999999999999999999999],"value":21}}',
            "a voxel of 2^62": b'{"reviewer":"AB","version":"VERSION","revision":0,"change":'
            b'{"kind":"paint","voxels":[4611686018427387904],"value":21}}',
            "a voxel of -1": b'{"reviewer":"AB","version":"VERSION","revision":0,"change":'
            b'{"kind":"paint","voxels":[-1],"value":21}}',
            "a huge value": b'{"reviewer":"AB","version":"VERSION","revision":0,"change":'
            b'{"kind":"paint","voxels":[1],"value":99999999999999999999999}}',
            "a shift of 10^9": b'{"reviewer":"AB","version":"VERSION","revision":0,"change":'
            b'{"kind":"shift","by":1000000000}}',
            "a thread of 10^30": b'{"reviewer":"AB","version":"VERSION","revision":0,"change":'
            b'{"kind":"rename","voxel":1000000000000000000000000000000,"value":21}}',
            "an undo of nothing": b'{"reviewer":"AB","version":"VERSION","revision":0,"change":'
            b'{"kind":"undo"}}',
            "a reviewer that climbs": b'{"reviewer":"../x","version":"VERSION","revision":0,"change":'
            b'{"kind":"undo"}}',
            "a version that climbs": b'{"reviewer":"AB","version":"../x","revision":0,"change":'
            b'{"kind":"undo"}}',
        }.items()
    },
}
for _name, _request in REQUESTS.items():
    add("request", f"request of {_name}", lambda folder, request=_request: request)


def _real(called: str, content: bytes) -> Callable[[Path], Path]:
    """A scan that a person drew on, with this beside it."""

    def make(folder: Path) -> Path:
        nifti(folder / "t2.nii.gz", tube())
        data = np.zeros(tube().data.shape, np.uint8)
        data[12:18, 14:20, 5:30] = 1
        nib.save(nib.Nifti1Image(data, tube().affine), folder / "t2_roots-manual.nii.gz")
        (folder / called).write_bytes(content)
        return folder

    return make


for _name, _content in {
    "nothing": b"",
    "zeros": bytes(100),
    "no columns": b"hello",
    "words": b"x_mm,y_mm,z_mm\nhere,there,up\nx,y,z\n",
    "NaN": b"x_mm,y_mm,z_mm\nnan,0,0\n1,1,1\n",
    "ragged rows": b"x_mm,y_mm,z_mm\n1\n1,2,3,4,5,6\n",
    "Latin-1": "x_mm,y_mm,z_mm\né,1,1\n".encode("latin-1"),
}.items():
    add("real", f"line of {_name}", _real("t2_centerline.csv", _content))
for _name, _content in {
    "nothing": b"",
    "deep JSON": b"[" * 10**5,
    "slices in words": b'{"trusted_z": "all"}',
    "slices of 10^30": b'{"trusted_z": [1000000000000000000000000000000, 1]}',
    "slices beyond": b'{"trusted_z": [0, 4000]}',
}.items():
    add("real", f"drawing's JSON of {_name}", _real("t2_roots-manual.json", _content))
