"""Where does lie what a prediction wrongly calls a root?"""

import numpy as np

KINDS = ("other_levels", "ventral", "sac", "outside")
"""On a dorsal root of another level, on a ventral one of any level, in the sac where no root is
(CSF, cord), beyond the sac."""


def false_roots(
    found: np.ndarray, individuals: np.ndarray, sac: np.ndarray, levels: range | tuple[int, ...]
) -> dict[str, float]:
    """Kind → share of the predicted voxels that lie there; the rest is on a root asked for.

    :param found: bool (X, Y, Z), where the prediction names a root.
    :param individuals: true individual map (X, Y, Z) of every root, dorsal and ventral.
    :param sac: bool (X, Y, Z), the true dural sac with all that is in it.
    :param levels: values of the levels asked for, C1 = 1 … S5 = 30; of them the dorsal roots.
    :return: NaN for each where nothing was predicted.
    """
    there, inside = individuals[found].astype(int), sac[found]
    root, ventral = there > 0, (there - 1) % 4 >= 2
    asked = np.isin((there - 1) // 4 + 1, levels)
    places = (root & ~ventral & ~asked, root & ventral, ~root & inside, ~root & ~inside)
    shares = [place.mean() if len(there) else np.nan for place in places]
    return dict(zip(KINDS, map(float, shares), strict=True))
