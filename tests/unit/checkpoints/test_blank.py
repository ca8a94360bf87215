"""Networks that a file is about to fill are built without drawing weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from segstudio.checkpoints.blank import NoRandomValues


@pytest.mark.parametrize(
    "fill",
    [
        nn.init.normal_,
        nn.init.uniform_,
        nn.init.kaiming_normal_,
        nn.init.kaiming_uniform_,
        nn.init.trunc_normal_,
        nn.init.xavier_uniform_,
    ],
)
def test_initial_values_are_zeros_whatever_was_in_the_memory(fill: object) -> None:
    assert callable(fill)
    before = torch.get_rng_state()
    for rubbish in (1e30, float("nan")):
        weights = torch.full((8, 8), rubbish)
        with NoRandomValues():
            fill(weights)
        assert torch.equal(weights, torch.zeros(8, 8))
    assert torch.equal(torch.get_rng_state(), before)


def test_other_values_are_kept() -> None:
    with NoRandomValues():
        norm = nn.BatchNorm2d(3)
        bias = nn.Parameter(torch.arange(3.0))
    assert torch.equal(norm.weight, torch.ones(3)) and torch.equal(bias, torch.arange(3.0))


def test_memoryless_tensors_stay_so() -> None:
    with torch.device("meta"), NoRandomValues():
        layer = nn.Linear(4, 4)
    assert layer.weight.is_meta
