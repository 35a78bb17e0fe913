"""Stage: train the anatomy network on its phantoms → models/trained/hardnet-anatomy."""

from dataclasses import asdict, replace
from pathlib import Path

from spinalroots.compute.device import choose_device, device_name
from spinalroots.compute.energy import EnergyMeter
from spinalroots.compute.parallel import each
from spinalroots.dataset.layout import ANATOMY_MAP, Dataset
from spinalroots.files import folder_in_one_piece, write_json
from spinalroots.files.folders import staging
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import read_image, read_labels
from spinalroots.pipeline import provenance, tracking
from spinalroots.pipeline.logged_data import Data
from spinalroots.pipeline.params import Params
from spinalroots.registry import paths
from spinalroots.registry.anatomy import Scheme
from spinalroots.registry.models import ANATOMY
from spinalroots.settings.anatomy import Anatomy

MADE_BY = ["spinalroots.hardnet.anatomy.learning"]
"""The modules whose code decides the outcome."""


def main(params: Params) -> None:
    """Train, or go on with a training that was killed, and publish the averaged weights."""
    from spinalroots.hardnet.anatomy.extents import learned
    from spinalroots.hardnet.anatomy.learning import OFTEN, PARTS
    from spinalroots.hardnet.anatomy.network import AnatomyNetwork
    from spinalroots.hardnet.anatomy.predictor import AnatomyPredictor
    from spinalroots.hardnet.anatomy.sampling import gather, read_stack
    from spinalroots.hardnet.anatomy.sureness import temperatures

    own = params.anatomy
    settings = {"seed": params.seed, **own.model_dump(mode="json", exclude={"device"})}
    cases = sorted((paths.ANATOMY / paths.ANATOMY_SLICES).glob("*.npz"))
    key = provenance.key(MADE_BY, settings, cases)
    state = tracking.repository_root() / ".cache" / "anatomy" / key
    device = choose_device(own.device, "anatomy.device")
    tags = tracking.tags_of(ANATOMY, params.scale)
    country = params.nnunet.training.country
    with tracking.run(
        ANATOMY.name,
        kind="training",
        tags=tags,
        params=settings,
        data=[
            Data(
                paths.ANATOMY,
                [f"phantom {number}" for number in range(1, own.phantoms + 1)],
                ANATOMY.target(other_roots=True).class_names,
                "training",
            )
        ],
        resume_key=f"anatomy-{key}",
        state=state,
    ):
        state.mkdir(parents=True, exist_ok=True)
        with EnergyMeter(country, state / "energy.json") as meter, staging(state) as place:
            slices = place / "new"  # taken apart: any slice of any case is read in no time
            gather(map(read_stack, cases), slices)
            # Two small networks side by side take less time than one after the other on all cores.
            jobs = [(part, slices, own, params.seed, state, device) for part in PARTS]
            workers = min(params.workers, len(PARTS)) if device == "cpu" else 1
            trained = dict(zip(PARTS, each(_train, jobs, workers, ANATOMY.name), strict=True))
        network = AnatomyNetwork(own)
        network.tissues, network.names = (trained[part][0] for part in PARTS)
        totals = asdict(meter.total)
        with folder_in_one_piece(paths.TRAINED / ANATOMY.name) as folder:
            extents = learned(map(read_stack, cases))
            inference = params.inference.anatomy
            model = AnatomyPredictor.of(network, own, inference, ANATOMY.name, extents)
            sure = temperatures(each(_asked, _held_out(model), params.workers, "doubt"))
            replace(model, temperatures=sure).save(
                folder,
                trained_on={"phantoms": own.phantoms, "randomised_share": own.randomised_share},
                provenance={"key": key, "code": provenance.code(MADE_BY), "seed": params.seed},
            )
            write_json(
                folder / "training.json",
                {
                    **totals,
                    "country": country,
                    "device": device_name(device),
                    "temperatures": sure.model_dump(),
                    "losses": {part: trained[part][1] for part in PARTS},
                    "settings": settings,
                },
            )
        for part in PARTS:
            log = tracking.resumed_log(f"{part}_loss")
            for number, loss in enumerate(trained[part][1], start=1):
                log({f"{part}_loss": loss}, number * OFTEN)
        tracking.log_once(totals, step=own.steps)


def _train(part: str, slices: Path, settings: Anatomy, seed: int, state: Path, device: str):
    from spinalroots.hardnet.anatomy.learning import train
    from spinalroots.hardnet.anatomy.sampling import open_slices

    return train(part, open_slices(slices), settings, seed, state, device=device)


def _held_out(model) -> list[tuple]:
    held = Dataset(paths.ANATOMY / paths.HELD_OUT)
    return [(model, held, name) for name in held.cases_if_any()]


def _asked(model, held: Dataset, name: str):
    from spinalroots.hardnet.anatomy.sureness import answers

    scan = read_image(held.image(name))
    found = model.chances(scan, Centreline.read(held.root / f"{name}.json"))
    truth = (held.map(name, ANATOMY_MAP), held.labels(name, Scheme.INDIVIDUALS))
    return answers(found, model.target, *(read_labels(path).data for path in truth))
