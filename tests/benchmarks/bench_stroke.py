"""What one pointer move of the brush costs, everything but the repaint.

``python tests/benchmarks/bench_stroke.py`` prints milliseconds per move (tool, document, recorder
of the stroke, live scores) and per release (merge, compression, history, journal), then undo and
redo, on maps of several sizes.  Under 30 seconds.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.editing.document import MaskDocument
from segstudio.editing.driver import StrokeDriver
from segstudio.editing.journal import Journal, JournalHeader
from segstudio.editing.live_scores import LiveConfusion
from segstudio.editing.tools.brush import Brush

CLASSES = 19
SIZES = ((1024, 2048), (3000, 4000), (8192, 8192))
BRUSHES = (20, 40, 200, 2000)
MOVES = 100
STEP = 7.0
"""Pixels between two pointer events: a hand that is neither slow nor fast."""


def make_map(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Return a map of blocks of 64 pixels."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, CLASSES, (height // 64 + 1, width // 64 + 1), dtype=np.uint8)
    return np.repeat(np.repeat(blocks, 64, 0), 64, 1)[:height, :width].copy()


def wandering(height: int, width: int, seed: int) -> list[tuple[float, float]]:
    """Return the points of a hand-drawn stroke in the middle of the image."""
    rng = np.random.default_rng(seed)
    angle, row, col = rng.uniform(0, 6.3), height / 2, width / 2
    points = []
    for _ in range(MOVES):
        angle += rng.normal(0, 0.25)
        row = float(np.clip(row + STEP * np.sin(angle), 0, height - 1))
        col = float(np.clip(col + STEP * np.cos(angle), 0, width - 1))
        points.append((row, col))
    return points


def milliseconds(times: list[float]) -> str:
    """Return p50, p99 and the largest."""
    p50, p99 = np.percentile(times, (50, 99)) * 1e3
    return f"{p50:8.3f} {p99:8.3f} {max(times) * 1e3:8.3f}"


def timed(times: list[float], deed: object, *arguments: object) -> None:
    """Call and note how long it took."""
    began = time.perf_counter()
    deed(*arguments)  # type: ignore[operator]
    times.append(time.perf_counter() - began)


def bench(document: MaskDocument, size: int, strokes: int) -> None:
    """Paint some strokes and print what they cost."""
    presses: list[float] = []
    moves: list[float] = []
    releases: list[float] = []
    undos: list[float] = []
    for seed in range(strokes):
        driver = StrokeDriver(
            document, Brush(), active_class=seed % CLASSES, options=Brush.Options(size=size)
        )
        points = wandering(*document.shape, seed)
        timed(presses, driver.press, PointerEvent(PointerKind.PRESS, *points[0]))
        for point in points[1:]:
            timed(moves, driver.move, PointerEvent(PointerKind.MOVE, *point))
        timed(releases, driver.release, PointerEvent(PointerKind.RELEASE, *points[-1]))
        timed(undos, document.undo)
        timed(undos, document.redo)
    for title, times in (
        ("press", presses),
        ("move", moves),
        ("release", releases),
        ("undo/redo", undos),
    ):
        print(f"  {size:5d} px  {title:10s} {milliseconds(times)}")


def main() -> None:
    """Print the tables."""
    for height, width in SIZES:
        target, start = make_map(height, width, 0), make_map(height, width, 1)
        document = MaskDocument(start, ignore_index=255, classes=CLASSES)
        live = LiveConfusion(target, document)
        print(f"{height} x {width}: ms p50, p99, largest")
        with tempfile.TemporaryDirectory() as folder:
            header = JournalHeader("x", document.fingerprint(), height, width, "uint8")
            document.journal = Journal(Path(folder) / "x.journal", header)
            for size in BRUSHES:
                bench(document, size, 8 if size <= 200 else 2)
            diagonal(document)
            document.journal.close()
        equal = np.array_equal(live.confusion, live.recount())
        print(f"  live scores equal a recount: {equal}; history {document.history.nbytes} bytes")


def diagonal(document: MaskDocument) -> None:
    """Print what one thin stroke from corner to corner costs."""
    driver = StrokeDriver(document, Brush(), active_class=3)
    release: list[float] = []
    undo: list[float] = []
    driver.press(PointerEvent(PointerKind.PRESS, 0, 0))
    rows = np.linspace(0, document.shape[0], MOVES)
    cols = np.linspace(0, document.shape[1], MOVES)
    for row, col in zip(rows.tolist(), cols.tolist(), strict=True):
        driver.move(PointerEvent(PointerKind.MOVE, row, col))
    timed(release, driver.release, PointerEvent(PointerKind.RELEASE, *document.shape))
    timed(undo, document.undo)
    print(f"  diagonal  release {release[0] * 1e3:.1f} ms, undo {undo[0] * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
