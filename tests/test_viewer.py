"""What a page shows of a volume, and the vendored library that draws it."""

import base64
import gzip
import hashlib
import json
import re
import struct
from importlib.resources import files

import nibabel as nib
import numpy as np
import pytest

from spinalroots.imaging.volume import Volume
from spinalroots.registry.anatomy import Root
from spinalroots.viewer import content, page

VENDOR = files("spinalroots.viewer").joinpath("vendor")


def test_niivue_is_the_published_build():
    listed = dict(line.split()[::-1] for line in VENDOR.joinpath("SHA256").read_text().splitlines())
    assert set(listed) == {"niivue.js", "NIIVUE-LICENSE", "LICENSES"}
    for name, digest in listed.items():
        assert hashlib.sha256(VENDOR.joinpath(name).read_bytes()).hexdigest() == digest, name
    assert f'"{VENDOR.joinpath("VERSION").read_text().strip()}"' in page.niivue()
    assert "BSD 2-Clause" in VENDOR.joinpath("NIIVUE-LICENSE").read_text()


def test_a_script_cannot_leave_its_element():
    html = str(page.scripts()) + str(page.data("x", {"name": "</script><!--<b>"}))
    assert len(re.findall("</script", html, re.IGNORECASE)) == 3
    assert "<!--" not in html
    held = re.search(r'id="x">(.*?)</script>', html)[1]
    assert json.loads(held) == {"name": "</script><!--<b>"}


@pytest.fixture
def unpacked(tmp_path):
    def read(source):
        path = tmp_path / "one.nii.gz"
        path.write_bytes(base64.b64decode(source["base64"]))
        return nib.load(path)

    return read


def test_a_label_map_goes_in_voxel_for_voxel(small_scan, unpacked):
    labels = np.random.default_rng(1).integers(0, 121, small_scan.data.shape).astype(np.uint8)
    image = unpacked(content.inlined(small_scan.with_data(labels)))
    assert np.array_equal(image.get_fdata(), labels)
    assert np.allclose(image.affine, small_scan.affine, atol=1e-4)


def test_a_scan_keeps_its_contrast_in_a_byte_a_voxel(small_scan, unpacked):
    image = unpacked(content.inlined(small_scan))
    assert image.get_data_dtype() == np.uint8
    shown = image.get_fdata().ravel()
    assert np.corrcoef(shown, small_scan.data.ravel())[0, 1] > 0.998
    assert shown.min() == 0
    assert shown.max() == 255


def test_the_same_voxels_give_the_same_bytes(small_scan):
    assert content.packed(small_scan) == content.packed(Volume(small_scan.data, small_scan.affine))


def test_a_surface_is_an_mz3_file():
    points = np.array([[0, 0, 0], [1.5, 0, 0], [0, 2, 0], [0, 0, -3]], float)
    faces = np.array([[0, 1, 2], [0, 3, 1]])
    raw = gzip.decompress(content.mz3(points, faces))
    assert struct.unpack("<HHIII", raw[:16]) == (0x5A4D, 3, 2, 4, 0)
    assert np.array_equal(np.frombuffer(raw[16:40], "<u4").reshape(2, 3), faces)
    assert np.array_equal(np.frombuffer(raw[40:], "<f4").reshape(4, 3), points)


def test_labels_have_their_names_and_colours():
    root = Root.parse("L3_D_L")
    (label,) = content.labels("individuals", [root.value])
    assert (label["value"], label["name"]) == (root.value, "L3_D_L")
    assert all(0 <= part <= 255 for part in label["colour"])
