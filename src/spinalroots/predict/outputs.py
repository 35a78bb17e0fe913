"""What the files of a prediction are, in words, by the ends of their names."""

from pathlib import Path

from spinalroots.dataset.layout import ALL_ROOTS, FOREGROUND, LABEL_SUFFIX
from spinalroots.registry.anatomy import Scheme

ROOT_DOUBT, NAME_DOUBT = "desc-rootuncertainty_map", "desc-nameuncertainty_map"
CENTRELINE, RECORD, PICTURE = "centreline.json", "prediction.json", "preview.png"
SURFACES, DICOM_SEG = "surfaces", "seg.dcm"
_MAPS = {
    Scheme.ENTITY: "mask of the roots that have a name: 1",
    Scheme.LEVELS: "level of each named root voxel: C1 = 1 to S5 = 30",
    Scheme.INDIVIDUALS: "root of each voxel: level, dorsal or ventral, side, 1 to 120",
    Scheme.TISSUES: "tissue of each voxel: 1 cord, 2 CSF, 3 fat, 4 all roots",
}
_TABLES = {
    ".tsv": "values, names and colours, BIDS",
    "_itksnap.txt": "values, names and colours for ITK-SNAP",
    ".ctbl": "values, names and colours for 3D Slicer",
}
_ENDS = {
    **{f"{LABEL_SUFFIX[scheme]}.nii.gz": words for scheme, words in _MAPS.items()},
    f"{ALL_ROOTS}.nii.gz": "mask of every root in sight, named or not: 1",
    f"{FOREGROUND}.nii.gz": "probability of any root, 0 to 1",
    f"{ROOT_DOUBT}.nii.gz": "chance that what was drawn, root or none, is wrong, 0 to 1",
    f"{NAME_DOUBT}.nii.gz": "chance that a root's name, or having none, is wrong, 0 to 1",
    **{
        f"{LABEL_SUFFIX[scheme]}{ending}": f"{words}: of the {scheme} map"
        for scheme in _MAPS
        for ending, words in _TABLES.items()
    },
    CENTRELINE: "line through cord and sac, RAS+ mm",
    RECORD: "this record",
    PICTURE: "picture: the level map on the scan",
    DICOM_SEG: "DICOM segmentation of the named roots, cord and CSF, of the source instances",
}
_SURFACES = {
    ".stl": "surface of one root",
    ".obj": "surfaces",
    ".glb": "all surfaces, coloured, for viewers on the web",
    ".ply": "all surfaces, coloured",
    ".vtp": "surfaces or curves for ParaView",
    ".swc": "course of one root, for neuron simulators",
    ".3mf": "all surfaces, coloured, to print",
    ".mtl": "colours of the surfaces",
    ".vtu": "tetrahedra",
    ".msh": "tetrahedra",
    ".csv": "a table of the 3D model",
    ".json": "curves or settings of the 3D model",
    ".png": "picture of the 3D model",
    ".html": "page that shows the 3D model",
}


def listed(names: list[str], stem: str) -> list[dict[str, str]]:
    """An entry {file, what} for each file of a prediction.

    >>> listed(["t2_preview.png"], "t2")
    [{'file': 't2_preview.png', 'what': 'picture: the level map on the scan'}]
    """
    return [{"file": name, "what": _what(name, stem)} for name in names]


def _what(name: str, stem: str) -> str:
    inside = name.removeprefix(f"{stem}_{SURFACES}/")
    if inside != name:
        path = Path(inside)
        return f"3D model: {_SURFACES.get(path.suffix, path.name)}"
    return _ENDS.get(name.removeprefix(f"{stem}_"), "a file of the prediction")
