"""Personal 3D models of the spinal nerve roots from T2 MRI of the lower spine.

Scans are patients, so nothing may call home: the telemetry of the libraries used here is
switched off before any of them is imported. A value set by the user wins.
"""

import os
import sys

__version__ = "0.1.0"

for _name, _value in {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "SCARF_NO_ANALYTICS": "true",
}.items():
    os.environ.setdefault(_name, _value)

# OpenVINO and NNCF have no switch of their own: they report unless this package cannot be found.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
