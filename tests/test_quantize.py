"""Exports against the network they came from, and the rules around them against hand-made cases."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import INGESTED, PHANTOM, SelectedCase
from spinalroots.errors import InputError
from spinalroots.exports import runtimes
from spinalroots.exports.description import read_description
from spinalroots.files import read_json, sha256, write_json
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Grid, Volume, write_volume
from spinalroots.inference.predictor import Prediction
from spinalroots.predict.trained import TrainedModel
from spinalroots.quantize import cases, compare, export, figure, int8, measure, rows
from spinalroots.registry import paths
from spinalroots.registry.anatomy import Root, Scheme, Target, level_value
from spinalroots.registry.variants import (
    REFERENCE,
    VARIANTS,
    Precision,
    Runtime,
    Variant,
    chosen,
    runs_here,
)
from spinalroots.stages import quantize as stage

INPUT_SHAPE = (1, 8, 8, 8)
MADE_FROM = {"model.safetensors": "of the stub"}


def small_network() -> nn.Module:
    """Convolutions with BatchNorm and InstanceNorm, left in training mode with used statistics."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv3d(1, 16, 3, padding=1),
        nn.BatchNorm3d(16),
        nn.LeakyReLU(),
        nn.Conv3d(16, 48, 3, padding=1),
        nn.InstanceNorm3d(48, affine=True),
        nn.LeakyReLU(),
        nn.Conv3d(48, 3, 3, padding=1),
    )
    for _ in range(5):
        network(2 + 3 * torch.randn(2, *INPUT_SHAPE))
    return network.train()


def batch(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, *INPUT_SHAPE)).astype(np.float32)


def eval_logits(network: nn.Module, inputs: np.ndarray) -> np.ndarray:
    network.eval()
    with torch.inference_mode():
        return network(torch.from_numpy(inputs)).numpy()


class StubPredictor:
    """Cuts a scan into blocks of 8³ voxels and puts the argmax back: no family, no files."""

    name = "hardnet-all-levels"
    input_shape = INPUT_SHAPE
    target = Target(Scheme.LEVELS, ("L1", "L2"))

    def __init__(self):
        self.network = small_network().eval()

    def _blocks(self, scan):
        return [
            (slice(x, x + 8), slice(y, y + 8), slice(z, z + 8))
            for x in range(0, scan.data.shape[0], 8)
            for y in range(0, scan.data.shape[1], 8)
            for z in range(0, scan.data.shape[2], 8)
        ]

    def inputs(self, scan, centreline):
        for block in self._blocks(scan):
            yield scan.data[block][None]

    def predict(self, scan, centreline, runner=None):
        runner = runner or (lambda inputs: eval_logits(self.network, inputs))
        labels = np.zeros(scan.data.shape, np.uint8)
        for block, single in zip(self._blocks(scan), self.inputs(scan, centreline), strict=True):
            labels[block] = self.target.decode(runner(single[None])[0].argmax(0).astype(np.uint8))
        return Prediction(scan.with_data(labels), scan.with_data((labels > 0).astype(np.float32)))


