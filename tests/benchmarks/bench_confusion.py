"""Joint counts of two label maps: ours against the usual ways, on made and real maps.

``python tests/benchmarks/bench_confusion.py`` prints Mpixel/s of each way on one core (best of many
passes, processor time), its ratio to `numpy.bincount`, and whether its integers are the same; then
what a whole sample with uncertainty, a stroke and the intervals cost.  Under a minute.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from segstudio.metrics.confusion import confusion_matrix, resolve_kernel, warm_kernels
from segstudio.metrics.counts import SampleCounts, count_sample, sum_counts
from segstudio.metrics.edges import edge_band
from segstudio.metrics.levels import count_levels, count_uncertainty, masked_sum
from segstudio.metrics.scores import bootstrap_interval, sample_totals

HEIGHT, WIDTH, CLASSES = 1024, 2048, 150


def blobs(generator: np.random.Generator, cell: int, kinds: int = 19) -> NDArray[np.uint8]:
    """Return a map of smooth regions about ``cell`` pixels wide, of ``kinds`` classes."""
    fields = [
        cv2.resize(
            generator.random((HEIGHT // cell, WIDTH // cell), dtype=np.float32),
            (WIDTH, HEIGHT),
            interpolation=cv2.INTER_CUBIC,
        )
        for _ in range(kinds)
    ]
    return np.argmax(fields, axis=0).astype(np.uint8)


def maps() -> dict[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Return (target, prediction) pairs: alike with moved borders and wrong regions, or noise."""
    generator = np.random.default_rng(0)
    pairs = {}
    for title, cell in (("large regions", 256), ("small regions", 128)):
        target, other = blobs(generator, cell), blobs(generator, cell)
        chosen = (generator.random((HEIGHT // 32, WIDTH // 32)) < 0.1).astype(np.uint8)
        wrong = cv2.resize(chosen, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST) > 0
        prediction = np.roll(np.where(wrong, other, target), 3, axis=1)
        pairs[title] = target, prediction
    noise = generator.integers(0, CLASSES, (2, HEIGHT, WIDTH)).astype(np.uint8)
    pairs["noise"] = noise[0], noise[1]
    real = real_maps()
    return pairs if real is None else {"CamVid's masks": real, **pairs}


def plain_bincount(target: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> NDArray[Any]:
    """Count as published evaluation scripts do."""
    labelled = target != 255
    pairs = target[labelled].astype(np.int64) * CLASSES + prediction[labelled]
    return np.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def calc_hist(target: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> NDArray[Any]:
    """Count with OpenCV; its float32 loses counts above 2^24."""
    return cv2.calcHist(
        [target, prediction], [0, 1], None, [CLASSES, CLASSES], [0, CLASSES, 0, CLASSES]
    )


def best_seconds(work: Callable[[], Any], passes: int = 25) -> float:
    """Return the processor time of the quickest of many passes: others may use the machine."""
    seconds = []
    for _ in range(passes):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def real_maps() -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """Return CamVid's masks below each other, and each one's next frame; None without the data."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "data" / "camvid" / "testannot"
    files = sorted(folder.glob("*.png"))[:25]
    if len(files) < 2:
        return None
    masks = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in files]
    return np.concatenate(masks[:-1]), np.concatenate(masks[1:])


def bench_joint_counts() -> None:
    """Print the table of ways to count."""
    print(
        f"joint counts, {WIDTH} x {HEIGHT}, {CLASSES} classes     Mpixel/s   ratio  same integers"
    )
    for title, (target, prediction) in maps().items():
        assert target.max() < CLASSES
        expected = plain_bincount(target, prediction)
        base = 0.0
        ways: dict[str, Callable[[Any, Any], NDArray[Any]]] = {
            "numpy.bincount, as published": plain_bincount,
            "cv2.calcHist": calc_hist,
            "segstudio numpy": lambda t, p: confusion_matrix(t, p, CLASSES, kernel="numpy"),
            "segstudio numba": lambda t, p: confusion_matrix(t, p, CLASSES, kernel="numba"),
            "segstudio numba, uint16": lambda t, p: confusion_matrix(t, p, CLASSES, kernel="numba"),
        }
        for name, way in ways.items():
            dtype = np.uint16 if name.endswith("uint16") else np.uint8
            pair = target.astype(dtype), prediction.astype(dtype)
            seconds = best_seconds(lambda way=way, pair=pair: way(*pair))
            base = base or seconds  # the first way is what the others are compared with
            same = bool((way(*pair)[:, :CLASSES] == expected).all())
            rate = target.size / seconds / 1e6
            print(f"  {title:15}{name:30} {rate:8.0f} {base / seconds:7.1f}  {same}")
    read = best_seconds(lambda: bool((target == prediction).all()) or int(target.max()))
    print(f"  reading both maps (numpy compare + max) {target.size / read / 1e6:14.0f}")


def bench_samples() -> None:
    """Print what a sample with uncertainty and a stroke cost."""
    generator = np.random.default_rng(1)
    target, prediction = maps()["large regions"]
    entropy = cv2.GaussianBlur((target != prediction).astype(np.float32) * 255, (0, 0), 5)
    levels = np.clip(entropy + generator.normal(0, 4, entropy.shape), 0, 255).astype(np.uint8)
    for kernel in ("numpy", "numba"):
        seconds = best_seconds(
            lambda kernel=kernel: count_sample(
                target, prediction, CLASSES, entropy=levels, confidence=255 - levels, kernel=kernel
            )
        )
        print(f"whole sample with uncertainty and edges, {kernel}: {seconds * 1e3:.1f} ms")
    bench_uncertainty(target, prediction, levels)
    box = np.s_[500:540, 900:940]
    stroke = best_seconds(lambda: confusion_matrix(target[box], prediction[box], CLASSES), 200)
    whole = best_seconds(lambda: confusion_matrix(target, prediction, CLASSES, kernel="numpy"))
    print(f"recount a 40 x 40 dab: {stroke * 1e3:.3f} ms, the whole map: {whole * 1e3:.2f} ms")


def bench_uncertainty(
    target: NDArray[np.uint8], prediction: NDArray[np.uint8], levels: NDArray[np.uint8]
) -> None:
    """Print what one pass over entropy, confidence and edges saves against one pass for each."""
    kernels = resolve_kernel("numba")
    band = edge_band(target, CLASSES)
    confidence = 255 - levels

    def apart() -> Any:
        found = [
            count_levels(kernels, target, prediction, part, CLASSES)
            for part in (levels, confidence)
        ]
        return found, (masked_sum(levels, band), int(np.count_nonzero(band)))

    def together() -> Any:
        parts = levels, confidence, band.view(np.uint8)
        return count_uncertainty(kernels, target, prediction, parts, CLASSES)

    one, other = apart(), together()
    same = one[1] == other[1] and all(
        bool((mine == theirs).all()) for mine, theirs in zip(one[0], other[0], strict=True)
    )
    slow, quick = best_seconds(apart), best_seconds(together)
    print(
        f"histograms of entropy and confidence, sums at edges: a pass each {slow * 1e3:.1f} ms, "
        f"one pass {quick * 1e3:.1f} ms, ratio {slow / quick:.1f}, same integers {same}"
    )


def bench_intervals() -> None:
    """Print what intervals and sums over many samples cost."""
    generator = np.random.default_rng(2)
    for count, classes, present in ((233, 11, 9), (5000, 150, 12)):
        samples = []
        distinct = min(count, 250)  # making them costs more than what is measured
        for _ in range(distinct):
            confusion = np.zeros((classes, classes + 1), np.int64)
            held = generator.choice(classes, present, replace=False)
            confusion[np.ix_(held, held)] = generator.poisson(50, (present, present))
            confusion[held, held] += generator.poisson(9000, present)
            histogram = np.zeros((classes, 2, 256), np.int64)
            histogram[held, 0, :100] = histogram[held, 1, 50:200] = 20
            samples.append(
                SampleCounts.from_dense(confusion, histogram, confidence_histogram=histogram)
            )
        samples = [samples[place % distinct] for place in range(count)]
        sums = best_seconds(lambda samples=samples: sum_counts(samples), 2)
        totals = best_seconds(lambda s=samples, c=classes: sample_totals(s, c), 2)
        table = sample_totals(samples, classes)
        interval = best_seconds(lambda table=table: bootstrap_interval(table), 2)
        print(
            f"{count} samples x {classes} classes: sum {sums * 1e3:.0f} ms, class totals "
            f"{totals * 1e3:.0f} ms, 1,000 bootstrap draws of mIoU {interval * 1e3:.0f} ms"
        )


def main() -> None:
    """Run everything."""
    cv2.setNumThreads(1)
    start = time.perf_counter()
    warm_kernels()
    print(f"warm_kernels: {time.perf_counter() - start:.2f} s")
    bench_joint_counts()
    bench_samples()
    bench_intervals()


if __name__ == "__main__":
    main()
