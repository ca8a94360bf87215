"""What every tool has to do, over the registry."""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segstudio.core.errors import SegStudioError
from segstudio.core.options import build_options, option_fields
from segstudio.core.patch import MaskPatch
from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.core.types import BBox
from segstudio.editing.document import MaskDocument
from segstudio.editing.driver import StrokeDriver, Surroundings
from segstudio.editing.rules import PaintRules
from segstudio.editing.superpixels import Segments, find_segments
from segstudio.editing.tool import (
    GROUPS,
    TOOLS,
    EditingTool,
    ToolView,
    patches_of,
    sorted_tools,
)

HEIGHT, WIDTH = 83, 101
PATHS = {
    "click": [(40.0, 50.0)],
    "line": [(10.3, 12.8), (60.1, 90.4)],
    "back and forth": [(20.0, 20.0), (20.0, 80.0), (20.0, 20.0), (70.0, 55.5)],
    "through the outside": [(40.0, 50.0), (-300.0, 50.0), (40.0, 1e6), (82.9, 100.9)],
    "from outside": [(-5.0, -5.0), (45.0, 45.0)],
    "never inside": [(-900.0, 5.0), (-900.0, 95.0), (5.0, -900.0)],
    "corners": [(0.0, 0.0), (0.0, 101.0), (83.0, 101.0), (83.0, 0.0)],
    "loop": [(15.0, 15.0), (18.0, 80.0), (70.0, 85.0)],
    "no position": [(30.0, 30.0), (float("nan"), 30.0), (30.0, float("inf")), (50.0, 60.0)],
}


