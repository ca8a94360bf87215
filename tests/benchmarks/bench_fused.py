"""From logits to labels and entropy: the fused kernel against the long way, both in one run.

Linux only (it reads /proc).  Run ``python tests/benchmarks/bench_fused.py``; one thread, 20 s.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from segstudio.inference.fused import fuse_logits

CLASSES, SOURCE, SIZE = 150, (128, 171), (512, 683)
ROUNDS = 5


def naive(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return labels and entropy by interpolate, softmax, argmax and -sum p log p."""
    full = F.interpolate(logits[None], size=SIZE, mode="bilinear", align_corners=False)[0]
    p = full.softmax(0)
    return p.argmax(0), -(p * p.clamp_min(1e-38).log()).sum(0)


def extra_memory(side: str) -> float:
    """Return the MB by which one call raises the peak of a process of its own."""
    code = f"import bench_fused; bench_fused.measure({side!r})"
    folder = __file__.rpartition("/")[0]
    output = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, check=True, capture_output=True, text=True
    )
    return float(output.stdout)


def measure(side: str) -> None:
    """Print the growth of the peak memory, MB."""
    torch.set_num_threads(1)
    logits = torch.randn(CLASSES, *SOURCE)
    fuse_logits(logits[:, :4, :4].numpy(), 8, 8)
    F.interpolate(logits[None, :1, :4, :4], size=(8, 8), mode="bilinear")
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts anew
    before = _peak()
    if side == "naive":
        naive(logits)
    else:
        fuse_logits(logits.numpy(), *SIZE)
    print(_peak() - before)


def _peak() -> float:
    """Return the peak of the resident memory, MB."""
    status = Path("/proc/self/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Print medians, memory and ratios."""
    torch.set_num_threads(1)
    logits = F.avg_pool2d(torch.randn(1, CLASSES, *SOURCE) * 4, 3, 1, 1)[0]
    fused = fuse_logits(logits.numpy(), *SIZE)
    labels, entropy = naive(logits)
    print(f"labels that differ   {int((fused.label_map != labels.numpy()).sum())}")
    print(f"largest entropy gap  {np.abs(fused.entropy - entropy.numpy()).max():.1e} nats")
    times: dict[str, list[float]] = {"naive": [], "fused": []}
    for _ in range(ROUNDS):
        for side, entries in times.items():
            started = time.perf_counter()
            naive(logits) if side == "naive" else fuse_logits(logits.numpy(), *SIZE)
            entries.append(time.perf_counter() - started)
    medians = {side: statistics.median(entries) for side, entries in times.items()}
    memory = {side: extra_memory(side) for side in times}
    for side in times:
        print(f"{side}   {1000 * medians[side]:7.0f} ms   +{memory[side]:.0f} MB")
    print(f"ratio   {medians['naive'] / medians['fused']:.1f} times faster")


if __name__ == "__main__":
    main()
