"""What a warning is."""

import numpy as np


def warning(kind: str, label: str, value: float, limit: float, unit: str, message: str) -> dict:
    """A plain record that fits into JSON; a value that is not finite is None."""
    return {
        "kind": kind,
        "label": label,
        "value": round(float(value), 3) if np.isfinite(value) else None,
        "limit": limit,
        "unit": unit,
        "message": message,
    }
