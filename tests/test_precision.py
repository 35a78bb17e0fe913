"""What `auto` means: bf16 where the hardware computes in it, and one answer for both families."""

from __future__ import annotations

import pytest
import torch

from spinalroots.compute.device import cpu_computes_bf16, resolved_precision


@pytest.mark.parametrize(
    ("amx", "avx512", "expected"),
    [
        (False, False, "32"),
        (True, False, "bf16-mixed"),
        (False, True, "bf16-mixed"),
        (True, True, "bf16-mixed"),
    ],
)
def test_auto_is_bf16_on_a_processor_that_multiplies_it(amx, avx512, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    assert resolved_precision("auto", "cpu") == expected
    assert cpu_computes_bf16() == (expected == "bf16-mixed")


@pytest.mark.parametrize("word", ["32", "bf16-mixed", "16-mixed"])
def test_a_precision_that_is_asked_for_is_taken(word):
    assert resolved_precision(word, "cpu") == resolved_precision(word, "cuda") == word
