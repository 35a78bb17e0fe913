"""Personal 3D models of the spinal nerve roots from T2 MRI of the lower spine.

Scans are patients, so nothing may call home: the telemetry of the libraries used here is
switched off before any of them is imported. A value set by the user wins.
"""

import importlib
import os
import sys
from contextlib import suppress
from typing import Any

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

# Python does not notice when only half of a module's byte code gets onto a full disk, and from then
# on fails to import it.
with suppress(OSError):
    _disk = os.statvfs(__path__[0])
    if _disk.f_bavail * _disk.f_frsize < 2**26:
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

_API = ("load_model", "LoadedModel", "Result")


def __getattr__(name: str) -> Any:
    """The Python API, loaded when it is first asked for: neither --help nor a stage needs it."""
    if name in _API:
        return getattr(importlib.import_module(f"{__name__}.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