def blocks(dtype: str, seed: int = 0) -> NDArray[Any]:
    """Return a map of blocks of three classes and of unlabelled pixels."""
    values = np.random.default_rng(seed).integers(0, 4, (HEIGHT // 10 + 1, WIDTH // 10 + 1))
    label_map = np.kron(values, np.ones((10, 10), int))[:HEIGHT, :WIDTH]
    return np.where(label_map == 3, np.iinfo(dtype).max, label_map).astype(dtype)


def variants(tool: EditingTool) -> list[Any]:
    """Return the defaults and, for each field, its extremes or its other choices."""
    found = [tool.Options()]
    for field in option_fields(tool.Options):
        values: list[Any] = [v for v in (field.minimum, field.maximum) if v is not None]
        values += list(field.choices) + ([True, False] if field.kind is bool else [])
        found += [build_options(tool.Options, {field.name: value}) for value in values]
    return found


def events(path: list[tuple[float, float]], **more: Any) -> list[PointerEvent]:
    """Return press, moves and release along a path."""
    kinds = [PointerKind.PRESS, *[PointerKind.MOVE] * (len(path) - 1), PointerKind.RELEASE]
    points = [*path, path[-1]]
    return [PointerEvent(k, *point, **more) for k, point in zip(kinds, points, strict=True)]


@functools.cache
def photograph() -> NDArray[np.uint8]:
    """Return a photograph: smooth, with a bright thing in the middle."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    bright = 120 * (np.hypot(rows - 41, columns - 50) < 25)
    noise = np.random.default_rng(3).integers(0, 9, (HEIGHT, WIDTH))
    return np.stack([40 + bright, rows, 40 + columns], -1).astype(np.uint8) + noise[
        ..., None
    ].astype(np.uint8)


@functools.cache
def superpixels() -> Segments:
    """Return the superpixels of a part of it."""
    return find_segments(photograph(), BBox(6, 4, HEIGHT - 3, WIDTH), size=9, compactness=10)


def around(dtype: str = "uint8", *, empty: bool = False) -> Surroundings:
    """Return everything that a tool can look at; ``empty`` has no class in it."""
    unlabelled = np.full((HEIGHT, WIDTH), np.iinfo(dtype).max, dtype)
    layers: dict[str, NDArray[Any]] = {
        name: unlabelled if empty else blocks(dtype, seed)
        for seed, name in enumerate(("prediction", "runner_up", "ground_truth"), start=1)
    }
    entropy = np.kron(np.random.default_rng(9).integers(0, 256, (9, 11)), np.ones((10, 10), int))
    layers["entropy"] = entropy[:HEIGHT, :WIDTH].astype(np.uint8)
    return Surroundings(
        unlabelled if empty else blocks(dtype, 1),
        photograph(),
        layers,
        superpixels(),
        BBox(10, 10, 70, 90),
    )


def view_of(label_map: NDArray[Any], tool: EditingTool, options: Any = None) -> ToolView:
    """Return what a tool sees of a map with everything there is."""
    seen = around(label_map.dtype.name)
    return ToolView(
        label_map,
        4,
        np.iinfo(label_map.dtype).max,
        tool.Options() if options is None else options,
        seen.source,
        seen.image,
        seen.layers,
        seen.segments,
        seen.region,
    )


@pytest.fixture(params=TOOLS.names())
def tool(request: pytest.FixtureRequest) -> EditingTool:
    return TOOLS.get(request.param)()


def test_it_says_what_it_is_and_its_options_build(tool: EditingTool) -> None:
    assert tool.title and tool.icon and tool.description.endswith(".")
    assert len(re.findall(r"[.!?](?: |$)", tool.description)) == 1, "one sentence"
    assert tool.group in GROUPS
    assert (tool.gesture == "clicks") <= (tool.outline in ("path", "area"))
    if tool.needs_segments:
        names = {field.name for field in option_fields(tool.Options)}
        assert {"segment_size", "compactness"} <= names
    assert dataclasses.is_dataclass(tool.Options)
    assert build_options(tool.Options, {}) == tool.Options()
    assert all(field.help for field in option_fields(tool.Options))


def test_they_are_shown_by_group_and_place() -> None:
    shown = sorted_tools()
    assert sorted(name for name, _ in shown) == TOOLS.names()
    order = [(GROUPS.index(thing.group), thing.place) for _, thing in shown]
    assert order == sorted(order) and len(set(order)) == len(order)


def test_shortcuts_differ() -> None:
    keys = [thing.shortcut for _, thing in TOOLS.items() if thing.shortcut]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
def test_any_path_keeps_the_rules_and_can_be_undone(
    tool: EditingTool, path: list[tuple[float, float]], dtype: str
) -> None:
    start, seen = blocks(dtype), around(dtype)
    for options in variants(tool):
        for secondary in (False, True):
            document = MaskDocument(start, ignore_index=np.iinfo(dtype).max, classes=5)
            mirror = start.copy()

            def follow(patch: MaskPatch, mirror: NDArray[Any] = mirror) -> None:
                np.testing.assert_array_equal(mirror[patch.box.slices], patch.before)
                changed = patch.before != patch.after
                # The box is the smallest one, its arrays are the patch's own.
                for edge in (changed[0], changed[-1], changed[:, 0], changed[:, -1]):
                    assert edge.any()
                assert patch.before.base is None or patch.before.base.size <= patch.before.size
                mirror[patch.box.slices] = patch.after

            connection = document.changed.connect(follow)
            driver = StrokeDriver(
                document, tool, active_class=4, options=options, surroundings=seen
            )
            for event in events(path, secondary=secondary):
                driver.handle(event)
            assert not driver.is_active and not document.in_stroke
            document.changed.disconnect(connection)
            np.testing.assert_array_equal(document.label_map, mirror)
            assert set(np.unique(mirror)) <= {0, 1, 2, 4, np.iinfo(dtype).max}
            assert document.history.can_undo == (not np.array_equal(mirror, start))
            document.undo()
            np.testing.assert_array_equal(document.label_map, start)
            document.redo()
            np.testing.assert_array_equal(document.label_map, mirror)


def test_each_patch_is_taken_back_by_its_inverse(tool: EditingTool) -> None:
    label_map = blocks("uint8")
    label_map[17, 17] = label_map[17, 17] == 0  # a hole beside the press
    states = []
    patches: list[MaskPatch] = []
    first, *rest = events(PATHS["loop"])
    generator = tool.stroke(view_of(label_map, tool), first)
    answer = next(generator)
    for event in [*rest, None]:
        for patch in patches_of(answer):
            states.append(label_map.copy())
            patches.append(patch)
            label_map[patch.box.slices] = patch.after
        if event is None:
            break
        try:
            answer = generator.send(event)
        except StopIteration:
            break
    assert patches
    for patch in reversed(patches):
        inverse = patch.inverse()
        np.testing.assert_array_equal(label_map[inverse.box.slices], inverse.before)
        label_map[inverse.box.slices] = inverse.after
        np.testing.assert_array_equal(label_map, states.pop())


def test_cancelled_at_any_event_it_leaves_nothing(tool: EditingTool) -> None:
    start = blocks("uint8")
    sequence = events(PATHS["loop"])
    for length in range(1, len(sequence)):
        document = MaskDocument(start, ignore_index=255, classes=5)
        driver = StrokeDriver(document, tool, active_class=4, surroundings=around())
        for event in sequence[:length]:
            driver.handle(event)
        driver.handle(PointerEvent(PointerKind.CANCEL, 1.0, 1.0))
        np.testing.assert_array_equal(document.label_map, start)
        assert not document.history.can_undo and not document.is_dirty


def test_painting_what_is_there_already_is_no_stroke(tool: EditingTool) -> None:
    for secondary in (False, True):
        document = MaskDocument(
            np.full((HEIGHT, WIDTH), 255, np.uint8), ignore_index=255, classes=5
        )
        driver = StrokeDriver(document, tool, active_class=255, surroundings=around(empty=True))
        for event in events(PATHS["line"], secondary=secondary):
            driver.handle(event)
        assert not document.is_dirty and not document.history.can_undo


RULES = {
    "locked": PaintRules(locked=frozenset({1, 255, 65535})),
    "only over": PaintRules(only_over=frozenset({2})),
    "unlabelled": PaintRules(only_over=frozenset({255, 65535})),
    "uncertain": PaintRules(entropy_above=0.5),
    "all": PaintRules(frozenset({0}), frozenset({0, 1}), 0.25),
}


def allowed(rules: PaintRules, label_map: NDArray[Any], entropy: NDArray[np.uint8]) -> Any:
    """Return which pixels may change, in the simplest way."""
    mask = ~np.isin(label_map, list(rules.locked))
    if rules.only_over is not None:
        mask &= np.isin(label_map, list(rules.only_over))
    if rules.entropy_above is not None:
        mask &= entropy / 255 > rules.entropy_above
    return mask


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("rules", RULES.values(), ids=RULES.keys())
def test_no_tool_paints_what_the_rules_protect(
    tool: EditingTool, rules: PaintRules, dtype: str
) -> None:
    start, seen = blocks(dtype), around(dtype)
    for options in variants(tool):
        for path in (PATHS["loop"], PATHS["through the outside"], PATHS["click"]):
            for secondary in (False, True):
                document = MaskDocument(start, ignore_index=np.iinfo(dtype).max, classes=5)
                driver = StrokeDriver(
                    document, tool, active_class=4, options=options, surroundings=seen, rules=rules
                )
                for event in events(path, secondary=secondary):
                    driver.handle(event)
                changed = document.label_map != start
                assert not (changed & ~allowed(rules, start, seen.layers["entropy"])).any()


def test_the_rules_leave_the_rest_to_the_tool(tool: EditingTool) -> None:
    start, seen = blocks("uint8"), around()
    free = MaskDocument(start, ignore_index=255, classes=5)
    bound = MaskDocument(start, ignore_index=255, classes=5)
    rules = PaintRules(locked=frozenset({2}))
    held_back = 0
    for document, law in ((free, None), (bound, rules)):
        driver = StrokeDriver(document, tool, active_class=4, surroundings=seen, rules=law)
        for event in events(PATHS["loop"]):
            driver.handle(event)
        held_back = driver.held_back
    expected = np.where(start == 2, start, free.label_map)
    np.testing.assert_array_equal(bound.label_map, expected)
    lost = np.count_nonzero((free.label_map != start) & (start == 2))
    # A brush that comes back is held back once more.
    assert held_back >= lost and (held_back > 0) == (lost > 0)


def test_without_what_it_needs_it_says_so_in_one_sentence(tool: EditingTool) -> None:
    start = blocks("uint8")
    for options in variants(tool):
        document = MaskDocument(start, ignore_index=255, classes=5)
        driver = StrokeDriver(document, tool, active_class=4, options=options)
        try:
            for event in events(PATHS["loop"]):
                driver.handle(event)
        except SegStudioError as error:
            sentence = str(error)
            assert sentence.endswith(".") and "\n" not in sentence
            assert "failed" not in sentence, "it did not foresee that"
            np.testing.assert_array_equal(document.label_map, start)
            assert not document.in_stroke


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
def test_a_slow_tool_does_the_same_in_a_thread(
    tool: EditingTool, path: list[tuple[float, float]]
) -> None:
    start, seen = blocks("uint8"), around()
    for options in variants(tool):
        if not tool.is_slow(options):
            continue
        live = MaskDocument(start, ignore_index=255, classes=5)
        threaded = MaskDocument(start, ignore_index=255, classes=5)
        for document in (live, threaded):
            driver = StrokeDriver(
                document, tool, active_class=4, options=options, surroundings=seen
            )
            if document is live:
                strokes = [driver.handle(event) for event in events(path)]
            else:
                patch = driver.find(events(path))
                np.testing.assert_array_equal(document.label_map, start)
                assert (driver.paint(patch) is None) == (strokes[-1] is None)
        np.testing.assert_array_equal(threaded.label_map, live.label_map)
