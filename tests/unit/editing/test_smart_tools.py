"""What each of the tools does, on small maps that can be read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segstudio.core.errors import UsageError
from segstudio.core.options import build_options
from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.core.types import BBox
from segstudio.editing.document import MaskDocument
from segstudio.editing.driver import StrokeDriver, Surroundings
from segstudio.editing.rules import PaintRules
from segstudio.editing.superpixels import find_segments
from segstudio.editing.tool import TOOLS, ToolError

IGNORE = 255


def use(
    name: str,
    label_map: np.ndarray,
    points: list[tuple[float, float]],
    *,
    active: int = 3,
    secondary: bool = False,
    rules: PaintRules | None = None,
    around: Surroundings | None = None,
    **options: Any,
) -> np.ndarray:
    """Return a map after one stroke of a tool."""
    tool = TOOLS.get(name)
    document = MaskDocument(label_map, ignore_index=IGNORE, classes=5)
    driver = StrokeDriver(
        document,
        tool(),
        active_class=active,
        options=build_options(tool.Options, options),
        surroundings=around,
        rules=rules,
    )
    kinds = [PointerKind.PRESS, *[PointerKind.MOVE] * (len(points) - 1), PointerKind.RELEASE]
    for kind, (row, col) in zip(kinds, [*points, points[-1]], strict=True):
        driver.handle(PointerEvent(kind, row, col, secondary=secondary))
    return np.array(document.label_map)


@pytest.fixture
def ring() -> np.ndarray:
    """A ring of class 1 on class 0, with class 2 inside and a dot of class 1 apart."""
    label_map = np.zeros((40, 50), np.uint8)
    label_map[5:25, 5:25] = 1
    label_map[10:20, 10:20] = 2
    label_map[30:32, 40:42] = 1
    return label_map


def test_line_goes_straight_from_corner_to_corner(ring: np.ndarray) -> None:
    after = use("line", ring, [(30.5, 5.5), (30.5, 20.5), (36.5, 20.5)], size=1)
    changed = {(int(r), int(c)) for r, c in np.argwhere(after != ring)}
    assert changed == {(30, c) for c in range(5, 21)} | {(r, 20) for r in range(30, 37)}


def test_polygon_and_lasso_paint_inside_and_the_right_button_empties(ring: np.ndarray) -> None:
    corners = [(0.0, 0.0), (0.0, 10.0), (10.0, 10.0), (10.0, 0.0)]
    for name in ("polygon", "lasso"):
        after = use(name, ring, corners, secondary=True)
        assert (after[:10, :10] == IGNORE).all() and (after != ring).sum() == 100


def test_rectangle_and_ellipse(ring: np.ndarray) -> None:
    box = [(30.0, 2.0), (1.0, 1.0), (38.0, 22.0)]
    assert (use("rectangle", ring, box) == 3).sum() == 8 * 20
    count = (use("rectangle", ring, box, form="ellipse") == 3).sum()
    assert count == pytest.approx(np.pi * 4 * 10, rel=0.05)


def test_holes_of_a_region_and_of_a_class(ring: np.ndarray) -> None:
    after = use("holes", ring, [(6.0, 6.0)])
    assert (after[10:20, 10:20] == 1).all() and (after != ring).sum() == 100
    assert (use("holes", ring, [(6.0, 6.0)], largest=99) == ring).all()
    assert (use("holes", ring, [(31.0, 41.0)]) == ring).all(), "the dot has no hole"
    assert (use("holes", ring, [(31.0, 41.0)], scope="class")[10:20, 10:20] == 1).all()
    emptied = use("holes", ring, [(6.0, 6.0)], secondary=True)
    assert (emptied[10:20, 10:20] == IGNORE).all()
    # The ground around the ring touches the edge: the ring is its hole, the edge is not.
    assert (use("holes", ring, [(0.0, 0.0)]) == 0).all()


def test_a_hole_is_no_hole_where_it_leaks_through_an_edge_but_not_through_a_corner() -> None:
    label_map = np.zeros((9, 9), np.uint8)
    label_map[2:7, 2:7] = 1
    label_map[4, 4] = 0
    opened = label_map.copy()
    opened[4, 5:] = 0
    assert (use("holes", opened, [(2.0, 2.0)]) == opened).all()
    cornered = label_map.copy()
    cornered[3, 3] = cornered[2, 2] = 0
    assert use("holes", cornered, [(6.0, 6.0)])[4, 4] == 1


def test_replace_in_the_image_in_view_and_in_a_region(ring: np.ndarray) -> None:
    everywhere = use("replace", ring, [(6.0, 6.0)])
    np.testing.assert_array_equal(everywhere, np.where(ring == 1, 3, ring))
    around = Surroundings(region=BBox(0, 0, 12, 50))
    seen = use("replace", ring, [(6.0, 6.0)], scope="view", around=around)
    np.testing.assert_array_equal(seen[:12], everywhere[:12])
    np.testing.assert_array_equal(seen[12:], ring[12:])
    region = use("replace", ring, [(6.0, 6.0)], scope="region")
    np.testing.assert_array_equal(region[:28], everywhere[:28])
    np.testing.assert_array_equal(region[28:], ring[28:])


def test_wand_takes_colours_within_the_tolerance(ring: np.ndarray) -> None:
    image = np.zeros((40, 50, 3), np.uint8)
    image[:, :] = (100, 50, 25)
    image[:, 10:] += np.array([0, 0, 7], np.uint8)
    image[:, 20:] += np.array([9, 0, 0], np.uint8)
    image[:, 40:] = (100, 50, 25)
    around = Surroundings(image=image)
    click = [(30.0, 2.0)]
    columns = {
        (0, True): range(10),
        (7, True): range(20),
        (9, True): range(50),
        (0, False): [*range(10), *range(40, 50)],
    }
    for (tolerance, contiguous), expected in columns.items():
        after = use("wand", ring, click, around=around, tolerance=tolerance, contiguous=contiguous)
        assert sorted(np.flatnonzero((after == 3).all(0))) == list(expected)
        assert set(np.flatnonzero((after == 3).any(0))) == set(expected)


def test_model_wand_wants_the_same_classes_and_a_like_entropy() -> None:
    label_map = np.zeros((10, 60), np.uint8)
    prediction, runner_up = label_map.copy(), np.ones_like(label_map)
    entropy = np.full_like(label_map, 100)
    prediction[:, 50:] = 2
    runner_up[:, 40:50] = 4
    entropy[:, 20:40] = 126
    around = Surroundings(
        layers={"prediction": prediction, "runner_up": runner_up, "entropy": entropy}
    )

    def reach(**options: Any) -> int:
        after = use("model-wand", label_map, [(5.0, 5.0)], around=around, **options)
        return int((after == 3).any(0).sum())

    assert reach(tolerance=10) == 20  # 25.5 of 255 is less than 26
    assert reach(tolerance=11) == 40
    assert reach(tolerance=11, runner_up=False) == 50
    assert reach(tolerance=0, contiguous=False) == 20
    assert reach(tolerance=0, runner_up=False, contiguous=False) == 30


def test_fill_with_a_tolerance_runs_through_what_the_model_also_holds_for_the_class() -> None:
    label_map = np.zeros((10, 60), np.uint8)
    label_map[:, 20:] = 1  # painted, or mistaken by the model
    prediction, runner_up = label_map.copy(), np.full_like(label_map, 2)
    prediction[:, 20:30] = 0
    runner_up[:, 30:40] = 0
    runner_up[:, 50:] = 0
    layers = {"prediction": prediction, "runner_up": runner_up}

    def columns(known: dict[str, Any], **options: Any) -> list[int]:
        around = Surroundings(layers=known)
        after = use("fill", label_map, [(5.0, 5.0)], around=around, **options)
        assert ((after == 3).all(0) == (after == 3).any(0)).all()
        return list(np.flatnonzero((after == 3).any(0)))

    assert columns({}) == list(range(20)), "the map alone needs no model"
    assert columns(layers, tolerance=1) == list(range(30))
    assert columns(layers, tolerance=2) == list(range(40))
    assert columns(layers, tolerance=2, contiguous=False) == [*range(40), *range(50, 60)]
    with pytest.raises(ToolError, match="runner"):
        columns({"prediction": prediction}, tolerance=2)


def test_superpixel_brush_paints_what_it_touches_once(ring: np.ndarray) -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)
    segments = find_segments(image, BBox(5, 5, 35, 45), size=8, compactness=30)
    around = Surroundings(segments=segments)
    blank = np.zeros_like(ring)
    after = use("superpixels", blank, [(0.0, 0.0), (20.5, 20.5)], around=around)
    inside = after[segments.box.slices] == 3
    touched = {int(segments.labels[i, i]) for i in range(16)}
    np.testing.assert_array_equal(inside, np.isin(segments.labels, list(touched)))
    assert (after == 3).sum() == inside.sum()
    assert (use("superpixels", blank, [(1.0, 1.0)], around=around) == 0).all()
    with pytest.raises(ToolError, match="superpixels"):
        use("superpixels", blank, [(9.0, 9.0)])


def test_grabcut_finds_the_thing_in_the_box() -> None:
    rows, columns = np.mgrid[:80, :90]
    thing = np.hypot(rows - 40, columns - 45) < 18
    noise = np.random.default_rng(1).integers(0, 20, (80, 90, 3))
    image = (np.where(thing[..., None], (200, 60, 40), (40, 90, 60)) + noise).astype(np.uint8)
    around = Surroundings(image=image)
    blank = np.zeros(thing.shape, np.uint8)
    box = [(15.0, 20.0), (66.0, 72.0)]
    after = use("grabcut", blank, box, around=around)
    np.testing.assert_array_equal(after == 3, thing)
    rough = np.where((rows > 30) & (columns > 35) & (rows < 60) & (columns < 62), 3, 0)
    kept = use("grabcut", rough.astype(np.uint8), box, around=around)
    assert (kept[rough == 3] == 3).all() and (kept[thing] == 3).all()
    trimmed = use("grabcut", rough.astype(np.uint8), box, around=around, trim=True)
    wrong = np.count_nonzero((trimmed == 3) != thing)
    assert wrong < np.count_nonzero((rough == 3) != thing) / 4
    assert (kept == 3).sum() > (trimmed == 3).sum(), "nothing was trimmed"
    assert set(np.unique(trimmed)) == {0, 3}


def test_grow_and_shrink_are_each_others_right_button(ring: np.ndarray) -> None:
    dot = [(31.0, 41.0)]
    grown = use("reshape", ring, dot, pixels=2)
    assert (grown == 1).sum() - (ring == 1).sum() == 4 * (2 * 2 + 1)
    np.testing.assert_array_equal(
        use("reshape", ring, dot, operation="shrink", secondary=True, pixels=2), grown
    )
    shrunk = use("reshape", ring, [(6.0, 6.0)], operation="shrink", pixels=1)
    assert (shrunk[5] == 0).all() and shrunk[6, 6] == 1, "the outer rim becomes the ground"
    assert shrunk[9, 15] == 2 and shrunk[8, 15] == 1, "the inner rim becomes what is inside"
    gone = use("reshape", ring, dot, operation="shrink", pixels=5)
    assert (gone[28:] == 0).all()
    both = use("reshape", ring, dot, pixels=1, scope="class")
    assert both[4, 15] == 1 and both[29, 40] == 1


def test_smooth_takes_a_spike_and_fills_a_notch() -> None:
    label_map = np.zeros((40, 40), np.uint8)
    label_map[:, :20] = 1
    label_map[10, 20:30] = 1
    label_map[25, 10:20] = 0
    after = use("reshape", label_map, [(5.0, 5.0)], operation="smooth", pixels=3)
    expected = np.zeros_like(after)
    expected[:, :20] = 1
    assert (after != expected).sum() < 8


def test_islands_get_what_lies_around_them(ring: np.ndarray) -> None:
    ring[7, 7] = 4
    ring[35, 5] = 4
    one = use("islands", ring, [(31.0, 41.0)], smaller_than=5)
    assert (one[28:, 30:] == 0).all() and one[7, 7] == 4 and (one[5:7, 5:25] == 1).all()
    every = use("islands", ring, [(0.0, 0.0)], smaller_than=5, scope="every class")
    assert every[7, 7] == 1 and every[35, 5] == 0 and (every[28:] == 0).all()
    exact = use("islands", ring, [(31.0, 41.0)], smaller_than=4)
    np.testing.assert_array_equal(exact, ring)
    around = Surroundings(region=BBox(0, 0, 28, 50))
    seen = use(
        "islands",
        ring,
        [(0.0, 0.0)],
        smaller_than=5,
        scope="every class",
        where="view",
        around=around,
    )
    assert seen[7, 7] == 1 and seen[35, 5] == 4


def test_copy_takes_a_region_or_what_the_brush_sweeps(ring: np.ndarray) -> None:
    blank = np.full_like(ring, IGNORE)
    around = Surroundings(source=ring + 1, layers={"ground_truth": ring})
    region = use("copy", blank, [(15.0, 15.0)], layer="ground_truth", around=around)
    np.testing.assert_array_equal(region, np.where(ring == 2, 2, IGNORE))
    swept = use(
        "copy",
        blank,
        [(8.0, 0.0), (8.0, 49.0)],
        layer="source",
        area="brush",
        size=1,
        around=around,
    )
    np.testing.assert_array_equal(swept[8], ring[8] + 1)
    assert (np.delete(swept, 8, 0) == IGNORE).all()
    with pytest.raises(ToolError, match="run a model"):
        use("copy", blank, [(15.0, 15.0)], around=around)


def test_entropy_is_compared_strictly_and_must_be_there(ring: np.ndarray) -> None:
    entropy = np.full(ring.shape, 127, np.uint8)
    entropy[:, 25:] = 128
    around = Surroundings(layers={"entropy": entropy})
    box = [(0.0, 0.0), (40.0, 50.0)]
    half = use("rectangle", ring, box, around=around, rules=PaintRules(entropy_above=0.5))
    np.testing.assert_array_equal(half == 3, entropy == 128)
    with pytest.raises(UsageError, match="entropy"):
        use("rectangle", ring, box, rules=PaintRules(entropy_above=0.5))


def test_what_was_painted_meanwhile_makes_a_slow_answer_useless(ring: np.ndarray) -> None:
    document = MaskDocument(ring, ignore_index=IGNORE, classes=5)
    driver = StrokeDriver(document, TOOLS.get("fill")(), active_class=3)
    press = PointerEvent(PointerKind.PRESS, 0.0, 0.0)
    patch = driver.find([press, PointerEvent(PointerKind.RELEASE, 0.0, 0.0)])
    assert patch is not None
    brush = StrokeDriver(document, TOOLS.get("brush")(), active_class=4)
    brush.handle(press)
    brush.handle(PointerEvent(PointerKind.RELEASE, 0.0, 0.0))
    before = document.fingerprint()
    with pytest.raises(ToolError, match="once more"):
        driver.paint(patch)
    assert document.fingerprint() == before and not document.in_stroke


@pytest.fixture
def filling(
    ring: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> tuple[MaskDocument, StrokeDriver, Any]:
    """A document, a driver and the patch that it found, which is applied in parts."""
    monkeypatch.setattr("segstudio.editing.driver._PART", 5 * ring.shape[1])
    document = MaskDocument(ring, ignore_index=IGNORE, classes=5)
    driver = StrokeDriver(document, TOOLS.get("fill")(), active_class=3)
    kinds = (PointerKind.PRESS, PointerKind.RELEASE)
    return document, driver, driver.find([PointerEvent(kind, 0.0, 0.0) for kind in kinds])


def test_a_patch_in_parts_is_one_stroke(filling: Any, ring: np.ndarray) -> None:
    document, driver, patch = filling
    parts = list(driver.paint_parts(patch))
    assert len(parts) == 8 and document.in_stroke
    document.prepare_commit()
    assert document.commit_stroke() is not None
    np.testing.assert_array_equal(document.label_map, np.where(ring == 0, 3, ring))
    document.undo()
    np.testing.assert_array_equal(document.label_map, ring)
    document.redo()
    np.testing.assert_array_equal(document.label_map, np.where(ring == 0, 3, ring))


def test_parts_that_are_given_up_are_taken_back(filling: Any, ring: np.ndarray) -> None:
    document, driver, patch = filling
    parts = driver.paint_parts(patch)
    next(parts)
    next(parts)
    assert (document.label_map != ring).any()
    parts.close()
    np.testing.assert_array_equal(document.label_map, ring)
    assert not document.in_stroke and not document.history.can_undo


def test_what_is_painted_after_the_preparation_is_in_the_stroke_too(
    filling: Any, ring: np.ndarray
) -> None:
    document, driver, patch = filling
    parts = driver.paint_parts(patch)
    next(parts)
    document.prepare_commit()
    for _ in parts:
        pass
    document.commit_stroke()
    document.undo()
    np.testing.assert_array_equal(document.label_map, ring)
