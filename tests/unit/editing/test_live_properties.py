"""Whatever is painted with whatever tool, undone and redone: the live counts are a full recount."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segstudio.core.options import build_options, option_fields
from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.core.types import BBox
from segstudio.datasets import scratch
from segstudio.datasets.scratch import is_mapped
from segstudio.editing.document import MaskDocument, fingerprint
from segstudio.editing.driver import StrokeDriver, Surroundings
from segstudio.editing.live_counts import LiveCounts
from segstudio.editing.live_scores import LiveConfusion
from segstudio.editing.rules import PaintRules
from segstudio.editing.superpixels import Segments, find_segments
from segstudio.editing.tool import TOOLS, EditingTool, ToolError

HEIGHT, WIDTH = 300, 280
CLASSES = {"uint8": 9, "uint16": 400}

Deed = Callable[["_Bench"], None]


def _blocks(seed: int, dtype: str) -> NDArray[Any]:
    """Return a map of blocks of 20 pixels; some have no class."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, CLASSES[dtype] + 1, (HEIGHT // 20, WIDTH // 20))
    values[values == CLASSES[dtype]] = np.iinfo(dtype).max
    return np.kron(values, np.ones((20, 20), int)).astype(dtype)


@functools.cache
def _photograph() -> NDArray[np.uint8]:
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 230, (HEIGHT // 20, WIDTH // 20, 3))
    fine = rng.integers(0, 20, (HEIGHT, WIDTH, 3))
    return (np.kron(coarse, np.ones((20, 20, 1), int)) + fine).astype(np.uint8)


@functools.cache
def _superpixels() -> Segments:
    return find_segments(_photograph(), BBox(10, 0, 280, 260), size=15, compactness=10)


@functools.cache
def _around(dtype: str) -> Surroundings:
    names = ("prediction", "runner_up", "ground_truth")
    layers = {name: _blocks(seed, dtype) for seed, name in enumerate(names, start=20)}
    entropy = np.random.default_rng(6).integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8)
    return Surroundings(
        _blocks(30, dtype),
        _photograph(),
        {**layers, "entropy": entropy},
        _superpixels(),
        BBox(20, 30, 200, 220),
    )


class _Bench:
    """A document with everything that follows it."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.start = _blocks(1, dtype)
        self.target = _blocks(2, dtype)
        ignore = int(np.iinfo(dtype).max)
        self.document = MaskDocument(self.start, ignore_index=ignore, classes=CLASSES[dtype])
        self.confusion = LiveConfusion(self.target, self.document)
        self.counts = LiveCounts(self.document)
        self.with_scores = LiveCounts(self.document, self.confusion)

    def check(self) -> None:
        """Recount everything without any code of the product."""
        classes, here = CLASSES[self.dtype], np.asarray(self.document.label_map)
        confusion = np.zeros((classes, classes + 1), np.int64)
        counted = self.target < classes
        columns = np.minimum(here[counted], classes)
        np.add.at(confusion, (self.target[counted], columns), 1)
        np.testing.assert_array_equal(self.confusion.confusion, confusion)
        counts = np.bincount(here.ravel(), minlength=65536)[:classes]
        np.testing.assert_array_equal(self.counts.counts, counts)
        np.testing.assert_array_equal(self.with_scores.counts, counts)
        assert self.document.fingerprint() == fingerprint(here.copy())
        assert not self.document.in_stroke


@st.composite
def _strokes(draw: st.DrawFn) -> Deed:
    name = draw(st.sampled_from(sorted(TOOLS.names())))
    place = st.tuples(st.floats(-40, HEIGHT + 40), st.floats(-40, WIDTH + 40))
    points = draw(st.lists(place, min_size=1, max_size=4))
    values: dict[str, Any] = {}
    for field in option_fields(TOOLS.get(name).Options):
        choices = [True, False] if field.kind is bool else list(field.choices)
        if choices:
            values[field.name] = draw(st.sampled_from(choices))
    if "size" in {field.name for field in option_fields(TOOLS.get(name).Options)}:
        values["size"] = draw(st.sampled_from([1, 7, 60, 330]))
    color = draw(st.integers(0, 9))
    secondary, locked = draw(st.booleans()), draw(st.frozensets(st.integers(0, 8), max_size=2))
    end = draw(st.sampled_from(["release", "cancel"]))
    windowed = draw(st.booleans())

    def deed(bench: _Bench) -> None:
        tool = TOOLS.get(name)()
        options = build_options(tool.Options, values)
        active = bench.document.ignore_index if color == 9 else color
        slow = tool.is_slow(options)
        driver = StrokeDriver(
            bench.document,
            tool,
            active_class=active,
            options=options,
            surroundings=_around(bench.dtype),
            rules=PaintRules(locked),
            window=BBox(40, 50, 240, 230) if windowed and slow else None,
        )
        _use(driver, tool, points, secondary=secondary, slow=slow, end=end)

    deed.__name__ = f"{name} {end}"
    return deed


def _use(
    driver: StrokeDriver,
    tool: EditingTool,
    points: list[tuple[float, float]],
    *,
    secondary: bool,
    slow: bool,
    end: str,
) -> None:
    kinds = [PointerKind.PRESS, *[PointerKind.MOVE] * (len(points) - 1), PointerKind.RELEASE]
    events = [
        PointerEvent(kind, *point, secondary=secondary)
        for kind, point in zip(kinds, [*points, points[-1]], strict=True)
    ]
    try:
        if slow:
            driver.paint(driver.find(events))
            return
        for event in events[:-1]:
            driver.handle(event)
        driver.cancel() if end == "cancel" else driver.handle(events[-1])
    except ToolError:
        pass  # a tool that has nothing to look at says so and changes nothing


def _undo(bench: _Bench) -> None:
    bench.document.undo()


def _redo(bench: _Bench) -> None:
    bench.document.redo()


def _undo_and_leave(bench: _Bench) -> None:
    parts = bench.document.undo_parts()
    next(parts, None)
    parts.close()  # the window is closed meanwhile


_DEEDS = st.lists(
    st.one_of(_strokes(), _strokes(), st.sampled_from([_undo, _redo, _undo_and_leave])),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@settings(max_examples=25, deadline=None)
@given(deeds=_DEEDS)
def test_counts_follow_every_tool(dtype: str, deeds: list[Deed]) -> None:
    _run(_Bench(dtype), deeds)


def test_counts_follow_a_map_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGSTUDIO_SCRATCH", str(tmp_path))
    monkeypatch.setattr(scratch, "LARGE_PIXELS", 1000)
    monkeypatch.setattr(scratch, "IN_MEMORY_BYTES", 1000)
    monkeypatch.setattr(scratch, "_RELEASE_BYTES", 4096)

    @settings(max_examples=15, deadline=None)
    @given(deeds=_DEEDS)
    def check(deeds: list[Deed]) -> None:
        bench = _Bench("uint8")
        assert is_mapped(bench.document.label_map)
        _run(bench, deeds)

    check()


def _run(bench: _Bench, deeds: list[Deed]) -> None:
    for deed in deeds:
        deed(bench)
        bench.check()
    while bench.document.undo() is not None:
        pass
    bench.check()
    np.testing.assert_array_equal(bench.document.label_map, bench.start)
    done = 0
    while bench.document.redo() is not None:
        done += 1
    bench.check()
    assert done == len(bench.document.history.entries())
