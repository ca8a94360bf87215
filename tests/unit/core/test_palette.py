"""Colours of classes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from segstudio.core.palette import apply_palette, color_table, distinct_colors, hex_color


def test_distinct_colors_are_distinct_and_a_prefix_is_stable() -> None:
    colors = distinct_colors(150)
    assert len(set(colors)) == 150
    assert distinct_colors(20) == colors[:20]
    assert all(0 <= value <= 255 for color in colors for value in color)


def test_the_first_colors_are_far_apart() -> None:
    for one, two in itertools.combinations(distinct_colors(12), 2):
        assert sum(abs(a - b) for a, b in zip(one, two, strict=True)) >= 40


def test_hex() -> None:
    assert hex_color((0, 15, 255)) == "#000fff"


@pytest.mark.parametrize(("dtype", "ignore"), [(np.uint8, 255), (np.uint16, 65535)])
def test_applying_a_palette_colours_classes_and_blackens_the_rest(dtype: type, ignore: int) -> None:
    colors = [(10, 20, 30), (40, 50, 60)]
    label_map = np.array([[0, 1, 2], [1, ignore, 0]], dtype)
    picture = apply_palette(label_map, colors)
    assert picture.dtype == np.uint8 and picture.shape == (2, 3, 3)
    assert picture.tolist() == [
        [[10, 20, 30], [40, 50, 60], [0, 0, 0]],
        [[40, 50, 60], [0, 0, 0], [10, 20, 30]],
    ]


def test_a_table_without_classes_is_black() -> None:
    assert color_table([]).shape == (256, 3) and not color_table([]).any()
