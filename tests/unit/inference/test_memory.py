"""How much memory there is, and what a pass takes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from segstudio.inference import memory
from segstudio.inference.memory import PassMemory, free_memory, measure_pass

CPU = torch.device("cpu")


def test_there_is_some_memory_left() -> None:
    free = free_memory(CPU)
    assert free is not None and 1e6 < free < 1e14


@pytest.fixture
def linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    real = memory.Path

    def path(name: str) -> Path:
        return tmp_path / "meminfo" if name == "/proc/meminfo" else real(name)

    monkeypatch.setattr(memory, "Path", path)
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    5000 kB\nBuffers: 1 kB")
    return tmp_path


def test_what_the_kernel_calls_available(linux: Path) -> None:
    assert memory._free_on_linux() == 5000 * 1024
    (linux / "memory.max").write_text("max\n")
    assert memory._free_on_linux() == 5000 * 1024
    (linux / "meminfo").write_text("nothing")
    assert memory._free_on_linux() is None


def test_a_containers_limit_counts(linux: Path) -> None:
    (linux / "memory.max").write_text("3000000\n")
    (linux / "memory.current").write_text("2500000\n")
    (linux / "memory.stat").write_text("anon 1\ninactive_file 100000\nslab 4\n")
    assert memory._free_on_linux() == 600_000
    (linux / "memory.current").write_text("9500000\n")
    assert memory._free_on_linux() == 0


@torch.inference_mode()
def test_a_pass_takes_its_largest_two_tensors() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 40, 3, padding=1), nn.Conv2d(40, 60, 3, padding=1), nn.Conv2d(60, 10, 1)
    )
    found = measure_pass(network, CPU)
    # The second convolution reads 40 and writes 60 channels of float32; the input is held besides.
    assert found.linear == pytest.approx(400 + 24, rel=0.05)
    assert found.quadratic == pytest.approx(0, abs=1e-6)
    assert found.output == 40
    assert found.of(10**6) == pytest.approx(1.3 * 424e6, rel=0.05)
    assert found.of_tiles(1000, 10**4) > found.of(10**6) + 40 * 1000 * 10**4


@torch.inference_mode()
def test_attention_that_keeps_its_matrix_grows_with_the_square() -> None:
    def network(image: Tensor) -> Tensor:
        tokens = nn.functional.avg_pool2d(image, 8).flatten(2).transpose(1, 2)
        return (tokens @ tokens.transpose(1, 2)).softmax(-1) @ tokens

    found = measure_pass(network, CPU)
    # Two matrices of (pixels / 64) squared float32.
    assert found.quadratic == pytest.approx(2 * 4 / 64**2, rel=0.3)


def test_networks_that_pytorch_does_not_see_into_still_cost() -> None:
    def opaque(image: Tensor) -> Tensor:
        return image[:, :1, ::8, ::8]

    assert measure_pass(opaque, CPU).linear >= 256


def test_tensors_that_are_gone_do_not_count() -> None:
    def network(image: Tensor) -> Tensor:
        for _ in range(50):
            image = image + 1
        return image

    assert measure_pass(network, CPU).linear == PassMemory(256 + 24, 0, 12).linear
