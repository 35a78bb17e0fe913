"""Stage `anatomy_phantoms`: phantoms that the anatomy network learns from → data/anatomy."""

from pathlib import Path

from spinalroots.compute.parallel import each
from spinalroots.dataset.layout import ANATOMY_MAP, Dataset
from spinalroots.files import folder_in_one_piece, write_json
from spinalroots.hardnet.anatomy.reading import stack
from spinalroots.hardnet.anatomy.sampling import write_stack
from spinalroots.imaging.volume import Volume, write_volume
from spinalroots.phantom.case import generate
from spinalroots.pipeline.params import Params
from spinalroots.quality import appearance
from spinalroots.registry import paths
from spinalroots.registry.anatomy import Scheme
from spinalroots.registry.vertebrae import position_of
from spinalroots.settings.anatomy import Anatomy
from spinalroots.settings.phantom import Phantom

FIRST = 10_000
"""Number of the first of them: no phantom of data/raw is among them."""
COMPARED = 12
"""How many of them a scan is compared with: looking at one takes as long as making it."""


def main(params: Params) -> None:
    """Make them, straighten them around their cord and sac, and keep the squares and what a scan
    that is asked about later is compared with; a few more are held out, whole."""
    own = params.anatomy
    phantom = params.phantom.model_copy(update={"randomised_share": own.randomised_share})
    with folder_in_one_piece(paths.ANATOMY) as folder:
        jobs = [
            (phantom, own, params.seed, FIRST + number, number < COMPARED, folder)
            for number in range(own.phantoms)
        ]
        seen = each(_made, jobs, params.workers, "anatomy phantoms")
        last = FIRST + own.phantoms
        held_out = [
            (phantom, params.seed, last + number, folder / paths.HELD_OUT)
            for number in range(own.held_out)
        ]
        each(_held_out, held_out, params.workers, "held-out phantoms")
        named = zip((f"phantom {job[3]}" for job in jobs), seen, strict=True)
        appearance.write(
            folder / paths.APPEARANCE.name, {name: look for name, look in named if look}
        )
        write_json(
            folder / "phantoms.json", {"seed": params.seed, "numbers": [one[3] for one in jobs]}
        )


def _made(
    phantom: Phantom, anatomy: Anatomy, seed: int, number: int, compared: bool, folder: Path
) -> dict[str, float] | None:
    """Make one and write its squares into `folder`; what it looks like, if it is compared with."""
    case = generate(phantom, seed, number)
    discs = sorted(
        (float(place[2]), float(position_of(name))) for name, place in case.discs_ras_mm.items()
    )
    scan = Volume(case.image, case.affine)
    squares = stack(scan, case.anatomy, case.individuals, case.centreline, discs, anatomy)
    write_stack(folder / paths.ANATOMY_SLICES / f"{number:06d}.npz", squares)
    return appearance.measure(scan, case.centreline) if compared else None


def _held_out(phantom: Phantom, seed: int, number: int, folder: Path) -> None:
    """Make one and write scan, truth and centreline."""
    case, held, name = generate(phantom, seed, number), Dataset(folder), f"sub-ph{number + 1}"
    for path, data in (
        (held.image(name), case.image),
        (held.map(name, ANATOMY_MAP), case.anatomy),
        (held.labels(name, Scheme.INDIVIDUALS), case.individuals),
    ):
        write_volume(path, Volume(data, case.affine), native=case.native)
    case.centreline.write(folder / f"{name}.json")