def write_case(root, name: str, seed: int) -> None:
    """A random scan whose annotation is what the stub network sees in it, minus a few voxels."""
    data = np.random.default_rng(seed).normal(size=(16, 8, 8)).astype(np.float32)
    scan = Volume(data, np.eye(4))
    centreline = Centreline(np.array([[8.0, 4, 0], [8, 4, 7]]), "truth")
    levels = StubPredictor().predict(scan, centreline).labels.data
    individuals = np.zeros_like(levels)
    for level, value in (("L1", 20), ("L2", 21)):
        individuals[levels == StubPredictor.target.values[value - 20]] = Root.parse(
            f"{level}_D_L"
        ).value
    individuals[:2] = 0
    for dataset in ("raw/phantom", "refined", "truth"):
        write_volume(Dataset(root / "data" / dataset).image(name), scan)
    for dataset in ("refined", "truth"):
        path = Dataset(root / "data" / dataset).labels(name, Scheme.INDIVIDUALS)
        write_volume(path, scan.with_data(individuals))
    centreline.write(root / "data" / "centreline" / f"{name}.json")
    centreline.write(root / "data" / "centreline" / "raw" / f"{name}.json")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Every variant of the small network: (network, root of the exports)."""
    network = small_network()
    root = tmp_path_factory.mktemp("models") / "exports" / "stub"
    calibration = list(batch(8, seed=2))
    exporter = export.Exporter(network, INPUT_SHAPE, "stub", MADE_FROM, calibration)
    for variant in VARIANTS:
        if runs_here(variant):
            exporter.write(variant, root / variant.name)
    return network, root


def test_every_convolution_but_the_first_reads_int8(exported):
    import openvino

    _, root = exported
    graph = openvino.Core().read_model(root / "openvino-int8" / "model.xml")
    reads = [
        op.input_value(0).get_node().get_type_name()
        for op in graph.get_ordered_ops()
        if op.get_type_name() == "Convolution"
    ]
    assert [kind == "FakeQuantize" for kind in reads] == [False, True, True]


def load(folder, network: nn.Module, made_from=MADE_FROM):
    """The export's runner, as whoever has the trained model gets it."""
    return runtimes.load_runner(folder, read_description(folder, made_from), network)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_an_export_computes_what_the_network_computes_in_eval_mode(exported, variant):
    network, root = exported
    if not runs_here(variant):
        pytest.skip(f"no {variant.precision} on this processor")
    inputs = batch(3)
    expected = eval_logits(network, inputs)
    found = load(root / variant.name, small_network())(inputs)
    tolerance = {"fp32": 1e-4, "fp16": 1e-2, "bf16": 5e-2, "int8": 0.1}[variant.precision]
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    assert np.abs(found - expected).mean() < tolerance * np.abs(expected).mean()


def test_int8_really_is_int8(exported):
    """fp32 would pass the tolerance as well, so the stored weights have to be small."""
    _, root = exported
    weights = {name: (root / name / "model.bin").stat().st_size for name in ("openvino-fp32",)}
    int8 = (root / "openvino-int8" / "model.bin").stat().st_size
    fp16 = (root / "openvino-fp16" / "model.bin").stat().st_size
    assert weights["openvino-fp32"] / fp16 == pytest.approx(2, rel=0.05)
    assert weights["openvino-fp32"] / int8 > 3.3
    onnx_fp32 = (root / "onnxruntime-fp32" / "model.onnx").stat().st_size
    assert onnx_fp32 / (root / "onnxruntime-int8" / "model.onnx").stat().st_size > 2.5


def test_half_precision_halves_the_pytorch_weights(exported):
    _, root = exported
    if not (root / "pytorch-bf16").exists():
        pytest.skip("this processor does not compute in bf16")
    sizes = [export.size_mb(root / name) for name in ("pytorch-fp32", "pytorch-bf16")]
    assert sizes[0] / sizes[1] == pytest.approx(2, rel=0.05)


def test_shared_weights_are_stored_once_and_in_the_same_bytes_every_time(tmp_path):
    class Sharing(torch.nn.Module):  # as nnU-Net's decoder shares its encoder
        def __init__(self):
            super().__init__()
            self.encoder = torch.nn.ModuleList(torch.nn.Linear(3, 3) for _ in range(8))
            self.decoder = torch.nn.ModuleDict({"encoder": self.encoder})

    network = Sharing()
    variant = Variant(Precision.FP32, Runtime.PYTORCH)
    digests = set()
    for number in range(6):
        path = tmp_path / f"{number}.safetensors"
        export._write_pytorch(network, variant, path)
        digests.add(sha256(path))
    assert len(digests) == 1
    assert path.stat().st_size < 2 * 8 * 12 * 4 + 2000


def test_exports_hold_no_pickles(exported):
    _, root = exported
    suffixes = {path.suffix for path in root.rglob("*") if path.is_file()}
    assert suffixes == {".json", ".safetensors", ".xml", ".bin", ".onnx"}


def graph_of(network: nn.Module):
    return export.Exporter(network, INPUT_SHAPE, "stub", MADE_FROM, []).openvino_graph


def test_accuracy_control_keeps_the_score_that_plain_int8_loses():
    network = small_network().eval()
    graph = graph_of(network)
    inputs = batch(4, seed=3)
    expected = eval_logits(network, inputs)

    def score(runner):
        return 1 - np.abs(runner(inputs) - expected).mean() / np.abs(expected).mean()

    def score_of(model):
        import openvino

        compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return score(runtimes.one_by_one(lambda single: compiled([single])[0]))

    calibration = list(batch(8, seed=2))
    plain = score_of(export.quantize_graph(graph, calibration))
    limit = (1 - plain) / 2
    graph = graph_of(network)
    controlled = int8.quantize_controlled(graph, calibration, score, limit)
    assert plain < 1 - limit < 1
    assert score_of(controlled) >= 1 - limit


