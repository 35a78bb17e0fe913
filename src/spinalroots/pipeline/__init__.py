"""Around every stage: parameters in, provenance, the MLflow run."""
