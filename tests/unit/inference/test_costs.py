"""Costs: operations as counted by hand, memory of a process of its own, passes of a window."""

from __future__ import annotations

import functools
import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segstudio.architectures._base import Facts, SegmentationNetwork
from segstudio.architectures.unet import UNet, UNetOptions
from segstudio.checkpoints.native import NativeCheckpoint, save_native, state_dict_of
from segstudio.core.errors import SegStudioError, UsageError, WorkerError
from segstudio.core.label_space import load_label_space
from segstudio.core.options import options_to_json
from segstudio.core.preprocessing import Preprocessing
from segstudio.inference import costs as costs_module
from segstudio.inference.costs import measure_costs

OPTIONS = UNetOptions(width=8, depth=2)
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a process holds")


class One(SegmentationNetwork):
    """A network of a single operation."""

    name = "one"
    facts = Facts("One", "", 2024, 1)

    @dataclass(frozen=True)
    class Options:
        """None."""

    def __init__(self, kind: str) -> None:
        super().__init__(4)
        self.kind = kind
        self.convolve = nn.Conv2d(3, 4, 3, padding=1, stride=2)

    @classmethod
    def recognise(cls, state_dict: Any) -> None:
        return None

    def forward(self, image: Tensor) -> Tensor:
        if self.kind == "attention":
            tokens = image.flatten(2).transpose(1, 2)[:, None]
            return F.scaled_dot_product_attention(tokens, tokens, tokens)
        if self.kind == "looks" and image.sum().item() > 1e9:
            return image
        return self.convolve(image)


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        # outputs x kernel x input channels, two operations per multiply-add
        ("convolution", 2 * (4 * 8 * 12) * 9 * 3),
        # looking at values makes the real pass necessary; the count is the same
        ("looks", 2 * (4 * 8 * 12) * 9 * 3),
        # tokens against tokens over 3 channels, and the same again for the weighted sum
        ("attention", 2 * 2 * 384 * 384 * 3),
    ],
)
def test_operations_are_those_counted_by_hand(kind: str, wanted: int) -> None:
    assert costs_module._operations(One(kind).eval(), torch.zeros(1, 3, 16, 24)) == wanted


def test_counting_leaves_the_network_as_it_was() -> None:
    network = One("convolution").eval()
    before = network.convolve.weight.clone()
    costs_module._operations(network, torch.zeros(1, 3, 16, 24))
    assert network.convolve.weight.device.type == "cpu"
    assert torch.equal(network.convolve.weight, before)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("models"), Preprocessing(divisor=4))


def save(folder: Path, preprocessing: Preprocessing) -> Path:
    path = folder / "unet.safetensors"
    weights = state_dict_of(UNet(11, OPTIONS))
    space = load_label_space("camvid")
    chosen = options_to_json(OPTIONS)
    save_native(path, NativeCheckpoint("unet", chosen, space, preprocessing, weights))
    return path


