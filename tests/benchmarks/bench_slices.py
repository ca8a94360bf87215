"""Slices, thresholds and pairs of runs from stored counts: columns against sums of samples.

``python tests/benchmarks/bench_slices.py`` makes two runs of 5,000 samples over 150 classes and
prints what each question costs on one core when samples are added up one by one (as the evaluation
report does), what it costs from a `RunTable`, and whether the integers are the same.  About a
minute, about 2 GB.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    for library in ("OMP", "OPENBLAS", "MKL"):  # read when numpy is imported
        os.environ[f"{library}_NUM_THREADS"] = "1"
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from segstudio.analysis.compare import compare_tables
from segstudio.analysis.slices import score_groups, score_slice
from segstudio.analysis.tables import RunTable, build_run_table
from segstudio.core.label_space import LabelSpace
from segstudio.metrics import scores, uncertainty
from segstudio.metrics.counts import SampleCounts, sum_counts
from segstudio.metrics.detection import by_class
from segstudio.metrics.resampling import _drawn, _drawn_by_sample

SAMPLES, CLASSES, PRESENT = 5000, 150, 12


def make_samples(seed: int) -> Iterator[tuple[str, SampleCounts]]:
    """Yield samples with a dozen classes and a few thousand cells each."""
    generator = np.random.default_rng(seed)
    levels = np.arange(256)
    for number in range(SAMPLES):
        held = np.random.default_rng(number).choice(CLASSES, PRESENT, replace=False)
        confusion = np.zeros((CLASSES, CLASSES + 1), np.int64)
        confusion[np.ix_(held, held)] = generator.poisson(50, (PRESENT, PRESENT))
        confusion[held, held] += generator.poisson(9000, PRESENT)
        entropy = np.zeros((CLASSES, 2, 256), np.int64)
        entropy[held, 0] = generator.poisson(90 * np.exp(-levels / 60), (PRESENT, 256))
        entropy[held, 1] = generator.poisson(6 * np.exp(-levels / 120), (PRESENT, 256))
        yield (
            f"{'abcdefgh'[number % 8]}/{number:05}.jpg",
            SampleCounts.from_dense(
                confusion, entropy, confidence_histogram=entropy[..., ::-1].copy()
            ),
        )


def milliseconds(work: Callable[[], Any], passes: int = 9) -> tuple[float, float]:
    """Return wall and processor time of the quickest of several passes, each by itself.

    On a busy machine the processor time is what the question costs.
    """
    wall = busy = float("inf")
    for _ in range(passes):
        start = time.perf_counter(), time.process_time()
        work()
        wall = min(wall, time.perf_counter() - start[0])
        busy = min(busy, time.process_time() - start[1])
    return wall * 1e3, busy * 1e3


def slow_slice(samples: list[SampleCounts]) -> Any:
    """Score a slice by adding up its samples, as the evaluation report does."""
    totals = scores.sample_totals(samples, CLASSES)
    pooled = sum_counts(samples, classes=CLASSES)
    low, high = scores.bootstrap_interval(totals)
    entropy = pooled.entropy_histogram
    numbers = uncertainty.auroc(entropy), uncertainty.ece(pooled.confidence_histogram)
    return scores.mean_iou(pooled.confusion()), low, high, numbers, pooled


def forget(*tables: RunTable) -> None:
    """Take away what the tables and the drawing keep: the question is asked for the first time."""
    _drawn.cache_clear()
    _drawn_by_sample.cache_clear()
    for table in tables:
        table._draws.clear()


def main() -> None:
    """Print the table."""
    start = time.perf_counter()
    pairs = list(make_samples(0))
    ids, counts = [sample_id for sample_id, _ in pairs], [entry for _, entry in pairs]
    print(f"made {SAMPLES} samples in {time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    ours = build_run_table(pairs, CLASSES)
    print(f"build_run_table {time.perf_counter() - start:.2f} s (once for each run)")
    theirs = build_run_table(make_samples(1), CLASSES)
    rng = np.random.default_rng(5)
    half = rng.random(SAMPLES) < 0.5
    chosen = [entry for entry, taken in zip(counts, half.tolist(), strict=True) if taken]
    slow = slow_slice(chosen)
    fast = score_slice(ours, half)
    same = (
        bool((slow[4].confusion() == ours.confusion(half)).all())
        and bool((slow[4].entropy_histogram == ours.entropy_by_class(half)).all())
        and abs(slow[1] - fast.miou_interval[0]) < 1e-12
    )
    print(f"the same integers and the same interval: {same}")
    space = LabelSpace.from_json({"classes": [f"class {n}" for n in range(CLASSES)]})
    folders = [sample_id[0] for sample_id in ids]

    def fresh(work: Callable[[], Any]) -> Callable[[], Any]:
        def call() -> None:
            forget(ours, theirs)
            work()

        return call

    def slow_pair() -> None:
        a = scores.sample_totals(counts, CLASSES)
        scores.bootstrap_interval(a, scores.iou, other=theirs.totals)
        scores.bootstrap_interval(a, other=theirs.totals)

    questions: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = [
        ("all samples", lambda: slow_slice(counts), fresh(lambda: score_slice(ours))),
        ("a new slice of half", lambda: slow_slice(chosen), fresh(lambda: score_slice(ours, half))),
        (
            "grouping by 8 folders",
            lambda: slow_slice(counts),
            fresh(lambda: score_groups(ours, folders)),
        ),
        (
            "another threshold",
            lambda: uncertainty.confident_error_share(sum_counts(counts).entropy_histogram, 0.2),
            lambda: score_slice(ours, confident=0.2),
        ),
        (
            "a new pair of runs, first run known",
            slow_pair,
            lambda: (theirs._draws.clear(), compare_tables(space, ours, theirs)),
        ),
        (
            "a new pair of runs, both new",
            slow_pair,
            lambda: (
                ours._draws.clear(),
                theirs._draws.clear(),
                compare_tables(space, ours, theirs),
            ),
        ),
        ("the first pair of all", slow_pair, fresh(lambda: compare_tables(space, ours, theirs))),
        (
            "calibration error of each class",
            lambda: by_class(uncertainty.ece, sum_counts(counts).confidence_histogram),
            lambda: by_class(uncertainty.ece, ours.confidence_by_class()),
        ),
    ]
    print(f"{'question':38} {'sums: wall cpu ms':>18} {'table: wall cpu ms':>19} {'cpu ratio':>9}")
    for title, slowly, quickly in questions:
        before, after = milliseconds(slowly, 2), milliseconds(quickly)
        print(
            f"{title:38} {before[0]:10.0f} {before[1]:7.0f} {after[0]:11.1f} {after[1]:7.1f} "
            f"{before[1] / after[1]:9.1f}"
        )


if __name__ == "__main__":
    main()