def test_nothing_is_reported_home(tmp_path):
    """OpenVINO and NNCF would leave a client id and a counter in the home folder."""
    code = (
        "import spinalroots, openvino, nncf\n"
        "from nncf.telemetry.wrapper import telemetry, NNCFTelemetryStub\n"
        "print(isinstance(telemetry, NNCFTelemetryStub))"
    )
    home = {**os.environ, "HOME": str(tmp_path)}
    found = subprocess.run(
        [sys.executable, "-c", code], env=home, capture_output=True, encoding="utf-8"
    )
    assert found.stdout.split() == ["True"], found.stderr
    assert not (tmp_path / "intel").exists()


def test_the_measuring_process_reports_nothing_home_either(tmp_path):
    """It imports the libraries by a list, and only what comes before them can silence them."""
    names = measure._PRELOAD[: measure._PRELOAD.index("openvino") + 1]
    code = "import sys\nfor name in sys.argv[1:]:\n    __import__(name)"
    home = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code, *names], env=home, check=True)
    assert not (tmp_path / "intel").exists()


def test_the_reference_is_always_measured():
    assert chosen((Runtime.OPENVINO,), (Precision.INT8,)) == (
        REFERENCE,
        Variant(Precision.INT8, Runtime.OPENVINO),
    )
    assert Variant(Precision.INT8, Runtime.PYTORCH) not in VARIANTS


def test_calibration_sees_every_training_case_and_no_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("sub-a", "sub-b", "sub-c")):
        write_case(tmp_path, name, seed)
    predictor = StubPredictor()
    own = {name: list(predictor.inputs(*_refined(name))) for name in ("sub-a", "sub-b", "sub-c")}

    scans = [_refined_paths(name) for name in ("sub-a", "sub-b")]
    found = cases.calibration_inputs(predictor, scans, 2, seed=5)
    origins = [
        name
        for item in found
        for name, inputs in own.items()
        if any(np.array_equal(item, one) for one in inputs)
    ]
    assert sorted(origins) == ["sub-a", "sub-b"]
    again = cases.calibration_inputs(predictor, scans, 2, seed=5)
    assert np.array_equal(np.stack(found), np.stack(again))
    assert len(cases.calibration_inputs(predictor, scans[:1], 100, seed=5)) == len(own["sub-a"])
    with pytest.raises(InputError, match="training cases"):
        cases.calibration_inputs(predictor, [], 4, seed=5)


def _refined_paths(name):
    return Dataset(paths.REFINED).image(name), paths.CENTRELINES / f"{name}.json"


def _refined(name):
    scan, centreline = _refined_paths(name)
    return cases.read_image(scan), Centreline.read(centreline)


def annotated_case(root, schemes: dict[Scheme, list[int]], *, synthetic: bool, corner=(0, 0, 0)):
    """A case whose annotation of 2 × 2 × 2 voxels, with these label values, begins at `corner`."""
    affine = np.eye(4)
    affine[:3, 3] = corner
    for scheme, values in schemes.items():
        labels = Volume(np.array(values, np.uint8).reshape(2, 2, 2), affine)
        write_volume(Dataset(root).labels("sub-a", scheme), labels)
    selected = SelectedCase("sub-a", Dataset(root), PHANTOM if synthetic else INGESTED)
    return cases.MeasuredCase(selected, root, Dataset(root), Dataset(root))


ROOTS = [0, *(Root.parse(name).value for name in ("L1_D_L", "L1_V_L", "L2_D_R", "L3_D_L")), 0, 0, 0]
LEVEL_VALUES = [0, *(level_value(level) for level in ("L1", "L1", "L2", "L3")), 0, 0, 0]
ONE_AND_TWO = Target(Scheme.LEVELS, ("L1", "L2"))


GRID = Grid((2, 2, 2), np.eye(4))


