"""Light augmentation at training time: intensities only, a few milliseconds a patch.

Geometry was varied offline, where a spine bends as a whole; nnU-Net's own spatial transform costs
more than a short budget's training step.
"""

from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.deep_supervision_downsampling import (
    DownsampleSegForDSTransform,
)
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from batchgeneratorsv2.transforms.utils.remove_label import RemoveLabelTansform


def light_transforms(deep_supervision_scales: list | None) -> BasicTransform:
    """Noise, brightness and contrast with nnU-Net's own ranges and probabilities."""
    spread = BGContrast((0.75, 1.25))
    transforms: list[BasicTransform] = [
        RandomTransform(
            GaussianNoiseTransform(
                noise_variance=(0, 0.1), p_per_channel=1, synchronize_channels=True
            ),
            apply_probability=0.1,
        ),
        RandomTransform(
            MultiplicativeBrightnessTransform(
                multiplier_range=spread, synchronize_channels=False, p_per_channel=1
            ),
            apply_probability=0.15,
        ),
        RandomTransform(
            ContrastTransform(
                contrast_range=spread,
                preserve_range=True,
                synchronize_channels=False,
                p_per_channel=1,
            ),
            apply_probability=0.15,
        ),
        RemoveLabelTansform(-1, 0),
    ]
    if deep_supervision_scales is not None:
        transforms.append(DownsampleSegForDSTransform(ds_scales=deep_supervision_scales))
    return ComposeTransforms(transforms)
