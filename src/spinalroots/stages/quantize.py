"""Stage `quantize`: every export of the chosen models, measured side by side, one recommended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from spinalroots.dataset.selection import selected_cases
from spinalroots.exports.runtimes import EXPORTS, RECOMMENDED
from spinalroots.files import folder_in_one_piece, read_json, write_json, write_text
from spinalroots.inference.predictor import Predictor, Runner
from spinalroots.metrics.overlap import dice, mean_present
from spinalroots.pipeline.params import Params
from spinalroots.predict.load import load_predictor
from spinalroots.quantize import accuracy, choose, compare, export, figure, report
from spinalroots.quantize.cases import Case, calibration_inputs
from spinalroots.quantize.measure import measure
from spinalroots.registry.paths import RAW
from spinalroots.registry.variants import CONTROLLED, REFERENCE, Variant, chosen, runs_here

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
            best = next(row for row in compared if row.recommended)
            recommended[name] = choose.as_record(best, params.quantize.max_dice_loss)
            rows += compared
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
        known = {one.name: Case.of(one) for one in selected_cases(params.data, RAW)}
        judges = (split["validation"] or split["train"])[: self.settings.validation_cases]
        self.tests = [known[case] for case in split["test"][: self.settings.test_cases or None]]
        self.judges = [known[case] for case in judges]
        self.truth = {
            case.name: case.reference(self.predictor.target, case.scan()[0])
            for case in (*self.tests, *self.judges)
        }
        calibration = calibration_inputs(
            self.predictor, split["train"], self.settings.calibration_samples, self.seed
        )
        self.exporter = export.Exporter(
            self.predictor.network, self.predictor.input_shape, name, calibration
        )
        self.judged: dict[str, np.ndarray] = {}

    def run(self) -> list[compare.Row]:
        """Export, measure, choose; int8 that loses too much gets a controlled sibling."""
        variants = chosen(self.settings.runtimes, self.settings.precisions)
        variants = [variant for variant in variants if runs_here(variant)]
        for variant in tqdm(variants, desc=f"{self.name}: export"):
            self.exporter.write(variant, self.folder / variant.name)
        rows = []
        for variant in tqdm(variants, desc=f"{self.name}: measure"):
            rows.append(self._row(variant))
        if self._needs_control(rows):
            self._export_controlled()
            rows.append(self._row(CONTROLLED))
        best = choose.recommend(rows, self._judge, self.settings.max_dice_loss)
        return [
            replace(
                row,
                recommended=row is best,
                validation_dice_change=self._judge(row) if _folder(row) in self.judged else np.nan,
            )
            for row in rows
        ]

    def _row(self, variant: Variant) -> compare.Row:
        folder = self.folder / variant.name
        measured = measure(folder, self.model, self.tests, self.settings.repeats)
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
            {case.name: self.truth[case.name] for case in self.tests},
            self.seed,
        )

    def _judge(self, row: compare.Row) -> float:
        """Dice change against PyTorch fp32 on the validation cases; measured once per export."""
        change = self._validation_scores(_folder(row)) - self._validation_scores(REFERENCE.name)
        return mean_present(change)

    def _validation_scores(self, variant: str) -> np.ndarray:
        if variant not in self.judged:
            measured = measure(self.folder / variant, self.model, self.judges, 1)
            truth = {case.name: self.truth[case.name] for case in self.judges}
            self.judged[variant] = compare.scores(measured, truth)
        return self.judged[variant]

    def _needs_control(self, rows: list[compare.Row]) -> bool:
        int8 = [row for row in rows if (row.precision, row.runtime) == ("int8", "openvino")]
        if not int8 or self.settings.accuracy_control == "never":
            return False
        if self.settings.accuracy_control == "always":
            return True
        changes = (int8[0].dice_change, self._judge(int8[0]))
        return not all(choose.keeps_dice(one, self.settings.max_dice_loss) for one in changes)

    def _export_controlled(self) -> None:
        scans = {case.name: case.scan() for case in self.judges}

        def score(runner: Runner) -> float:
            found = mean_present(
                dice(self.truth[case], self.predictor.predict(*scan, runner).labels.data)
                for case, scan in scans.items()
            )
            return 0.0 if np.isnan(found) else found

        graph = accuracy.quantize_controlled(
            self.exporter.openvino_graph,
            self.exporter.calibration,
            score,
            self.settings.max_dice_loss,
        )
        self.exporter.write_graph(graph, CONTROLLED, self.folder / CONTROLLED.name)


def _folder(row: compare.Row) -> str:
    """Name of the row's export folder."""
    return f"{row.runtime}-{row.precision}"
