"""How much of a network a checkpoint fills."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from segstudio.architectures.enet import ENet, ENetOptions
from segstudio.checkpoints.native import NativeCheckpoint, save_native, state_dict_of
from segstudio.checkpoints.opening import Checkpoint, open_checkpoint
from segstudio.core.label_space import load_label_space
from segstudio.core.preprocessing import Preprocessing
from segstudio.inference.fitting import measure_fit


@pytest.fixture
def opened(tmp_path: Path) -> Checkpoint:
    path = tmp_path / "whole.safetensors"
    tensors = state_dict_of(ENet(11, ENetOptions()))
    space = load_label_space("camvid")
    save_native(path, NativeCheckpoint("enet", {}, space, Preprocessing(), tensors))
    return open_checkpoint(path)


def test_a_whole_checkpoint_fills_everything(opened: Checkpoint) -> None:
    fit = measure_fit(opened)
    network = ENet(11, ENetOptions())
    counters = sum(name.endswith("num_batches_tracked") for name in network.state_dict())
    assert counters > 0
    assert fit.tensors == fit.filled == len(network.state_dict()) - counters
    assert fit.parameters == sum(entry.numel() for entry in network.parameters())
    assert fit.misshapen == ()


def test_what_lacks_or_has_another_shape_is_not_filled(opened: Checkpoint) -> None:
    tensors = dict(opened.state_dict)
    names = [name for name in tensors if name.endswith("bias")]
    del tensors[names[0]]
    tensors[names[1]] = torch.zeros(3, 2)
    whole = measure_fit(opened)
    fit = measure_fit(replace(opened, state_dict=tensors))
    assert (fit.tensors, fit.filled) == (whole.tensors, whole.tensors - 2)
    (words,) = fit.misshapen
    assert words.startswith(f"{names[1]} (3 x 2, not ")


def test_a_network_that_keeps_its_weights_has_no_parameters(opened: Checkpoint) -> None:
    class Closed(ENet):
        def state_dict(self, *args, **kwargs):
            return {}

        def parameters(self, recurse=True):
            return iter(())

    fit = measure_fit(replace(opened, network=Closed(11, ENetOptions()), state_dict={}))
    assert (fit.tensors, fit.filled, fit.parameters) == (0, 0, None)
