"""What one pointer move of the brush costs in a window, and how much of that is repainting.

``python tests/benchmarks/bench_dabs.py`` shows a 1600 x 900 canvas with a photograph and two
overlays over maps of several sizes and prints, per move of a brush of 20 px radius, the
milliseconds of our own work (tool, document, live scores and counts, recolouring; of the release
also history and journal) and of Qt's repaint after it; then the same for a brush of 2,000 px, each
also with pattern fills and under a pen whose pressure sets the size.  The moves of all sizes are
interleaved in one run, so that the ratios hold on a busy machine; milliseconds of processor stand
beside those of the clock.

napari's Labels layer is measured beside it when ``NAPARI_PYTHON`` names a Python that has napari
(in an environment of its own: its Qt may be another); else the reason is printed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtWidgets import QApplication

from segstudio.core.patch import MaskPatch
from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.datasets.levels import build_levels
from segstudio.editing.document import MaskDocument
from segstudio.editing.driver import StrokeDriver
from segstudio.editing.journal import Journal, JournalHeader
from segstudio.editing.live_counts import LiveCounts, count_values
from segstudio.editing.live_scores import LiveConfusion
from segstudio.editing.tools.brush import Brush
from segstudio.ui.canvas.image_canvas import ImageCanvas
from segstudio.ui.canvas.overlays import LabelMode, LabelOverlay

CLASSES = 19
SIZES = ((1024, 2048), (3000, 4000), (8192, 8192))
STROKES, MOVES, STEP = 6, 60, 7.0


class Bench:
    """One canvas with everything that follows a stroke."""

    def __init__(self, size: tuple[int, int], folder: Path) -> None:
        rng = np.random.default_rng(0)
        height, width = size
        self.size = size
        image = np.repeat(rng.integers(0, 256, (height, width, 1), np.uint8), 3, 2)
        self.document = MaskDocument(_blocks(size, 1), ignore_index=255, classes=CLASSES)
        target = _blocks(size, 0)
        self.live = LiveConfusion(target, self.document)
        self.counts = LiveCounts(self.document, self.live)
        header = JournalHeader("x", self.document.fingerprint(), height, width, "uint8")
        self.document.journal = Journal(folder / f"{height}.journal", header)
        colors = [tuple(int(v) for v in rng.integers(0, 256, 3)) for _ in range(CLASSES)]
        self.overlay, other = LabelOverlay("correction"), LabelOverlay("ground_truth", opacity=0.3)
        self.canvas = ImageCanvas()
        self.canvas.set_layers([other, self.overlay])
        self.canvas.resize(1600, 900)
        self.canvas.show()
        self.canvas.set_image(image, build_levels(image))
        other.set_labels(target, colors)
        self.overlay.set_labels(self.document.label_map, colors)
        self.document.changed.connect(self._recolor)
        QApplication.processEvents()

    def _recolor(self, patch: MaskPatch) -> None:
        self.overlay.update_box(patch.box)

    def stroke(self, brush: int, seed: int, times: dict[str, list[float]], *, pen: bool) -> None:
        """Paint a wandering stroke in the middle of the view and note each move's times."""
        state = self.canvas.view_state
        rng = np.random.default_rng(seed)
        row, col, angle = state.center_row, state.center_col, rng.uniform(0, 6.3)
        driver = StrokeDriver(
            self.document,
            Brush(),
            active_class=seed % CLASSES,
            options=Brush.Options(size=brush, pressure="size" if pen else "off"),
        )
        driver.press(PointerEvent(PointerKind.PRESS, row, col))
        QApplication.processEvents()
        for move in range(MOVES):
            angle += rng.normal(0, 0.25)
            row, col = row + STEP * np.sin(angle), col + STEP * np.cos(angle)
            event = PointerEvent(PointerKind.MOVE, row, col, 0.6 + 0.4 * np.sin(move / 5))
            begun, began = time.thread_time(), time.perf_counter()
            driver.move(event)
            worked, work = time.thread_time(), time.perf_counter()
            QApplication.processEvents()
            times["own"].append(work - began)
            times["own, processor"].append(worked - begun)
            times["with repaint"].append(time.perf_counter() - began)
            times["with repaint, processor"].append(time.thread_time() - begun)
        began = time.perf_counter()
        driver.end(PointerEvent(PointerKind.RELEASE, row, col))
        ended = time.perf_counter() - began
        if self.document.is_large_stroke:
            self.document.prepare_commit()  # the window has a thread for it
        began = time.perf_counter()
        self.document.commit_stroke()
        times["release"].append(ended + time.perf_counter() - began)


