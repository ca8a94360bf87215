"""From logits to labels and entropy: the fused kernel against the long way, both in one run.

Also what a large image takes: 2160 x 3840 pixels of 150 classes, in one step from the head and in
two (head, network input, image), with align_corners and without.

Linux only (it reads /proc).  Run ``python tests/benchmarks/bench_fused.py``; one thread, 60 s.
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

from segstudio.core.preprocessing import Preprocessing
from segstudio.datasets.rows import ArrayRows
from segstudio.inference.augmentation import View
from segstudio.inference.bands import RowBand, join_bands
from segstudio.inference.fused import fuse_block, fuse_logits
from segstudio.inference.passes import NetworkInput, whole_blocks
from segstudio.inference.plain import plain_answer

CLASSES, SOURCE, SIZE = 150, (128, 171), (512, 683)
LARGE = (2160, 3840)
ROUNDS = 5


def naive(logits: torch.Tensor, align_corners: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return labels and entropy by interpolate, softmax, topk and -sum p log p."""
    labels, entropy, *_ = plain_answer(logits, SIZE, align_corners=align_corners)
    return labels, entropy


def two_steps(logits: torch.Tensor, align_corners: bool) -> np.ndarray:
    """Return labels by way of a network input of 1080 x 1920 that is padded to 1088."""
    rule = Preprocessing(upsample_to_input=True, align_corners=align_corners)
    rows = ArrayRows(np.empty((1080, 1920, 3), np.uint8))
    given = NetworkInput(rows, LARGE, (1080, 1920), (1088, 1920), View(), rule)
    parts = (RowBand(block.top, fuse_block(block)) for block in whole_blocks(logits, given))
    return join_bands(parts, LARGE[0]).label_map


def measure(side: str, align_corners: bool) -> None:
    """Print seconds and the growth of the peak memory in MB, in a process of its own."""
    torch.set_num_threads(1)
    shape = (272, 480) if side in ("large", "two steps") else SOURCE
    logits = F.avg_pool2d(torch.randn(1, CLASSES, *shape) * 4, 3, 1, 1)[0]
    fuse_logits(logits[:, :4, :4].numpy(), 8, 8)
    F.interpolate(logits[None, :1, :4, :4], size=(8, 8), mode="bilinear")
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts anew
    before, started = _peak(), time.perf_counter()
    if side == "naive":
        naive(logits, align_corners)
    elif side == "two steps":
        two_steps(logits, align_corners)
    else:
        size = LARGE if side == "large" else SIZE
        fuse_logits(logits.numpy(), *size, align_corners=align_corners)
    print(time.perf_counter() - started, _peak() - before)


def measured(side: str, align_corners: bool) -> tuple[float, float]:
    """Return what `measure` prints."""
    code = f"import bench_fused; bench_fused.measure({side!r}, {align_corners})"
    folder = __file__.rpartition("/")[0]
    output = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, check=True, capture_output=True, text=True
    )
    seconds, memory = output.stdout.split()
    return float(seconds), float(memory)


def _peak() -> float:
    """Return the peak of the resident memory, MB."""
    status = Path("/proc/self/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


def compare(align_corners: bool) -> None:
    """Print medians, memory and ratios of both ways."""
    logits = F.avg_pool2d(torch.randn(1, CLASSES, *SOURCE) * 4, 3, 1, 1)[0]
    fused = fuse_logits(logits.numpy(), *SIZE, align_corners=align_corners)
    labels, entropy = naive(logits, align_corners)
    print(f"\n{CLASSES} classes, {SOURCE} -> {SIZE}, align_corners {align_corners}")
    print(f"labels that differ   {int((fused.label_map != labels.numpy()).sum())}")
    print(f"largest entropy gap  {np.abs(fused.entropy - entropy.numpy()).max():.1e} nats")
    times: dict[str, list[float]] = {"naive": [], "fused": []}
    for _ in range(ROUNDS):
        for side, entries in times.items():
            started = time.perf_counter()
            if side == "naive":
                naive(logits, align_corners)
            else:
                fuse_logits(logits.numpy(), *SIZE, align_corners=align_corners)
            entries.append(time.perf_counter() - started)
    medians = {side: statistics.median(entries) for side, entries in times.items()}
    memory = {side: measured(side, align_corners)[1] for side in times}
    for side in times:
        print(f"{side}   {1000 * medians[side]:7.0f} ms   +{memory[side]:.0f} MB")
    print(f"ratio   {medians['naive'] / medians['fused']:.1f} times faster")
    for side in ("large", "two steps"):
        seconds, grown = measured(side, align_corners)
        print(f"{LARGE[0]} x {LARGE[1]}, {side:9}   {1000 * seconds:7.0f} ms   +{grown:.0f} MB")


def main() -> None:
    """Compare both ways with align_corners and without."""
    torch.set_num_threads(1)
    for align_corners in (False, True):
        compare(align_corners)


if __name__ == "__main__":
    main()