@pytest.fixture
def _no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the process that measures memory."""
    monkeypatch.setattr(costs_module, "_cpu_peak", lambda *_: None)


@pytest.mark.usefixtures("_no_process")
def test_what_is_measured(saved: Path) -> None:
    costs = measure_costs(saved, (30, 45), device="cpu", precision="fp32", runs=1)
    parameters = sum(value.numel() for value in UNet(11, OPTIONS).parameters())
    assert (costs.architecture, costs.variant) == ("unet", "width=8, depth=2")
    assert (costs.parameters, costs.parameter_bytes) == (parameters, 4 * parameters)
    assert costs.output_stride == 1 and costs.passes == 1
    assert (costs.size, costs.input_size) == ((30, 45), (32, 48))
    assert (costs.device, costs.precision, costs.runs) == ("cpu", "fp32", 1)
    assert costs.predict_seconds > 0 and costs.forward_seconds > 0
    assert costs.images_per_second == 1 / costs.predict_seconds
    assert (costs.peak_memory, costs.memory_method) == (None, "")
    larger = measure_costs(saved, (60, 90), device="cpu", runs=1)
    assert larger.input_size == (60, 92)
    assert costs.operations and larger.operations
    assert larger.operations / costs.operations == pytest.approx(60 * 92 / (32 * 48))
    document = json.loads(json.dumps(costs.to_json()))
    assert document["size"] == [30, 45]
    assert document["passes_per_second"] == costs.passes_per_second


@pytest.mark.usefixtures("_no_process")
def test_a_window_is_one_of_several_passes(tmp_path: Path) -> None:
    sliding = Preprocessing(window=(32, 32), stride=(16, 16))
    costs = measure_costs(save(tmp_path, sliding), (64, 48), device="cpu", runs=1)
    assert (costs.size, costs.input_size, costs.passes) == ((64, 48), (32, 32), 6)
    whole = save(tmp_path, replace(sliding, window=None, stride=None))
    one = measure_costs(whole, (32, 32), device="cpu", runs=1)
    assert costs.operations == one.operations


def test_a_published_variant_is_called_by_its_name() -> None:
    network = One("convolution")
    assert costs_module._variant(network) == ""

    class Named(One):
        @dataclass(frozen=True)
        class Options:
            depth: int = 50

        variants: ClassVar = {"R50": {"depth": 50}, "R101": {"depth": 101}}

    named = Named("convolution")
    for depth, wanted in ((50, "R50"), (101, "R101"), (18, "depth=18")):
        named.options = Named.Options(depth)
        assert costs_module._variant(named) == wanted


@pytest.mark.parametrize(("size", "runs"), [((0, 8), 1), ((8, 8), 0)])
def test_senseless_measurements_are_refused(saved: Path, size: tuple[int, int], runs: int) -> None:
    with pytest.raises(UsageError, match="1 x 1 pixels or more, and a run or more"):
        measure_costs(saved, size, runs=runs)
    with pytest.raises(UsageError, match="no device 'abacus'"):
        measure_costs(saved, (8, 8), device="abacus")


# -- memory ----------------------------------------------------------------------------------------


@linux
def test_memory_grows_with_the_image(saved: Path) -> None:
    small = measure_costs(saved, (32, 32), device="cpu", runs=1)
    large = costs_module._cpu_peak(str(saved), "fp32", (512, 512), None)
    assert small.peak_memory is not None and large is not None
    assert small.peak_memory >= small.parameter_bytes  # type: ignore[operator]
    assert "fresh process" in small.memory_method
    # At its finest level the U-Net holds at least three maps of 8 channels at once.
    assert large - small.peak_memory > 3 * 8 * 4 * 512 * 512


@linux
def test_a_process_that_dies_is_an_error(saved: Path) -> None:
    with pytest.raises(WorkerError, match=r"ended early \(exit code 3\); there may be too little"):
        costs_module._cpu_peak(str(saved), "fp32", (8, 8), functools.partial(os._exit, 3))


class Pipe:
    """Keeps what is sent."""

    sent: object = None

    def send(self, message: object) -> None:
        self.sent = message


def test_what_goes_wrong_in_the_process_is_told(tmp_path: Path) -> None:
    pipe, called = Pipe(), []
    missing = str(tmp_path / "nothing.pth")
    costs_module._weigh(pipe, missing, "fp32", (8, 8), functools.partial(called.append, "prepared"))
    assert isinstance(pipe.sent, str) and "nothing.pth" in pipe.sent and called == ["prepared"]


def test_where_the_system_does_not_say_nothing_is_claimed(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs_module, "_status", lambda key: None)
    costs = measure_costs(saved, (8, 8), device="cpu", runs=1)
    assert (costs.peak_memory, costs.memory_method) == (None, "")


@linux
def test_the_error_of_the_process_reaches_the_caller(tmp_path: Path) -> None:
    with pytest.raises(SegStudioError, match=r"nothing\.pth"):
        costs_module._cpu_peak(str(tmp_path / "nothing.pth"), "fp32", (8, 8), None)
