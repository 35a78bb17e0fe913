"""All exports of one model, measured side by side, one of them recommended."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from spinalroots.inference.predictor import Runner
from spinalroots.metrics.overlap import dice, mean_present
from spinalroots.predict.trained import TrainedModel
from spinalroots.quantize import int8, rows
from spinalroots.quantize.cases import MeasuredCase
from spinalroots.quantize.export import Exporter, size_mb
from spinalroots.quantize.measure import Measurement, measure
from spinalroots.registry.variants import CONTROLLED, REFERENCE, Variant, chosen, runs_here
from spinalroots.settings.results import Quantize


class Comparison:
    """Exports of one model below `folder`, one folder a variant.

    :param tests: cases whose Dice, time and memory are reported; they decide nothing.
    :param judges: validation cases, on which the recommendation is judged.
    :param calibration: network inputs (C, *spatial) of training cases.
    """

    def __init__(
        self,
        model: TrainedModel,
        folder: Path,
        settings: Quantize,
        *,
        tests: list[MeasuredCase],
        judges: list[MeasuredCase],
        calibration: list[np.ndarray],
        seed: int,
    ):
        self.model, self.folder, self.settings, self.seed = model, folder, settings, seed
        self.predictor = model.predictor()
        self.tests, self.judges = tests, judges
        self.truth = {
            case.name: case.reference(self.predictor.target, case.scan()[0].grid)
            for case in (*tests, *judges)
        }
        self.exporter = Exporter(
            self.predictor.network,
            self.predictor.input_shape,
            self.predictor.name,
            model.made_from,
            calibration,
        )
        self.judged: dict[str, np.ndarray] = {}

    def run(self) -> list[rows.Row]:
        """Export, measure, choose; int8 that loses too much gets a controlled sibling."""
        variants = chosen(self.settings.runtimes, self.settings.precisions)
        variants = tuple(variant for variant in variants if runs_here(variant))
        for variant in tqdm(variants, desc=f"{self.predictor.name}: export"):
            self.exporter.write(variant, self.folder / variant.name)
        fp32 = self._measure(REFERENCE, self.tests, self.settings.repeats)
        measured = [
            self._row(variant, fp32)
            for variant in tqdm(variants, desc=f"{self.predictor.name}: measure")
        ]
        if self._needs_control(measured):
            self._export_controlled()
            measured.append(self._row(CONTROLLED, fp32))
        best = rows.recommend(measured, self._judge, self.settings.max_dice_loss)
        self._judge(best)
        return [
            replace(
                row,
                recommended=row is best,
                validation_dice_change=self._judge(row) if row.export in self.judged else np.nan,
                validation_dice=mean_present(self.judged.get(row.export, [np.nan])),
            )
            for row in measured
        ]

    def _measure(self, variant: Variant, cases: list[MeasuredCase], repeats: int) -> Measurement:
        return measure(self.folder / variant.name, self.model, cases, repeats)

    def _row(self, variant: Variant, fp32: Measurement) -> rows.Row:
        same = variant == REFERENCE
        measured = fp32 if same else self._measure(variant, self.tests, self.settings.repeats)
        return rows.row(
            self.predictor.name,
            variant,
            size_mb(self.folder / variant.name),
            measured,
            fp32,
            size_mb(self.folder / REFERENCE.name),
            self.truth,
            self.seed,
        )

    def _judge(self, row: rows.Row) -> float:
        """Dice change against PyTorch fp32 on the validation cases; measured once per export."""
        change = self._validation_scores(row.variant) - self._validation_scores(REFERENCE)
        return mean_present(change)

    def _validation_scores(self, variant: Variant) -> np.ndarray:
        if variant.name not in self.judged:
            measured = self._measure(variant, self.judges, 1)
            self.judged[variant.name] = rows.scores(measured, self.truth)
        return self.judged[variant.name]

    def _needs_control(self, measured: list[rows.Row]) -> bool:
        """Whether OpenVINO's plain int8 is there and loses too much on the validation cases."""
        plain = next((row for row in measured if row.export == "openvino-int8"), None)
        control, limit = self.settings.accuracy_control, self.settings.max_dice_loss
        if plain is None or control == "never":
            return False
        return control == "always" or not rows.keeps_dice(self._judge(plain), limit)

    def _export_controlled(self) -> None:
        scans = {case.name: case.scan() for case in self.judges}

        def score(runner: Runner) -> float:
            found = mean_present(
                dice(self.truth[case], self.predictor.predict(*scan, runner).labels.data)
                for case, scan in scans.items()
            )
            return 0.0 if np.isnan(found) else found

        graph = int8.quantize_controlled(
            self.exporter.openvino_graph,
            self.exporter.calibration,
            score,
            self.settings.max_dice_loss,
        )
        self.exporter.write(CONTROLLED, self.folder / CONTROLLED.name, graph)
