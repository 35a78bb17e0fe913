"""Where the pipeline's files lie, below the folder that a stage runs in."""

from pathlib import Path

RAW = Path("data/raw")
"""Below it one data set a source: `phantom`, and what a person brought in."""
PHANTOM, INGESTED = RAW / "phantom", RAW / "ingested"
TRUTH = Path("data/truth")
"""What only a phantom has; for measuring, never for training."""
TRUTH_CENTRELINES = TRUTH / "centreline"
TRUTH_SUBJECTS = TRUTH / "subjects"
REFINED, AUGMENTED = Path("data/refined"), Path("data/augmented")
SPLIT = Path("data/split.json")
ANATOMY, ANATOMY_SLICES = Path("data/anatomy"), "slices"
"""Phantoms that the anatomy network learns from, as straightened slices."""
HELD_OUT = "held-out"
"""Beside the slices: whole phantoms that it does not learn from, with their truth."""
CENTRELINES = Path("data/centreline")
"""Of refined and augmented cases, from their masks."""
SCAN_CENTRELINES = CENTRELINES / "raw"
"""Of whole scans, from the image alone."""
NNUNET = Path("data/nnunet")
"""A folder a row: `raw` and `preprocessed` as nnU-Net names them."""
PREDICTIONS, POSTPROCESSED = Path("data/predictions"), Path("data/postprocessed")
REAL_SCANS = Path("../shared/real")
"""Real scans with drawings, where there are any; no stage reads them."""
EXPERT_SCORES = Path("data/expert_scores.csv")
REVIEW, CORRECTED = Path("data/review"), Path("data/corrected")
"""What people enter in `spinalroots review`: drafts, and corrected masks of the pipeline's models.
No stage reads or writes them."""

MODELS = Path("models")
"""A folder a model, with all that a prediction needs."""
TRAINED = MODELS / "trained"
"""Weights as the trainings leave them."""
EXPORTS = MODELS / "exports"
"""A folder a model and variant, and which of them is recommended."""
RECOMMENDED = EXPORTS / "recommended.json"
APPEARANCE = MODELS / "appearance.json"

REPORTS = Path("reports")
FIGURES = REPORTS / "figures"
TUNING = REPORTS / "tuning"
RECONSTRUCTION = REPORTS / "reconstruction"
TABLE_RECONSTRUCTION = REPORTS / "reconstruction.csv"
REAL = REPORTS / "real"
"""Table and pictures of models on real scans."""
CORRECTIONS = REPORTS / "corrections"
"""A table a case: what each correction of its masks changed."""
CHECK, CHECK_PAGE = REPORTS / "check.json", REPORTS / "check.html"
METRICS, PLAUSIBILITY = REPORTS / "metrics.json", REPORTS / "plausibility.json"
METRICS_CASES, METRICS_SUMMARY = REPORTS / "metrics_cases.csv", REPORTS / "metrics_summary.csv"
TABLE_MODELS, TABLE_EXPERT = REPORTS / "table_models.csv", REPORTS / "table_expert_scores.csv"
TABLE_LOOKS = REPORTS / "table_looks.csv"
COMPARISONS = REPORTS / "comparisons.csv"
CALIBRATION, NAME_CALIBRATION = REPORTS / "calibration.csv", REPORTS / "calibration_names.csv"
"""Reliability of the two questions: is it root, and which one?"""
TABLE_QUANTIZATION = REPORTS / "table_quantization.csv"
AUGMENTATION = REPORTS / "augmentation.json"
TABLE_REFINEMENT, TABLE_CENTRELINE = REPORTS / "refinement.csv", REPORTS / "centreline.csv"
PAGE = REPORTS / "index.html"
TRAINING_CURVES, LEVEL_DICE = REPORTS / "training_curves.csv", REPORTS / "level_dice.csv"
"""What `dvc plots` draws."""
CASE_PAGES = REPORTS / "cases"
"""A page a test case, beside the index."""
REFINEMENT, CLASSES = REPORTS / "refinement.json", REPORTS / "class_distribution.csv"
MODEL_CARD, DATA_CARD = REPORTS / "model-card.md", REPORTS / "data-card.md"
CARDS = REPORTS / "cards"
"""NAME.md of every trained model."""
