"""The dense CRF on the lattice, beside an estimate of the same by brute force, on one core.

Linux only (it reads /proc).  Run ``python tests/benchmarks/bench_dense_crf.py``; 30 s.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # numpy reads it when it is imported

import statistics
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

from segstudio.inference.refiners.dense_crf import DenseCRF, PermutohedralFilter

CASES = [(360, 480, 12), (512, 683, 21)]
ROUNDS = 5
SAMPLE = 2000


def case(height: int, width: int, classes: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a photograph and probabilities in which every class takes part."""
    image = cv2.resize(data.astronaut(), (width, height))
    random = np.random.default_rng(0)
    coarse = random.normal(0, 3, (classes, height // 16, width // 16)).astype(np.float32)
    logits = np.stack([cv2.resize(one, (width, height)) for one in coarse])
    p = np.exp(logits - logits.max(axis=0))
    return image, p / p.sum(axis=0)


def brute_force_seconds(pixels: int, classes: int, iterations: int) -> float:
    """Return the time of two exact kernels per iteration, measured on fewer points and scaled."""
    random = np.random.default_rng(0)
    points = random.random((SAMPLE, 5), np.float32)
    values = random.random((SAMPLE, classes), np.float32)
    norms = (points**2).sum(axis=1)
    started = time.perf_counter()
    squared = norms[:, None] + norms - 2 * (points @ points.T)
    kernel = np.exp(-0.5 * squared)
    kernel @ values
    once = time.perf_counter() - started
    return 2 * iterations * once * (pixels / SAMPLE) ** 2


def peak() -> float:
    """Return the peak of the resident memory, MB."""
    status = Path("/proc/self/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Print the time, its parts and the memory of each case."""
    crf = DenseCRF()
    small, p = case(32, 48, 3)
    started = time.perf_counter()
    crf.refine(small, p)
    first = time.perf_counter() - started
    print(f"first call, compiled or from the cache   {first:.1f} s")
    for height, width, classes in CASES:
        image, p = case(height, width, classes)
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts anew
        before = peak()
        times, processor = [], []
        for _ in range(ROUNDS):
            started, started_processor = time.perf_counter(), time.process_time()
            crf.refine(image, p)
            times.append(time.perf_counter() - started)
            processor.append(time.process_time() - started_processor)
        memory = peak() - before
        started = time.perf_counter()
        positions = np.moveaxis(np.indices((height, width)), 0, 2) / crf.options.position_std
        features = np.concatenate([positions, image / crf.options.colour_std], axis=2)
        PermutohedralFilter(features.reshape(-1, 5).astype(np.float32))
        lattice = time.perf_counter() - started
        brute = brute_force_seconds(height * width, classes, crf.options.iterations)
        seconds = statistics.median(times)
        print(
            f"{width} x {height}, {classes} classes, {crf.options.iterations} iterations   "
            f"{seconds:.2f} s (fastest {min(times):.2f}, of the processor {min(processor):.2f}; "
            f"appearance lattice {lattice:.2f})   "
            f"+{memory:.0f} MB   brute force about {brute:,.0f} s, {brute / seconds:,.0f} times"
        )


if __name__ == "__main__":
    main()