@pytest.mark.parametrize("synthetic", [True, False])
def test_only_the_targets_dorsal_roots_are_the_reference(tmp_path, synthetic):
    maps = {Scheme.INDIVIDUALS: ROOTS, Scheme.LEVELS: LEVEL_VALUES}
    found = annotated_case(tmp_path, maps, synthetic=synthetic).reference(ONE_AND_TWO, GRID)
    assert found.ravel().tolist() == [False, True, False, True, False, False, False, False]


@pytest.mark.parametrize("scheme", ["levels", "individuals"])
def test_a_case_annotated_by_level_only_is_held_against_its_levels(tmp_path, scheme):
    case = annotated_case(tmp_path, {Scheme.LEVELS: LEVEL_VALUES}, synthetic=False)
    found = case.reference(Target(Scheme(scheme), ("L1", "L2")), GRID)
    assert found.ravel().tolist() == [False, True, True, True, False, False, False, False]


def test_a_cropped_annotation_is_put_where_it_was_cut_out(tmp_path):
    maps = {Scheme.LEVELS: [LEVEL_VALUES[1]] * 8}
    case = annotated_case(tmp_path, maps, synthetic=False, corner=(1, 0, 2))
    expected = np.zeros((3, 2, 5), bool)
    expected[1:3, 0:2, 2:4] = True
    assert np.array_equal(case.reference(ONE_AND_TWO, Grid((3, 2, 5), np.eye(4))), expected)


def measurement(masks: dict[str, np.ndarray], seconds: float) -> measure.Measurement:
    packed = {case: np.packbits(mask) for case, mask in masks.items()}
    return measure.Measurement(0.5, (seconds, 3 * seconds, 2 * seconds), (seconds,), 10.0, packed)


def test_a_row_tells_dice_change_agreement_and_ratios():
    true = np.array([1, 1, 1, 1, 0, 0, 0, 0], bool).reshape(2, 2, 2)
    half = np.array([1, 1, 0, 0, 0, 0, 0, 0], bool).reshape(2, 2, 2)
    references = {"sub-a": true, "sub-b": true}
    fp32 = measurement({"sub-a": true, "sub-b": true}, 4.0)
    int8 = measurement({"sub-a": half, "sub-b": true}, 1.0)
    found = rows.row(
        "m", Variant(Precision.INT8, Runtime.OPENVINO), 10.0, int8, fp32, 40.0, references, seed=1
    )
    assert found.binary_dice_mean == pytest.approx(5 / 6)
    assert found.dice_change == pytest.approx(-1 / 6)
    assert (found.dice_change_low, found.dice_change_high) == pytest.approx((-1 / 3, 0))
    assert found.agreement_with_fp32 == pytest.approx(5 / 6)
    assert (found.size_ratio, found.speed_ratio, found.inference_s) == (4, 4, 2)


def make_row(name: str, size_mb: float, seconds: float, change: float) -> rows.Row:
    runtime, precision = name.split("-")
    return rows.Row(
        model="hardnet-all-levels",
        precision=precision,
        runtime=runtime,
        size_mb=size_mb,
        inference_s=seconds,
        binary_dice_mean=0.8,
        binary_dice_sd=0.1,
        n_cases=2,
        inference_s_min=seconds,
        inference_s_max=seconds,
        network_s=seconds,
        load_s=0.1,
        peak_memory_mb=100,
        dice_change=change,
        dice_change_low=change,
        dice_change_high=change,
        agreement_with_fp32=1,
        size_ratio=40 / size_mb,
        speed_ratio=1 / seconds,
    )


def by_test_change(row: rows.Row) -> float:
    """Judges the hand-made rows by the change that they were made with."""
    return row.dice_change


@pytest.mark.parametrize(
    ("int8_change", "expected"),
    [(-0.004, "openvino-int8"), (-0.006, "openvino-fp16"), (float("nan"), "openvino-fp16")],
)
def test_the_smallest_export_within_the_dice_loss_is_recommended(int8_change, expected):
    table = [
        make_row("pytorch-fp32", 40, 1.0, 0.0),
        make_row("openvino-fp16", 20, 0.5, 0.001),
        make_row("openvino-int8", 10, 0.2, int8_change),
    ]
    best = rows.recommend(table, by_test_change, 0.005)
    assert rows.as_record(best, 0.005, MADE_FROM)["export"] == expected


