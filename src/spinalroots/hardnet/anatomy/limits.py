"""How far the changes on the fly may go, with the figures that were chosen."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """`…_share`: of the samples that a change happens to. 0 leaves a change out."""

    recolour_share: float = 0.7
    root_spread: float = 0.25
    """Spread of single roots' signals over their mean."""
    rotation_deg: float = 15.0
    scale_log: float = 0.25
    anisotropy_log: float = 0.15
    shift_vox: float = 3.0
    warp_share: float = 0.85
    taper: tuple[float, float] = (-0.15, 0.5)
    """How much narrower a sample gets per 9 mm towards the back."""
    sink_mm: float = 3.0
    """How far the middle sinks back."""
    elastic_vox: float = 1.2
    """Spread of 5 × 5 control points' displacement."""
    gamma_log: float = 0.7
    curve_share: float = 0.25
    """Of a random monotone grey-value curve, mixed half and half."""
    bias: float = 0.25
    """Spread of the log field's slopes from the middle to 18 mm; along the axis over 16 slices
    three fifths of it."""
    blur_share: float = 0.5
    blur_vox: float = 0.9
    low_resolution_share: float = 0.24
    noise: float = 0.08
    """Largest spread of the noise over CSF's signal."""
    cut_share: float = 0.3
    """Of a field of view that ends within the square."""
    height_mm: float = 4.0
    """Spread of the error with which the end of the cord is known."""
    place: float = 0.15
    """Spread of the error of an anchor, in vertebrae."""
    place_stretch: float = 0.05
    """Spread of the stretch with which a single anchor is carried along the spine."""
    unknown_height_share: float = 0.1
    unknown_place_share: float = 0.6


NONE = Limits(
    recolour_share=0,
    root_spread=0,
    rotation_deg=0,
    scale_log=0,
    anisotropy_log=0,
    shift_vox=0,
    warp_share=0,
    gamma_log=0,
    curve_share=0,
    bias=0,
    blur_share=0,
    low_resolution_share=0,
    noise=0,
    cut_share=0,
    height_mm=0,
    place=0,
    place_stretch=0,
    unknown_height_share=0,
    unknown_place_share=0,
)
"""No change but the mirror."""
