"""What the engine is worth on this machine: its ways beside the plain ones, in one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from segstudio.inference.fused import fuse_logits
from segstudio.inference.model import load_model
from segstudio.inference.plain import plain_answer
from segstudio.inference.sharing import set_threads, usable_threads

__all__ = ["Sides", "bench_network", "bench_post_processing"]

_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Sides:
    """Seconds of the same work done two ways.

    Attributes
    ----------
    work : str
        What is done.
    plain, own : float
        Wall seconds: the plain way, and the engine's.
    note : str
        How the engine does it.
    """

    work: str
    plain: float
    own: float
    note: str = ""

    @property
    def ratio(self) -> float:
        """How many times faster the engine is."""
        return self.plain / self.own


def bench_post_processing(
    classes: int = 150, source: tuple[int, int] = (128, 171), size: tuple[int, int] = (512, 683)
) -> Sides:
    """Measure from logits to labels, entropy, confidence and runner-up, on one core.

    Parameters
    ----------
    classes : int
    source, size : (int, int)
        Of the logits, and of the image.
    """
    threads = usable_threads()
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(classes, *source, generator=generator) * 4
    set_threads(1)
    try:
        plain, own = _interleaved(
            lambda: plain_answer(logits, size, align_corners=False),
            lambda: fuse_logits(logits.numpy(), *size),
        )
    finally:
        set_threads(threads)
    work = f"{classes} classes, {source[0]} x {source[1]} to {size[0]} x {size[1]}, one core"
    return Sides(work, plain, own, "fused")


def bench_network(name: str, size: tuple[int, int], *, device: str = "auto") -> Sides:
    """Measure a model's network in PyTorch at fp32 and as ``--precision auto`` runs a folder.

    Raises
    ------
    SegStudioError
        When the model cannot be loaded.
    """
    exact = load_model(name, device=device, precision="fp32")
    fast = load_model(name, device=str(exact.device))
    fast.backend.wait_ready(fast.input_counts([size] * 100))
    shape = fast.input_counts([size]).most_common(1)[0][0]
    batch = torch.randn(1, 3, *shape).to(exact.device)

    def run(backend: Callable[[torch.Tensor], torch.Tensor]) -> None:
        backend(batch)
        if exact.device.type == "cuda":
            torch.cuda.synchronize(exact.device)

    try:
        plain, own = _interleaved(lambda: run(exact.backend), lambda: run(fast.backend))
        note = fast.backend.record().name
    finally:
        fast.backend.close()
    return Sides(f"the network at {shape[0]} x {shape[1]}", plain, own, note)


def _interleaved(plain: Callable[[], object], own: Callable[[], object]) -> tuple[float, float]:
    """Return the median seconds of two ways that are taken in turns, after one round to warm up."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(1 + _ROUNDS):
        for way, kept in zip((plain, own), seconds, strict=True):
            started = time.perf_counter()
            way()
            if number:
                kept.append(time.perf_counter() - started)
    return statistics.median(seconds[0]), statistics.median(seconds[1])
