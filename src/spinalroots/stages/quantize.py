"""Stage `quantize`: every export of the chosen models, measured side by side, one recommended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from spinalroots.dataset.selection import selected_cases
from spinalroots.evaluate.overlap import dice, mean_present
from spinalroots.files import folder_in_one_piece, read_json, write_json, write_text
from spinalroots.inference import Predictor, Runner, load_predictor
from spinalroots.params import Params
from spinalroots.quantize import accuracy, choose, compare, export, figure, report
from spinalroots.quantize.cases import Case, calibration_inputs
from spinalroots.quantize.measure import measure
from spinalroots.quantize.runtimes import EXPORTS, RECOMMENDED
from spinalroots.quantize.variants import CONTROLLED, REFERENCE, Variant, chosen, runs_here

MODELS_ROOT = Path("models")
SPLIT = Path("data/split.json")
REPORTS = Path("reports")


def main(params: Params) -> None:
    """Write models/exports, the two tables and the picture, and log every export to MLflow."""
    split = read_json(SPLIT)
    rows: list[compare.Row] = []
    with folder_in_one_piece(MODELS_ROOT / EXPORTS) as staging:
        recommended = {}
        for name in params.quantize.models:
            compared = _Comparison(params, name, staging / name, split).run()
            best = choose.recommend(compared, params.quantize.max_dice_loss)
            recommended[name] = choose.as_record(best, params.quantize.max_dice_loss)
            rows += [replace(row, recommended=row is best) for row in compared]
        write_json(staging / RECOMMENDED, recommended)
    table = compare.frame(rows)
    write_text(
        REPORTS / "table_quantization.csv", table[list(compare.TABLE)].round(4).to_csv(index=False)
    )
    write_text(REPORTS / "quantization_details.csv", table.round(5).to_csv(index=False))
    figure.save(REPORTS / "figures" / "quantization.png", rows)
    report.to_mlflow(rows, params, REPORTS / "figures" / "quantization.png")


class _Comparison:
    """All exports of one model."""

    def __init__(self, params: Params, name: str, folder: Path, split: dict[str, list[str]]):
        self.settings, self.seed = params.quantize, params.seed
        self.name, self.folder, self.model = name, folder, MODELS_ROOT / name
        self.predictor: Predictor = load_predictor(self.model)
        tests = split["test"][: self.settings.test_cases or None]
        judges = (split["validation"] or split["train"])[: self.settings.validation_cases]
        known = {one.name: one for one in selected_cases(params)}
        self.cases = [Case.of(known[case]) for case in [*tests, *judges]]
        self.references = {}
        for case in self.cases:
            mask = case.reference(self.predictor.target, case.scan()[0])
            self.references[case.name] = compare.Reference(mask, case.name in tests)
        calibration = calibration_inputs(
            self.predictor, split["train"], self.settings.calibration_samples, self.seed
        )
        self.exporter = export.Exporter(
            self.predictor.network, self.predictor.input_shape, name, calibration
        )

    def run(self) -> list[compare.Row]:
        """Export and measure; int8 that loses too much gets a controlled sibling."""
        variants = chosen(self.settings.runtimes, self.settings.precisions)
        variants = [variant for variant in variants if runs_here(variant)]
        for variant in tqdm(variants, desc=f"{self.name}: export"):
            self.exporter.write(variant, self.folder / variant.name)
        rows: list[compare.Row] = []
        for variant in tqdm(variants, desc=f"{self.name}: measure"):
            rows.append(self._row(variant))
        if self._needs_control(rows):
            self._export_controlled()
            rows.append(self._row(CONTROLLED))
        return rows

    def _row(self, variant: Variant) -> compare.Row:
        folder = self.folder / variant.name
        measured = measure(folder, self.model, self.cases, self.settings.repeats)
        size_mb = export.size_mb(folder)
        if variant == REFERENCE:
            self.fp32, self.fp32_size_mb = measured, size_mb
        return compare.row(
            self.name,
            variant,
            size_mb,
            measured,
            self.fp32,
            self.fp32_size_mb,
            self.references,
            self.seed,
        )

    def _needs_control(self, rows: list[compare.Row]) -> bool:
        int8 = [row for row in rows if (row.precision, row.runtime) == ("int8", "openvino")]
        if not int8 or self.settings.accuracy_control == "never":
            return False
        limit = self.settings.max_dice_loss
        lost = not choose.keeps_dice(int8[0], limit) or -int8[0].dice_change > limit
        return lost or self.settings.accuracy_control == "always"

    def _export_controlled(self) -> None:
        judges = [case for case in self.cases if not self.references[case.name].is_test]
        scans = {case.name: case.scan() for case in judges}

        def score(runner: Runner) -> float:
            masks = {
                case: self.predictor.predict(*scan, runner).labels.data > 0
                for case, scan in scans.items()
            }
            found = mean_present(
                dice(self.references[case].mask, mask) for case, mask in masks.items()
            )
            return 0.0 if np.isnan(found) else found

        graph = accuracy.quantize_controlled(
            self.exporter.openvino_graph,
            self.exporter.calibration,
            score,
            self.settings.max_dice_loss,
        )
        self.exporter.write_graph(graph, CONTROLLED, self.folder / CONTROLLED.name)