def test_of_equally_small_exports_the_fastest_is_recommended():
    table = [
        make_row("pytorch-fp32", 40, 1.0, 0.0),
        make_row("onnxruntime-int8", 10.0, 0.6, 0.0),
        make_row("openvino-int8", 10.1, 0.2, 0.0),
    ]
    assert rows.recommend(table, by_test_change, 0.005) is table[2]


def test_a_fraction_of_a_megabyte_is_no_reason_for_a_slow_export():
    table = [
        make_row("pytorch-fp32", 3.0, 1.0, 0.0),
        make_row("onnxruntime-int8", 0.4, 0.6, 0.0),
        make_row("openvino-int8", 0.6, 0.1, 0.0),
    ]
    assert rows.recommend(table, by_test_change, 0.005) is table[2]


def test_what_is_fast_is_told_by_the_network_and_not_by_what_is_the_same_for_all():
    table = [
        make_row("pytorch-fp32", 3.0, 7.0, 0.0),
        replace(make_row("onnxruntime-int8", 0.5, 6.4, 0.0), network_s=2.6),
        replace(make_row("openvino-int8", 0.7, 7.2, 0.0), network_s=1.5),
    ]
    assert rows.recommend(table, by_test_change, 0.005) is table[2]


def test_fp32_is_recommended_when_everything_else_loses():
    table = [make_row("pytorch-fp32", 40, 1.0, 0.0), make_row("openvino-int8", 10, 0.2, -0.2)]
    best = rows.recommend(table, by_test_change, 0.005)
    assert best is table[0]
    assert rows.as_record(best, 0.005, MADE_FROM)["dice_change_on_validation"] == 0


def test_peak_memory_sees_a_passing_allocation():
    with measure.PeakMemory() as memory:
        block = np.ones(100_000_000, np.uint8)
        measure.time.sleep(0.05)
        del block
    assert 90 < memory.peak_mb < 200


def test_the_picture_is_the_same_every_time(tmp_path):
    table = [
        make_row("pytorch-fp32", 40, 1.0, 0.0),
        make_row("openvino-int8", 10, 0.2, float("nan")),
    ]
    for name in ("a.png", "b.png"):
        figure.save(tmp_path / name, table)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_exports_that_are_out_of_the_question_are_not_judged():
    table = [make_row("pytorch-fp32", 40, 1.0, 0.0), make_row("openvino-int8", 10, 0.2, 0.0)]
    asked = []
    rows.recommend(table, lambda row: asked.append(row.precision) or 0.0, 0.005)
    assert asked == ["int8"]


def test_unknown_figures_are_not_logged():
    found = stage.metrics(make_row("openvino-int8", 10, 0.2, float("nan")))
    assert found["size_mb"] == 10
    assert not {"dice_change", "recommended", "model"} & set(found)


def settings_of(params, **changes):
    """The parameters with HarDNet as the only model, and these of `quantize`."""
    chosen = params.quantize.model_copy(update={"models": ("hardnet-all-levels",), **changes})
    return params.model_copy(update={"quantize": chosen})


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """Three small cases and the stub as the trained model; measured here, not in a process.

    Gives the rows that are logged, and, by name of an export, the cases whose masks are to be
    wiped out. sub-b is the validation case and sub-c the test case.
    """
    monkeypatch.chdir(tmp_path)
    split = {"train": ["sub-a"], "validation": ["sub-b"], "test": ["sub-c"]}
    for seed, name in enumerate(("sub-a", "sub-b", "sub-c")):
        write_case(tmp_path, name, seed)
    write_json(tmp_path / "data" / "split.json", split)
    model = tmp_path / "models" / "trained" / "hardnet-all-levels"
    model.mkdir(parents=True)
    for name in ("model.json", "model.safetensors"):
        (model / name).write_text(name, encoding="utf-8")
    monkeypatch.setattr(TrainedModel, "predictor", lambda model: StubPredictor())
    logged, spoiled = [], {}

    def measured(folder, model, chosen, repeats):
        found = measure.measure_here(folder, model, chosen, repeats)
        # What is chosen must not hang on which of these tiny networks the machine ran faster.
        seconds = 1.0 if "int8" in folder.name else 2.0
        found = replace(found, network_s=tuple(seconds for _ in found.network_s))
        for case in spoiled.get(folder.name, ()):
            if case in found.masks:
                found.masks[case] = found.masks[case] * np.uint8(0)
        return found

    monkeypatch.setattr(compare, "measure", measured)
    monkeypatch.setattr(stage, "_to_mlflow", lambda rows, *_: logged.extend(rows))
    return logged, spoiled


