"""The cells of a comparison grid, pixel by pixel on images of six pixels."""

from __future__ import annotations

import numpy as np
import pytest

from segstudio.analysis import pictures
from segstudio.analysis.side_by_side import (
    CellStyle,
    Column,
    ComparedImage,
    ComparedRun,
    Key,
    classes_present,
    color_keys,
    draw_cell,
)
from segstudio.core.label_space import ClassInfo, LabelSpace, load_label_space

RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)
SPACE = LabelSpace(
    "three",
    tuple(
        ClassInfo(index, name, color, index)
        for index, (name, color) in enumerate((("road", RED), ("car", GREEN), ("sky", BLUE)))
    ),
)
OTHER = load_label_space("camvid")

IMAGE = np.full((2, 3, 3), 100, np.uint8)
TARGET = np.array([[0, 0, 1], [1, 2, 255]], np.uint8)
A = np.array([[0, 1, 1], [2, 2, 0]], np.uint8)
B = np.array([[0, 0, 2], [2, 1, 0]], np.uint8)
SURE, UNSURE = np.full((2, 3), 10, np.uint8), np.full((2, 3), 200, np.uint8)


def _run(name: str, labels: np.ndarray | None, entropy: np.ndarray | None) -> ComparedRun:
    return ComparedRun(name, SPACE, labels, entropy)


def _compared(**changes: object) -> ComparedImage:
    values: dict = {
        "sample_id": "0.png",
        "image": IMAGE,
        "runs": (_run("a", A, SURE), _run("b", B, UNSURE)),
        "target": TARGET,
        "target_space": SPACE,
        "pair": (0, 1),
    }
    return ComparedImage(**{**values, **changes})


def _pixels(compared: ComparedImage, row: int, column: Column, **style: object) -> np.ndarray:
    drawn = draw_cell(compared, row, column, CellStyle(**style))  # type: ignore[arg-type]
    assert drawn.pixels is not None
    assert drawn.pixels.shape == (2, 3, 3) and drawn.pixels.dtype == np.uint8
    return drawn.pixels


def _colors(pixels: np.ndarray) -> list[list[tuple[int, ...]]]:
    return [[tuple(int(part) for part in pixel) for pixel in row] for row in pixels]


def test_photograph_and_label_maps() -> None:
    compared = _compared()
    assert draw_cell(compared, 1, Column.PHOTO).pixels is IMAGE
    assert _colors(_pixels(compared, 0, Column.SEGMENTATION)) == [
        [RED, GREEN, GREEN],
        [BLUE, BLUE, RED],
    ]
    target = _colors(_pixels(compared, 0, Column.TARGET))
    assert target[0] == [RED, RED, GREEN] and target[1][:2] == [GREEN, BLUE]
    assert target[1][2] in (pictures.UNLABELLED, (168, 175, 184)), "striped"


def test_a_label_map_is_laid_over_the_photograph() -> None:
    half = _colors(_pixels(_compared(), 0, Column.SEGMENTATION, opacity=0.5))
    assert half[0][0] == (150, 50, 50)
    none = _pixels(_compared(), 0, Column.SEGMENTATION, opacity=0.0)
    np.testing.assert_array_equal(none, IMAGE)


def test_a_class_stands_out_by_its_name() -> None:
    shown = _pixels(_compared(), 0, Column.SEGMENTATION, highlight="car")
    assert _colors(shown)[0][1:] == [GREEN, GREEN]
    away = shown[A != 1].astype(int)
    assert (away.max(1) - away.min(1) < 40).all(), "the others fade into grey"


def test_wide_label_maps_are_drawn_too() -> None:
    wide = _run("a", A.astype(np.uint16), None)
    narrow = _pixels(_compared(), 0, Column.SEGMENTATION)
    np.testing.assert_array_equal(
        _pixels(_compared(runs=(wide,), pair=None), 0, Column.SEGMENTATION), narrow
    )


def test_errors_tell_sure_ones_from_others() -> None:
    wrong_a = A != TARGET
    wrong_a[1, 2] = False  # not labelled
    sure = _pixels(_compared(), 0, Column.ERRORS)
    np.testing.assert_array_equal((sure == pictures.SURE_ERROR).all(2), wrong_a)
    unsure = _pixels(_compared(), 1, Column.ERRORS)
    wrong_b = np.array([[0, 0, 1], [1, 1, 0]], bool)
    np.testing.assert_array_equal((unsure == pictures.UNSURE_ERROR).all(2), wrong_b)
    assert draw_cell(_compared(), 0, Column.ERRORS).remark == "40.0 % wrong"
    assert draw_cell(_compared(), 1, Column.ERRORS).remark == "60.0 % wrong"


def test_an_error_at_the_very_threshold_is_sure() -> None:
    for level, color in (
        (pictures.SURE_LEVEL, pictures.SURE_ERROR),
        (pictures.SURE_LEVEL + 1, pictures.UNSURE_ERROR),
    ):
        run = _run("a", A, np.full((2, 3), level, np.uint8))
        shown = _pixels(_compared(runs=(run,), pair=None), 0, Column.ERRORS)
        assert tuple(shown[0, 1]) == color


