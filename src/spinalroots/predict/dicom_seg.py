"""A prediction as a DICOM segmentation of the instances that it was made from.

Codes are those of DICOM PS3.16 (SNOMED CT as in pydicom's dictionary: anatomical structure
91723000, spinal cord 2748008, cerebrospinal fluid 65216001, left 7771000, right 24028007, thoracic
spine 122495006, lumbar spine 122496007), and for a nerve root SCT 40958000, "Nerve root structure",
to which HL7's mapping of the AAPM's TG-263 names points for `Nrv_Root`. No published scheme has a
code for every single root, such as the left dorsal root of L3: that name is the segment's label,
and its code in the project's own scheme 99SPINALROOTS is the primary anatomic structure.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spinalroots import __version__
from spinalroots.errors import InputError
from spinalroots.files import write_bytes
from spinalroots.imaging.volume import Volume, to_native
from spinalroots.ingest.dicom_stacks import Slice
from spinalroots.predict.scan import Segmentation
from spinalroots.registry.anatomy import ROOTS, TISSUES, Root, Scheme, Side, Type

SCHEME = "99SPINALROOTS"
ANATOMY = ("91723000", "SCT", "Anatomical Structure")
SUBSTANCE = ("91720002", "SCT", "Body Substance")
NERVE_ROOT = ("40958000", "SCT", "Nerve root structure")
CORD = ("2748008", "SCT", "Spinal cord")
FLUID = ("65216001", "SCT", "Cerebrospinal Fluid")
SIDES = {Side.LEFT: ("7771000", "SCT", "Left"), Side.RIGHT: ("24028007", "SCT", "Right")}
REGIONS = {
    "T": ("122495006", "SCT", "Thoracic spine"),
    "L": ("122496007", "SCT", "Lumbar spine"),
}
REPEATED = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
"""What the standard has a segmentation repeat of its source (PS3.3: Patient, General Study; types 1
and 2), so that an archive files it with its source. All other words about the person are left."""
_PERSON, _STUDY = (0x0010, 0x0012), (0x0008, 0x0032, 0x0038, 0x0040)
"""Groups of attributes: patient and trial; study, request, visit, procedure."""
_WORDS = frozenset(("AS", "LO", "LT", "PN", "SH", "SQ", "ST", "UC", "UT"))
_TISSUE_CODES = {"WM": (ANATOMY, CORD, "Cord"), "CSF": (SUBSTANCE, FLUID, "CSF")}


def write_segmentation(path: Path, slices: Sequence[Slice], found: Segmentation) -> None:
    """Write one multi-segment file: cord and CSF where the model knows them, and every named root.

    :param slices: the source's, in the order of the scan's native third axis; their patient, study
        and frame of reference go on into the file, as DICOM has it.
    :raises InputError: nothing was found, or the source lacks what a segmentation must repeat.
    """
    import highdicom
    import pydicom

    masks = _masks(found)
    if not masks:
        raise InputError(
            path.name,
            expected="something found to write as a DICOM segmentation",
            found="an empty prediction",
            fix="Look at the warnings, or leave --dicom-seg out.",
        )
    files = dict.fromkeys(one.path for one in slices)
    sources = [_complete(pydicom.dcmread(file, force=True)) for file in files]
    planes = np.stack([_planes(mask) for _, mask in masks], axis=-1)
    enhanced = slices[0].frame is not None
    try:
        written = highdicom.seg.Segmentation(
            source_images=sources,
            pixel_array=planes[_stored(slices)] if enhanced else planes,
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[
                describe(number) for number, describe in enumerate((one for one, _ in masks), 1)
            ],
            series_instance_uid=highdicom.UID(),
            series_number=9000,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer="spinalroots",
            manufacturer_model_name="spinalroots predict",
            software_versions=__version__,
            device_serial_number="0",
            content_label="SPINALROOTS",
            content_description="Nerve roots, a draft for an expert",
            series_description="Nerve roots (spinalroots, draft)",
            omit_empty_frames=True,
        )
    except (AttributeError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            slices[0].path,
            expected="DICOM instances that a segmentation can refer to",
            found=f"others ({error})",
            fix="Export the series again from the scanner or the archive, or leave --dicom-seg "
            "out.",
        ) from error
    _forget(written, sources[0])
    stream = io.BytesIO()
    written.save_as(stream)
    write_bytes(path, stream.getvalue())


def _forget(written, source) -> None:
    """Take out what is repeated of the source's person and study without need."""
    for element in list(written):
        repeated = element.tag in source and str(source[element.tag].value) == str(element.value)
        word = element.tag.group in _STUDY and element.VR in _WORDS and repeated
        if (word or element.tag.group in _PERSON) and element.keyword not in REPEATED:
            del written[element.tag]


def _masks(found: Segmentation) -> list:
    """(segment number → description, mask) of everything that was found."""
    individuals = found.maps[Scheme.INDIVIDUALS]
    parts = []
    tissues = found.maps.get(Scheme.TISSUES)
    if tissues is not None:
        for value, name in enumerate(TISSUES, 1):
            mask = tissues.data == value
            if name in _TISSUE_CODES and mask.any():
                parts.append((_tissue(name), tissues.with_data(mask.astype(np.uint8))))
    for root in ROOTS:
        mask = individuals.data == root.value
        if mask.any():
            parts.append((_root(root), individuals.with_data(mask.astype(np.uint8))))
    return parts


def _tissue(name: str):
    category, kind, label = _TISSUE_CODES[name]
    return lambda number: _description(number, label, category, kind)


def _root(root: Root):
    which = "dorsal" if root.type is Type.DORSAL else "ventral"
    side = root.side.name.lower()
    own = (str(root), SCHEME, f"{side.capitalize()} {which} root of spinal nerve {root.level}")
    region = REGIONS.get(root.level[0])

    def describe(number: int):
        more = {"primary_anatomic_structures": [_code(own)]}
        if region is not None:
            more["anatomic_regions"] = [_code(region)]
        description = _description(number, str(root), ANATOMY, NERVE_ROOT, **more)
        import pydicom

        description.SegmentedPropertyTypeCodeSequence[
            0
        ].SegmentedPropertyTypeModifierCodeSequence = pydicom.Sequence([_code(SIDES[root.side])])
        return description

    return describe


def _description(number: int, label: str, category, kind, **more):
    import highdicom

    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=_code(category),
        segmented_property_type=_code(kind),
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name="spinalroots", version=__version__, family=_code(_FAMILY)
        ),
        **more,
    )


_FAMILY = ("123110", "DCM", "Artificial Intelligence")


def _code(parts: tuple[str, str, str]):
    from highdicom.sr.coding import CodedConcept

    return CodedConcept(*parts)


def _planes(mask: Volume) -> np.ndarray:
    """A mask (frames, rows, columns) in the order of the source's slices."""
    return to_native(mask).transpose(2, 1, 0)


def _stored(slices: Sequence[Slice]) -> np.ndarray:
    """For each stored frame of an enhanced file, which slice it is."""
    order = np.empty(len(slices), int)
    order[np.array([one.frame for one in slices], int)] = np.arange(len(slices))
    return order


def _complete(dataset):
    """A source with the attributes that its segmentation repeats, empty where it has none."""
    for name in REPEATED:
        if name not in dataset:
            setattr(dataset, name, "")
    if "FrameOfReferenceUID" not in dataset:
        # Slices of one study that say no frame of reference are taken to share one.
        dataset.FrameOfReferenceUID = f"{dataset.StudyInstanceUID}.1"
    return dataset