@pytest.mark.parametrize(
    ("control", "fails_on", "controlled"),
    [
        ("never", ["sub-b"], False),
        ("when_needed", [], False),
        ("when_needed", ["sub-b"], True),
        ("when_needed", ["sub-c"], False),  # a test case decides nothing
        ("always", [], True),
    ],
)
def test_int8_that_loses_too_much_gets_a_controlled_sibling(
    planted, tmp_path, smoke_params, control, fails_on, controlled
):
    logged, spoiled = planted
    spoiled["openvino-int8"] = fails_on
    settings = settings_of(
        smoke_params,
        runtimes=(Runtime.OPENVINO,),
        precisions=(Precision.INT8,),
        accuracy_control=control,
        max_dice_loss=0.2,
    )
    stage.main(settings)
    table = pd.read_csv(tmp_path / "reports" / "quantization_details.csv")
    assert ("int8-controlled" in set(table["precision"])) is controlled
    folder = tmp_path / "models/exports/hardnet-all-levels/openvino-int8-controlled"
    assert folder.is_dir() is controlled
    row = {one.precision: one for one in logged}
    made_from = TrainedModel(tmp_path / "models/trained/hardnet-all-levels", None).made_from
    if "sub-b" in fails_on:
        assert not row["int8"].recommended
    if controlled:
        assert row["int8-controlled"].dice_change > -0.2
        assert row["int8-controlled"].binary_dice_mean > 0
        assert load(folder, None, made_from)(batch(1)).shape == (1, 3, 8, 8, 8)
    if fails_on and controlled:
        assert row["int8-controlled"].recommended


def test_the_stage_compares_exports_and_recommends_one(planted, tmp_path, smoke_params):
    logged, _ = planted
    settings = settings_of(
        smoke_params,
        runtimes=tuple(Runtime),
        precisions=(Precision.FP32, Precision.INT8),
    )
    stage.main(settings)

    table = pd.read_csv(tmp_path / "reports" / "table_quantization.csv")
    assert list(table) == [
        "model",
        "precision",
        "runtime",
        "size_mb",
        "inference_s",
        "binary_dice_mean",
        "binary_dice_sd",
    ]
    assert table.notna().all(axis=None)
    pairs = list(zip(table.runtime, table.precision, strict=True))
    assert pairs == [
        ("pytorch", "fp32"),
        ("openvino", "fp32"),
        ("openvino", "int8"),
        ("onnxruntime", "fp32"),
        ("onnxruntime", "int8"),
    ]
    first = logged[0]
    assert 0.7 < first.binary_dice_mean < 1
    assert first.agreement_with_fp32 == 1
    best = read_json(paths.RECOMMENDED)["hardnet-all-levels"]
    assert best["made_from"] == TrainedModel(paths.TRAINED / "hardnet-all-levels", None).made_from
    runner = load(
        paths.EXPORTS / "hardnet-all-levels" / best["export"], small_network(), best["made_from"]
    )
    assert runner(batch(2)).shape == (2, 3, 8, 8, 8)


class SharedEncoder(nn.Module):
    """A decoder that holds the encoder as well, as nnU-Net's does."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Conv3d(1, 32, 3, padding=1)
        self.decoder = nn.Sequential(self.encoder, nn.Conv3d(32, 32, 3, padding=1))

    def forward(self, image):
        return self.decoder(image)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_weights_that_layers_share_are_stored_once(tmp_path, precision):
    network = SharedEncoder().eval()
    variant = Variant(Precision(precision), Runtime.PYTORCH)
    export.Exporter(network, INPUT_SHAPE, "stub", MADE_FROM, []).write(variant, tmp_path)
    weights = tmp_path / "model.safetensors"
    count = sum(parameter.numel() for parameter in network.parameters())
    size = {"fp32": 4, "bf16": 2}[precision]
    assert weights.stat().st_size == pytest.approx(size * count, rel=0.05)
    expected = eval_logits(network, batch(1))
    other = SharedEncoder()
    found = runtimes.pytorch_runner(other, weights, Precision.FP32)(batch(1))
    assert np.abs(found - expected).max() < 1e-2
