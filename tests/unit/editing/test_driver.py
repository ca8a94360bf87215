"""Strokes from press to release, and tools that misbehave."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segstudio.core.errors import SegStudioError, SizeMismatchError, UsageError
from segstudio.core.pointer import PointerEvent
from segstudio.core.types import BBox
from segstudio.editing.driver import StrokeDriver
from segstudio.editing.tool import EditingTool, StrokeGenerator, ToolError, ToolView
from segstudio.editing.tools.brush import Brush


class Careless(EditingTool):
    """Paints a line of pixels, then does something wrong at the third event."""

    title = "Careless"
    description = "For tests."

    def __init__(self, wrong: object) -> None:
        self.wrong = wrong

    def stroke(self, view: ToolView, event: PointerEvent) -> StrokeGenerator:
        for row in range(3):
            if row == 2:
                if isinstance(self.wrong, Exception):
                    raise self.wrong
                yield self.wrong  # type: ignore[misc]
            box = BBox(row, 0, row + 1, 20)
            yield view.patch_where(np.ones((1, 20), bool), box, 1)


class Stubborn(Careless):
    """Goes on after it was closed."""

    def stroke(self, view: ToolView, event: PointerEvent) -> StrokeGenerator:
        try:
            yield view.patch_where(np.ones((1, 20), bool), BBox(0, 0, 1, 20), 1)
            yield None
        finally:
            yield None


@pytest.mark.parametrize("wrong", [ValueError("oops"), "not a patch", MemoryError()])
def test_a_tool_that_fails_is_taken_back_and_named(kit: Any, wrong: object) -> None:
    label_map = kit.make_map()
    document = kit.make_document(label_map)
    driver = StrokeDriver(document, Careless(wrong), active_class=1)
    driver.press(kit.at("press", 0, 0))
    driver.move(kit.at("move", 0, 0))
    assert not np.array_equal(document.label_map, label_map)
    with pytest.raises(ToolError, match=r"Careless failed .*taken back"):
        driver.move(kit.at("move", 0, 0))
    np.testing.assert_array_equal(document.label_map, label_map)
    assert not driver.is_active and not document.in_stroke and not document.history.can_undo
    assert driver.release(kit.at("release", 0, 0)) is None
    driver.press(kit.at("press", 0, 0))
    driver.cancel()


def test_an_error_meant_for_the_user_comes_through_as_it_is(kit: Any) -> None:
    driver = StrokeDriver(
        kit.make_document(kit.make_map()), Careless(UsageError("Say so.")), active_class=1
    )
    driver.press(kit.at("press", 0, 0))
    driver.move(kit.at("move", 0, 0))
    with pytest.raises(UsageError, match="Say so"):
        driver.move(kit.at("move", 0, 0))


@pytest.mark.parametrize("ending", ["release", "cancel"])
def test_a_tool_that_does_not_end_is_taken_back(kit: Any, ending: str) -> None:
    label_map = kit.make_map()
    document = kit.make_document(label_map)
    driver = StrokeDriver(document, Stubborn(None), active_class=1)
    driver.press(kit.at("press", 0, 0))
    with pytest.raises(ToolError):
        driver.handle(kit.at(ending, 0, 0))
    np.testing.assert_array_equal(document.label_map, label_map)
    assert not driver.is_active and not document.in_stroke


def test_events_do_what_their_kind_says(kit: Any) -> None:
    label_map = kit.make_map()
    document = kit.make_document(label_map)
    driver = StrokeDriver(document, Brush(), active_class=1, stroke_name="Brush: road")
    assert (
        driver.handle(kit.at("move", 5, 5)) is None
        and driver.handle(kit.at("cancel", 5, 5)) is None
    )
    driver.handle(kit.at("press", 50, 50))
    assert driver.is_active
    driver.handle(kit.at("cancel", 50, 50))
    np.testing.assert_array_equal(document.label_map, label_map)
    driver.handle(kit.at("press", 50, 50))
    driver.handle(kit.at("move", 60, 60))
    stroke = driver.handle(kit.at("release", 70, 60))
    assert stroke is not None and stroke.name == "Brush: road"
    assert document.label_map[69, 60] == 1
    assert [entry.name for entry in document.history.entries()] == ["Brush: road"]


def test_a_second_press_does_not_break_the_first_stroke(kit: Any) -> None:
    document = kit.make_document(kit.make_map())
    driver = StrokeDriver(document, Brush(), active_class=1)
    driver.press(kit.at("press", 50, 50))
    with pytest.raises(SegStudioError):
        driver.press(kit.at("press", 10, 10))
    assert driver.release(kit.at("release", 50, 50)) is not None


def test_what_a_driver_refuses(kit: Any) -> None:
    document = kit.make_document(kit.make_map())
    for value in (11, 254, -1):
        with pytest.raises(UsageError):
            StrokeDriver(document, Brush(), active_class=value)
    StrokeDriver(document, Brush(), active_class=255)
    with pytest.raises(SizeMismatchError):
        StrokeDriver(document, Brush(), active_class=1, source=np.zeros((3, 3), np.uint8))