def test_who_of_two_is_right() -> None:
    shown = _pixels(_compared(), 0, Column.PAIR)
    assert tuple(shown[0, 1]) == pictures.ONLY_B
    assert tuple(shown[0, 2]) == pictures.ONLY_A
    assert tuple(shown[1, 0]) == pictures.BOTH_WRONG, "one of the two was unsure"
    assert tuple(shown[1, 1]) == pictures.ONLY_A
    grey = shown[0, 0]
    assert grey[0] == grey[1] == grey[2], "both are right"
    sure = (_run("a", A, SURE), _run("b", B, SURE))
    both = _pixels(_compared(runs=sure), 1, Column.PAIR)
    assert tuple(both[1, 0]) == pictures.BOTH_WRONG_SURE
    turned = _pixels(_compared(pair=(1, 0)), 0, Column.PAIR)
    assert tuple(turned[0, 1]) == pictures.ONLY_A and tuple(turned[0, 2]) == pictures.ONLY_B


def test_disagreement_grows_with_the_number_of_others() -> None:
    third = _run("c", np.array([[0, 0, 0], [2, 2, 0]], np.uint8), None)
    compared = _compared(runs=(_run("a", A, None), _run("b", B, None), third))
    drawn = draw_cell(compared, 0, Column.DISAGREEMENT)
    # a against b: 3 pixels differ, a against c: 2.
    assert drawn.remark == f"{100 * 5 / 12:.1f} % differs"
    shown = _pixels(compared, 0, Column.DISAGREEMENT).astype(int)
    assert tuple(shown[0, 1]) == pictures.DISSENT, "both others say something else"
    grey = shown[0, 0]
    assert grey[0] == grey[1] == grey[2], "nobody does"
    half = shown[1, 1]
    assert tuple(half) != pictures.DISSENT and half[2] > half[1] + 20, "one of two does"


def test_models_of_other_classes_are_not_asked() -> None:
    other = ComparedRun("c", OTHER, B, None)
    compared = _compared(runs=(_run("a", A, None), other), pair=(0, 1))
    for row, column in ((0, Column.DISAGREEMENT), (1, Column.ERRORS), (0, Column.PAIR)):
        drawn = draw_cell(compared, row, column)
        assert drawn.pixels is None and drawn.remark, column
    assert draw_cell(compared, 1, Column.ERRORS).remark == (
        "classes of camvid, ground truth of three"
    )


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (Column.TARGET, "no ground truth"),
        (Column.ERRORS, "no ground truth"),
        (Column.PAIR, "no ground truth"),
        (Column.CORRECTION, "not corrected"),
    ],
)
def test_what_is_missing_is_said(column: Column, words: str) -> None:
    drawn = draw_cell(_compared(target=None), 0, column)
    assert drawn.pixels is None and drawn.remark == words


def test_a_run_without_a_result_says_so_in_its_row_only() -> None:
    missing = ComparedRun("b", SPACE, None, None, "no result for this image")
    compared = _compared(runs=(_run("a", A, SURE), missing))
    for column in (Column.SEGMENTATION, Column.ENTROPY, Column.ERRORS, Column.DISAGREEMENT):
        drawn = draw_cell(compared, 1, column)
        assert drawn.pixels is None and drawn.remark == "no result for this image"
    assert draw_cell(compared, 0, Column.ERRORS).pixels is not None
    assert draw_cell(compared, 0, Column.PAIR).remark == "no result for this image"


def test_entropy_runs_from_black_to_bright() -> None:
    levels = np.array([[0, 50, 100], [150, 200, 255]], np.uint8)
    run = _run("a", A, levels)
    shown = _pixels(_compared(runs=(run,), pair=None), 0, Column.ENTROPY)
    light = shown.astype(int).sum(2).ravel()
    assert (np.diff(light) > 0).all() and light[0] < 20
    drawn = draw_cell(_compared(runs=(run,), pair=None), 0, Column.ENTROPY)
    assert drawn.remark == f"mean {levels.mean() / 255:.2f}"


def test_dark_ground_has_dark_backdrops() -> None:
    light = _pixels(_compared(), 0, Column.ERRORS)[0, 0]
    dark = _pixels(_compared(), 0, Column.ERRORS, dark=True)[0, 0]
    assert light[0] > 150 > dark[0]


def test_the_legend_lists_what_is_there() -> None:
    compared = _compared(runs=(_run("a", np.zeros((2, 3), np.uint8), None),), pair=None)
    assert classes_present(compared) == (
        Key("road", RED, 0),
        Key("car", GREEN, 1),
        Key("sky", BLUE, 2),
    )
    alone = _compared(runs=compared.runs, target=None, pair=None)
    assert classes_present(alone) == (Key("road", RED, 0),)
    mixed = _compared(runs=(*compared.runs, ComparedRun("b", OTHER, A, None)), pair=None)
    names = [key.name for key in classes_present(mixed)]
    assert names == ["road", "car", "sky", *OTHER.names[:3]]


def test_keys_are_those_of_the_columns() -> None:
    assert color_keys([Column.PHOTO, Column.SEGMENTATION]) == ()
    names = [key.name for key in color_keys([Column.ERRORS, Column.PAIR])]
    assert names[:2] == ["wrong and sure", "wrong, unsure"]
    assert "only A right" in names and "others disagree" not in names
    assert color_keys([Column.TARGET])[0].name == "not labelled"
