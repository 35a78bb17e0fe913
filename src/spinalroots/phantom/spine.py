"""The spine's curve, and the straightened coordinates in which everything else is described.

Straight coordinates (u, v, s) in mm: u to the patient's right, v to the front, both perpendicular
to the sac, s downwards along it from the disc T9/T10. The curve bends in the sagittal plane;
scoliosis moves it sideways, which shears a cross-section by a few degrees at most.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.spatial import cKDTree

from spinalroots.phantom.subject import Subject

_STEP_MM = 0.5
_BEYOND_MM = 90.0  # the curve goes on straight beyond the modelled spine


@dataclass(frozen=True)
class Curve:
    """The sac's axis: samples (N,) of s, side x, front y, height z and tilt (radians)."""

    s: np.ndarray
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    tilt: np.ndarray

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """Straight coordinates (..., 3) → RAS+ mm (..., 3)."""
        u, v, s = np.moveaxis(np.asarray(points, float), -1, 0)
        tilt = np.interp(s, self.s, self.tilt)
        return np.stack(
            [
                u + np.interp(s, self.s, self.x),
                np.interp(s, self.s, self.y) + v * np.cos(tilt),
                np.interp(s, self.s, self.z) + v * np.sin(tilt),
            ],
            axis=-1,
        )

    def straighten(
        self, x: np.ndarray, y: np.ndarray, z: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Straight coordinates of a grid of RAS+ axes x (X,), y (Y,), z (Z,) in mm.

        :returns: u (X, Y, Z), v (1, Y, Z), s (1, Y, Z), float32.
        """
        front, height = np.meshgrid(y, z, indexing="ij")
        nearest = cKDTree(np.stack([self.y, self.z], axis=1)).query(
            np.stack([front.ravel(), height.ravel()], axis=1)
        )[1]
        s = self.s[nearest].reshape(front.shape)
        for _ in range(2):
            tilt = np.interp(s, self.s, self.tilt)
            forward = front - np.interp(s, self.s, self.y)
            upward = height - np.interp(s, self.s, self.z)
            s = np.clip(s + forward * np.sin(tilt) - upward * np.cos(tilt), self.s[0], self.s[-1])
        tilt = np.interp(s, self.s, self.tilt)
        forward = front - np.interp(s, self.s, self.y)
        upward = height - np.interp(s, self.s, self.z)
        v = forward * np.cos(tilt) + upward * np.sin(tilt)
        u = np.asarray(x)[:, None, None] - np.interp(s, self.s, self.x)[None]
        return u.astype(np.float32), v[None].astype(np.float32), s[None].astype(np.float32)


def build_curve(subject: Subject) -> Curve:
    """The subject's curve, with the disc T9/T10 at x = y = z = 0 (up to scoliosis)."""
    discs = np.array(subject.tilt_heights_mm)
    s = np.arange(discs[0] - _BEYOND_MM, discs[-1] + _BEYOND_MM, _STEP_MM)
    angle = PchipInterpolator(discs, np.radians(subject.tilt_deg))
    tilt = angle(np.clip(s, discs[0], discs[-1]))
    origin = int(np.argmin(np.abs(s)))
    y = np.cumsum(np.sin(tilt)) * _STEP_MM
    z = -np.cumsum(np.cos(tilt)) * _STEP_MM
    x = sum(
        amplitude * np.sin(2 * np.pi * s / length + phase)
        for amplitude, length, phase in subject.scoliosis
    )
    return Curve(s, x, y - y[origin], z - z[origin], tilt)
