"""The comparison grid as PNG, PDF and SVG."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from segstudio.analysis.side_by_side import Column, ComparedImage, ComparedRun, classes_present
from segstudio.core.class_style import ClassStyle
from segstudio.core.errors import UsageError, WriteError
from segstudio.core.label_space import ClassInfo, LabelSpace
from segstudio.core.palette import hex_color
from segstudio.core.types import BBox
from segstudio.session.comparison_figure import GridFigure, draw_grid_figure, write_grid_figure

COLORS = ((200, 0, 0), (0, 200, 0), (0, 0, 200))
NAMES = ("road", "car; auto", "$x_1$ & sky")
SPACE = LabelSpace(
    "three",
    tuple(ClassInfo(index, NAMES[index], COLORS[index], index) for index in range(3)),
)
LABELS = np.zeros((60, 80), np.uint8)
LABELS[:, 40:] = 1
IMAGE = np.full((60, 80, 3), 120, np.uint8)


def _figure(columns: tuple[Column, ...] = (Column.SEGMENTATION,), **changes: object) -> GridFigure:
    entropy = np.zeros((60, 80), np.uint8)
    runs = tuple(
        ComparedRun(name, SPACE, labels, entropy)
        for name, labels in (("first", LABELS), ("second <b>", 2 - LABELS))
    )
    compared = ComparedImage("folder/x.png", IMAGE, runs, LABELS.copy(), SPACE, pair=(0, 1))
    return GridFigure(compared, columns, **changes)  # type: ignore[arg-type]


def _decoded(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def _pixels(page: np.ndarray, color: tuple[int, int, int]) -> int:
    return int((page == color).all(2).sum())


def test_a_png_holds_the_cells_in_the_colours_of_the_classes() -> None:
    page = _decoded(draw_grid_figure(_figure(), "png", dpi=100))
    shown = [_pixels(page, color) for color in COLORS]
    # "first" is half road and half car, "second" half sky and half car.
    assert min(shown) > 5000
    assert shown[1] == pytest.approx(shown[0] + shown[2], rel=0.1)
    assert tuple(page[0, 0]) == (255, 255, 255)
    larger = _decoded(draw_grid_figure(_figure(), "png", dpi=200))
    assert abs(larger.shape[0] - 2 * page.shape[0]) <= 2
    assert abs(larger.shape[1] - 2 * page.shape[1]) <= 2


def test_more_columns_make_a_wider_page() -> None:
    two = _decoded(draw_grid_figure(_figure((Column.PHOTO, Column.SEGMENTATION)), "png", dpi=50))
    three = (Column.PHOTO, Column.SEGMENTATION, Column.ERRORS)
    wide = _decoded(draw_grid_figure(_figure(three), "png", dpi=50))
    assert wide.shape[1] > 1.4 * two.shape[1]


def test_an_svg_keeps_its_words_as_words() -> None:
    columns = (Column.PHOTO, Column.SEGMENTATION, Column.ERRORS, Column.PAIR, Column.CORRECTION)
    figure = _figure(columns, remarks={"first": "mIoU 0.62"})
    text = draw_grid_figure(figure, "svg").decode()
    for words in (
        "folder/x.png",
        "Photograph",
        "A or B right",
        "second &lt;b&gt;",
        "mIoU 0.62",
        "road",
        "$x_1$ &amp; sky",
        "wrong and sure",
        "only A right",
        "not corrected",
        "0.0 % wrong",
    ):
        assert words in text, words
    assert ">car<" in text and "auto" not in text, "the first of the synonyms"
    # Four pictures in each of two rows; the fifth column has nothing.
    assert text.count("<image") == 8
    assert draw_grid_figure(figure, "svg").decode() == text, "the same figure is the same file"


def test_a_pdf_is_one_page() -> None:
    data = draw_grid_figure(_figure(), "pdf")
    assert data.startswith(b"%PDF-") and data.count(b"/Type /Page ") == 1


def test_only_a_part_is_drawn() -> None:
    left = _figure(part=BBox(10, 0, 40, 39))
    page = _decoded(draw_grid_figure(left, "png", dpi=100))
    road, car, sky = (_pixels(page, color) for color in COLORS)
    assert road > 5000 and sky > 5000
    assert car == 0, "neither in the cells nor in the legend"
    with pytest.raises(UsageError, match="part in view"):
        draw_grid_figure(_figure(part=BBox(70, 0, 90, 10)), "png")


def test_opacity_reaches_the_figure() -> None:
    page = _decoded(draw_grid_figure(_figure(opacity=0.5), "png", dpi=100))
    assert _pixels(page, (160, 60, 60)) > 5000 > _pixels(page, COLORS[0])


def test_nothing_to_draw_is_said() -> None:
    with pytest.raises(UsageError, match="choose a model and a column"):
        draw_grid_figure(_figure(()), "png")


def test_a_file_that_is_there_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "figure.PNG"
    write_grid_figure(path, _figure(), dpi=50)
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"exists already"):
        write_grid_figure(path, _figure((Column.PHOTO,)), dpi=50)
    assert path.read_bytes() == before
    write_grid_figure(path, _figure((Column.PHOTO,)), dpi=50, existing="replace")
    assert path.read_bytes() != before
    assert [entry.name for entry in path.parent.iterdir()] == ["figure.PNG"]


def test_targets_that_cannot_be_written_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ends in none of \.png, \.pdf, \.svg"):
        write_grid_figure(tmp_path / "figure.bmp", _figure())
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WriteError, match="in the way"):
        write_grid_figure(tmp_path / "file" / "figure.png", _figure(), dpi=50)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_one_sentence(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with pytest.raises(WriteError, match="permission"):
        write_grid_figure(locked / "figure.png", _figure(), dpi=50)


def test_long_names_are_cut_and_odd_letters_do_not_stop_it() -> None:
    entropy = np.zeros((60, 80), np.uint8)
    runs = (ComparedRun("a-very-long-name-" * 20 + "\u6f22\u5b57", SPACE, LABELS, entropy),)
    compared = ComparedImage("x" * 300 + ".png", IMAGE, runs)
    text = draw_grid_figure(GridFigure(compared, (Column.SEGMENTATION,)), "svg").decode()
    assert "\u2026" in text and "a-very-long-name-" * 20 not in text
    named = ComparedImage("\u6f22\u5b57.png", IMAGE, runs)
    assert draw_grid_figure(GridFigure(named, (Column.SEGMENTATION,)), "png", dpi=50)


@pytest.mark.parametrize("patterns", [False, True])
def test_a_figure_has_the_colours_and_patterns_of_the_window(patterns: bool) -> None:
    style = ClassStyle("okabe_ito", patterns)
    plain = _figure((Column.SEGMENTATION,))
    drawn = draw_grid_figure(replace(plain, classes=style), "svg").decode()
    own = draw_grid_figure(plain, "svg").decode()
    color = hex_color(style.color(0, COLORS[0]))
    assert color in drawn and color not in own
    # Class 0 has no lines; each other class of the legend is a picture of its own.
    classes = len(classes_present(plain.compared))
    assert drawn.count("<image") == 2 + (classes - 1 if patterns else 0)
