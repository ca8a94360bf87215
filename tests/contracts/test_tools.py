"""What every tool has to do, over the registry."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segstudio.core.options import build_options, option_fields
from segstudio.core.patch import MaskPatch
from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.editing.document import MaskDocument
from segstudio.editing.driver import StrokeDriver
from segstudio.editing.tool import TOOLS, EditingTool, ToolView

HEIGHT, WIDTH = 83, 101
PATHS = {
    "click": [(40.0, 50.0)],
    "line": [(10.3, 12.8), (60.1, 90.4)],
    "back and forth": [(20.0, 20.0), (20.0, 80.0), (20.0, 20.0), (70.0, 55.5)],
    "through the outside": [(40.0, 50.0), (-300.0, 50.0), (40.0, 1e6), (82.9, 100.9)],
    "from outside": [(-5.0, -5.0), (45.0, 45.0)],
    "never inside": [(-900.0, 5.0), (-900.0, 95.0), (5.0, -900.0)],
    "corners": [(0.0, 0.0), (0.0, 101.0), (83.0, 101.0), (83.0, 0.0)],
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


@pytest.fixture(params=TOOLS.names())
def tool(request: pytest.FixtureRequest) -> EditingTool:
    return TOOLS.get(request.param)()


def test_it_says_what_it_is_and_its_options_build(tool: EditingTool) -> None:
    assert tool.title and tool.icon and tool.description.endswith(".")
    assert dataclasses.is_dataclass(tool.Options)
    assert build_options(tool.Options, {}) == tool.Options()
    assert all(field.help for field in option_fields(tool.Options))


def test_shortcuts_differ() -> None:
    keys = [thing.shortcut for _, thing in TOOLS.items() if thing.shortcut]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
def test_any_path_keeps_the_rules_and_can_be_undone(
    tool: EditingTool, path: list[tuple[float, float]], dtype: str
) -> None:
    start, source = blocks(dtype), blocks(dtype, 1)
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
            driver = StrokeDriver(document, tool, active_class=4, options=options, source=source)
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
    states = []
    patches: list[MaskPatch] = []
    first, *rest = events(PATHS["back and forth"])
    generator = tool.stroke(ToolView(label_map, 4, 255, tool.Options()), first)
    patch = next(generator)
    for event in [*rest, None]:
        if patch is not None:
            states.append(label_map.copy())
            patches.append(patch)
            label_map[patch.box.slices] = patch.after
        if event is None:
            break
        try:
            patch = generator.send(event)
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
    sequence = events(PATHS["back and forth"])
    for length in range(1, len(sequence)):
        document = MaskDocument(start, ignore_index=255, classes=5)
        driver = StrokeDriver(document, tool, active_class=4)
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
        driver = StrokeDriver(document, tool, active_class=255)
        for event in events(PATHS["line"], secondary=secondary):
            driver.handle(event)
        assert not document.is_dirty and not document.history.can_undo
