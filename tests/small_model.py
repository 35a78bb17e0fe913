"""A packaged HarDNet of random weights with its OpenVINO export, and a scan for it: no training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from spinalroots.files import write_json
from spinalroots.hardnet.data.straighten import InputSpec
from spinalroots.hardnet.network.segmentation import NetworkConfig, SegmentationHardnet
from spinalroots.hardnet.predictor import HardnetPredictor, input_shape
from spinalroots.imaging.volume import Volume, write_volume
from spinalroots.pipeline.params import Params
from spinalroots.predict import package
from spinalroots.predict.trained import CURVES, TrainedModel
from spinalroots.quality import appearance
from spinalroots.quantize.export import Exporter
from spinalroots.registry.anatomy import Target
from spinalroots.registry.variants import Precision, Runtime, Variant

NAME = "hardnet-all-levels"


def write_trained(folder: Path, params: Params, seed: int = 0) -> TrainedModel:
    """What a training leaves: T10 to S3, a tiny 2D network."""
    torch.manual_seed(seed)
    target, spec, inference = Target.of("levels", "all"), InputSpec(20.0, 1.0), params.inference
    classes = len(target.class_names)
    config = NetworkConfig.of("tiny", dim=2, channels=4, classes=classes, width=0.5)
    network = SegmentationHardnet(config).eval()
    shape = input_shape(config, spec, 8)
    predictor = HardnetPredictor(NAME, target, network, shape, spec, inference.hardnet)
    trained_on = {"training": ["sub-1", "sub-2"], "validation": ["sub-3"]}
    predictor.save(folder, trained_on=trained_on, provenance={"key": "0" * 16, "seed": seed})
    record = {"validation_dice": 0.5 + seed / 10, "epochs": 3, "device": "cpu", "seconds": 60.0}
    write_json(folder / CURVES, record | {"settings": {"tuned": {"width": 0.5}, "seed": seed}})
    return TrainedModel(folder, inference.hardnet)


def write_packaged(
    folder: Path, params: Params, *, seed: int = 0, export: bool = True, card: str = "# Card\n"
) -> Path:
    """The packaged model, in `folder`."""
    work = folder.with_name(f"{folder.name}-work")
    trained = write_trained(work / "trained", params, seed)
    exported = work / "openvino-fp32"
    if export:
        predictor = trained.predictor()
        Exporter(predictor.network, predictor.input_shape, NAME, trained.made_from, []).write(
            Variant(Precision.FP32, Runtime.OPENVINO), exported
        )
    looks = {one.name: 1.5 for one in appearance.FEATURES}
    appearance.write(work / "appearance.json", {"sub-1": looks, "sub-2": looks})
    (work / "card.md").write_text(card, encoding="utf-8")
    folder.mkdir(parents=True)
    package.write(
        folder,
        trained,
        package.Settings(
            centreline=params.centreline,
            inference=params.inference.hardnet,
            postprocess=params.postprocess,
        ),
        training_scans=work / "appearance.json",
        export=exported if export else None,
        card=work / "card.md",
    )
    return folder


def write_scan(path: Path, seed: int = 0) -> Path:
    """A bright sac in dark tissue, 36 × 36 × 54 mm."""
    x, y = (np.arange(30) * 1.2 - 18 for _ in range(2))
    plane = 100 + 900 * (np.hypot(x[:, None], y[None]) < 9)
    data = np.repeat(plane[:, :, None], 36, axis=2).astype(np.float32)
    data += np.random.default_rng(seed).normal(0, 20, data.shape).astype(np.float32)
    write_volume(path, Volume(data, np.diag([1.2, 1.2, 1.5, 1.0])))
    return path
