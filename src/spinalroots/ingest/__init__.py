"""A person's own scans into data/raw: first a plan that reads and judges, then the writing."""

from spinalroots.ingest.assemble import CaseReport
from spinalroots.ingest.planning import PlannedCase, ThereAlready, plan
from spinalroots.ingest.writing import ingest, replace_masks

__all__ = ["CaseReport", "PlannedCase", "ThereAlready", "ingest", "plan", "replace_masks"]