def _blocks(size: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    height, width = size
    blocks = np.random.default_rng(seed).integers(
        0, CLASSES, (height // 64 + 1, width // 64 + 1), dtype=np.uint8
    )
    return np.repeat(np.repeat(blocks, 64, 0), 64, 1)[:height, :width].copy()


def measure(benches: list[Bench], brush: int, scale: float | None, kind: str = "") -> None:
    """Paint in all canvases in turn and print what it cost; ``kind`` is "pattern" or "pen"."""
    for bench in benches:
        bench.overlay.mode = LabelMode.PATTERN if kind == "pattern" else LabelMode.FILL
        if scale is None:
            bench.canvas.fit()
        else:
            bench.canvas.set_scale(scale)
    QApplication.processEvents()
    keys = ("own", "own, processor", "with repaint", "with repaint, processor", "release")
    times: list[dict[str, list[float]]] = [{key: [] for key in keys} for _ in benches]
    for seed in range(STROKES):
        for bench, own in zip(benches, times, strict=True):
            bench.stroke(brush, seed, own, pen=kind == "pen")
    view = "fitted" if scale is None else "1:1"
    print(f"brush of {brush} px, {view}{kind and ', ' + kind}: ms p50, p99, largest")
    first = np.median(times[0]["own, processor"])
    for bench, own in zip(benches, times, strict=True):
        height, width = bench.size
        for key in keys:
            p50, p99 = np.percentile(own[key], (50, 99)) * 1e3
            worst = max(own[key]) * 1e3
            print(f"  {width:5d} x {height:<5d} {key:24s} {p50:8.3f} {p99:8.3f} {worst:8.3f}")
        ratio = np.median(own["own, processor"]) / first
        print(f"  {width:5d} x {height:<5d} own work against the smallest: {ratio:.2f}")


NAPARI = """
import time, sys, numpy as np, napari
from qtpy.QtWidgets import QApplication
for height, width in ((1024, 2048), (3000, 4000), (8192, 8192)):
    rng = np.random.default_rng(0)
    viewer = napari.Viewer(show=False)
    viewer.window._qt_window.resize(1600, 900)
    viewer.add_image(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    viewer.add_labels(rng.integers(0, 19, (height, width)).astype(np.uint8), opacity=0.3)
    labels = viewer.add_labels(np.zeros((height, width), np.uint8))
    labels.brush_size, labels.selected_label = 40, 3
    viewer.window._qt_window.show()
    QApplication.processEvents()
    own, whole = [], []
    row, col = height / 2, width / 2
    for move in range(80):
        new = row + 4 * np.sin(move / 7), col + 6
        began = time.perf_counter()
        labels.paint(new, 3)
        own.append(time.perf_counter() - began)
        QApplication.processEvents()
        whole.append(time.perf_counter() - began)
        row, col = new
    for name, times in (("own", own[5:]), ("with repaint", whole[5:])):
        p50, p99 = np.percentile(times, (50, 99)) * 1e3
        size = f"{width:5d} x {height:<5d}"
        print(f"  {size} {name:24s} {p50:8.3f} {p99:8.3f} {max(times)*1e3:8.3f}", flush=True)
    viewer.close()
"""


def napari() -> None:
    """Print napari's Labels layer, or why it is not there."""
    python = os.environ.get("NAPARI_PYTHON")
    if not python:
        print("napari: skipped, NAPARI_PYTHON names no Python that has it")
        return
    print("napari's Labels layer, brush of 40 px, fitted: ms p50, p99, largest")
    # It draws with OpenGL, which Qt's offscreen platform has not: it needs a display.
    environment = {key: value for key, value in os.environ.items() if key != "QT_QPA_PLATFORM"}
    done = subprocess.run(
        [python, "-c", NAPARI], env=environment, capture_output=True, text=True, timeout=600
    )
    print(done.stdout, end="")
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        print(f"napari: stopped, {reason[0]}")


def main() -> None:
    """Print the tables."""
    application = QApplication([])
    with tempfile.TemporaryDirectory() as folder:
        benches = [Bench(size, Path(folder)) for size in SIZES]
        for brush in (40, 2000):
            for scale in (1.0, None):
                for kind in ("", "pattern", "pen"):
                    measure(benches, brush, scale, kind)
        for bench in benches:
            equal = np.array_equal(bench.live.confusion, bench.live.recount())
            again = count_values(bench.document.label_map, CLASSES)
            equal = equal and np.array_equal(bench.counts.counts, again)
            print(f"live scores of {bench.size} equal a recount: {equal}")
            assert bench.document.journal is not None
            bench.document.journal.close()
            bench.canvas.close()
    napari()
    application.quit()


if __name__ == "__main__":
    main()
