"""The device that networks run on."""

from __future__ import annotations

import pytest
import torch

from spinalroots.compute.device import choose_device
from spinalroots.errors import InputError


def test_auto_is_what_the_machine_has():
    assert choose_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == "cpu"


def test_a_gpu_that_is_not_there_is_an_error_with_a_way_out(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="Use auto"):
        choose_device("cuda", "nnunet.training.device")


def test_an_unknown_device_is_named():
    with pytest.raises(InputError, match=r"--device.*'tpu'"):
        choose_device("tpu", "--device")
