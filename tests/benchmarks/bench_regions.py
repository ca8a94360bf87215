"""Where the errors are: components, boundary bands, regions and taxonomy; ours and the usual ways.

``python tests/benchmarks/bench_regions.py`` prints milliseconds of each way (median of passes that
take turns, one thread), the ratio, and whether the integers are the same.  Under 30 seconds.
"""

from __future__ import annotations

import statistics
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

from segstudio.analysis.components import find_components
from segstudio.analysis.counts import sum_error_counts
from segstudio.analysis.objects import count_by_size
from segstudio.analysis.pair import build_pair
from segstudio.analysis.region_codec import pack_regions, unpack_regions
from segstudio.analysis.regions import RegionFilter, RegionTable, find_regions
from segstudio.analysis.sample import analyse_sample
from segstudio.analysis.taxonomy import classify_errors, count_kinds
from segstudio.metrics.boundary import band_width, count_boundary
from segstudio.metrics.confusion import warm_kernels

SIZES = ((360, 480, 11), (1024, 2048, 19))


def blobs(generator: np.random.Generator, height: int, width: int, classes: int) -> NDArray[Any]:
    """Return a map of smooth regions of ``classes`` classes."""
    cells = (max(2, height // 90), max(2, width // 90))
    fields = [
        cv2.resize(
            generator.random(cells, dtype=np.float32),
            (width, height),
            interpolation=cv2.INTER_CUBIC,
        )
        for _ in range(classes)
    ]
    return np.argmax(fields, axis=0).astype(np.uint8)


def maps(height: int, width: int, classes: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return (target, prediction): moved borders, wrong regions, specks; an ignored strip."""
    generator = np.random.default_rng(0)
    target = blobs(generator, height, width, classes)
    other = blobs(generator, height, width, classes)
    chosen = (generator.random((height // 30, width // 30)) < 0.06).astype(np.uint8)
    wrong = cv2.resize(chosen, (width, height), interpolation=cv2.INTER_NEAREST) > 0
    prediction = np.roll(np.where(wrong, other, target), 3, axis=1)
    specks = generator.random(target.shape) < 0.001
    prediction[specks] = generator.integers(0, classes, int(specks.sum()))
    target[-height // 12 :] = 255
    return target, prediction


def noise(height: int, width: int, classes: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two maps without any structure, the worst case."""
    values = np.random.default_rng(1).integers(0, classes, (2, height, width))
    return values[0].astype(np.uint8), values[1].astype(np.uint8)


def in_turns(ways: dict[str, Callable[[], Any]], passes: int = 7) -> dict[str, float]:
    """Return the median milliseconds of each way, after one pass that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(passes + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) * 1e3 for name, values in seconds.items()}


def components_per_class(label_map: NDArray[Any], classes: int) -> NDArray[Any]:
    """Label class by class with OpenCV: class, area, top, left, bottom, right of each."""
    found = []
    for index in range(classes):
        mask = (label_map == index).view(np.uint8)
        if mask.any():
            table = cv2.connectedComponentsWithStats(mask, connectivity=8)[2][1:]
            left, top, width, height, area = table.T
            ofs = np.full(len(table), index)
            found.append(np.stack([ofs, area, top, left, top + height, left + width], axis=1))
    return np.concatenate(found)


def components_at_once(label_map: NDArray[Any]) -> NDArray[Any]:
    """Do the same with `find_components`."""
    components = find_components(label_map, void=255)
    return np.column_stack([components.values[1:], components.areas[1:], components.boxes()])


def boundary_per_class(
    target: NDArray[Any], prediction: NDArray[Any], classes: int
) -> tuple[list[int], list[int]]:
    """Count boundary bands class by class, as published: frame, erode, subtract."""
    width, square = band_width(target.shape), np.ones((3, 3), np.uint8)
    labelled = target != 255

    def band(mask: NDArray[Any]) -> NDArray[Any]:
        framed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        eroded: NDArray[Any] = cv2.erode(framed, square, iterations=width)[1:-1, 1:-1]
        return mask - eroded

    intersections, unions = [], []
    for index in range(classes):
        one = band((target == index).view(np.uint8))
        other = band(((prediction == index) & labelled).view(np.uint8))
        intersections.append(int(np.count_nonzero(one & other)))
        unions.append(int(np.count_nonzero(one | other)))
    return intersections, unions


def bench_size(height: int, width: int, classes: int) -> None:
    """Print the table of one size."""
    pairs = {"regions": maps(height, width, classes)}
    if (height, width, classes) == SIZES[0]:
        pairs["noise"] = noise(height, width, classes)
    for title, pair in pairs.items():
        target, prediction = pair
        print(f"{width} x {height}, {classes} classes, {title}")
        one, other = components_per_class(prediction, classes), components_at_once(prediction)
        times = in_turns(
            {
                "per class": lambda p=prediction: components_per_class(p, classes),
                "at once": lambda p=prediction: components_at_once(p),
            },
            passes=3 if title == "noise" else 7,
        )
        _print("components and boxes, OpenCV / cc3d", times, _same_rows(one, other))
        counts = count_boundary(target, prediction, classes)
        same = boundary_per_class(target, prediction, classes) == (
            counts.intersection.tolist(),
            counts.union.tolist(),
        )
        times = in_turns(
            {
                "per class": lambda t=target, p=prediction: boundary_per_class(t, p, classes),
                "one pass": lambda t=target, p=prediction: count_boundary(t, p, classes),
            },
            passes=3 if title == "noise" else 7,
        )
        _print("boundary counts, published / ours", times, same)
        bench_sample(target, prediction, classes, passes=3 if title == "noise" else 7)


def _same_rows(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Return whether both tables hold the same rows in any order."""
    return np.array_equal(one[np.lexsort(one.T)], other[np.lexsort(other.T)])


def _print(title: str, times: dict[str, float], same: bool) -> None:
    slow, fast = times.values()
    print(f"  {title:38} {slow:8.1f} {fast:8.1f} ms  {slow / fast:5.1f} x  same {same}")


def bench_sample(
    target: NDArray[Any], prediction: NDArray[Any], classes: int, *, passes: int
) -> None:
    """Print what the parts of one sample's analysis cost."""
    levels = np.random.default_rng(2).integers(0, 256, (2, *target.shape)).astype(np.uint8)
    layers = {"entropy": levels[0], "confidence": levels[1], "runner_up": np.roll(target, 9)}
    pair = build_pair(target, prediction, classes)
    errors = classify_errors(pair)
    table = find_regions(errors, "a", **layers)
    data = pack_regions(table)
    times = in_turns(
        {
            "check and pair": lambda: build_pair(target, prediction, classes),
            "regions and kinds": lambda: classify_errors(pair),
            "count kinds": lambda: count_kinds(errors),
            "count by size": lambda: count_by_size(errors),
            "table of regions": lambda: find_regions(errors, "a", **layers),
            "pack regions": lambda: pack_regions(table),
            "unpack regions": lambda: unpack_regions(data, "a"),
            "all of a sample": lambda: analyse_sample(target, prediction, classes, **layers),
        },
        passes,
    )
    share = len(pair.wrong) / max(1, target.size)
    print(f"  one sample, {share:.0%} wrong, {len(table)} regions in {len(data)} bytes:")
    print("    " + ", ".join(f"{name} {value:.1f}" for name, value in times.items()) + " ms")


def bench_run() -> None:
    """Print what sums and filters over many samples cost; no pixel is read."""
    height, width, classes = SIZES[0]
    target, prediction = maps(height, width, classes)
    sample = analyse_sample(target, prediction, classes, name="a")
    many = [sample.counts] * 5000
    joined = RegionTable.joined([sample.regions] * (1_000_000 // len(sample.regions)))
    wanted = RegionFilter(target=1, prediction=2, minimal_area=4)
    times = in_turns(
        {
            "sum of 5,000 samples": lambda: sum_error_counts(many, classes=classes),
            "filter and rank": lambda: joined.selected(wanted).ranked(100),
            "rank all": lambda: joined.ranked(100),
        },
        passes=5,
    )
    print(
        f"{len(joined)} regions: "
        + ", ".join(f"{name} {value:.1f}" for name, value in times.items())
        + " ms"
    )


if __name__ == "__main__":
    cv2.setNumThreads(1)
    warm_kernels()
    for size in SIZES:
        bench_size(*size)
    bench_run()
