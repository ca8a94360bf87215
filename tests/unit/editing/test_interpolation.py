"""Shape-based interpolation: exact at its ends, moving shapes move, vanishing ones vanish."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segstudio.core.errors import SizeMismatchError
from segstudio.editing.interpolation import interpolate_maps, signed_distance


def disc(row: float, column: float, radius: float, *, value: int = 3) -> np.ndarray:
    rows, columns = np.mgrid[:80, :120]
    label_map = np.zeros((80, 120), np.uint8)
    label_map[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = value
    return label_map


def test_signed_distances_of_a_half_plane() -> None:
    mask = np.zeros((4, 8), bool)
    mask[:, 5:] = True
    expected = np.array([-4.5, -3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    np.testing.assert_allclose(signed_distance(mask), np.tile(expected, (4, 1)), atol=1e-5)
    assert (signed_distance(np.zeros((2, 2), bool)) == -np.inf).all()
    assert (signed_distance(np.ones((2, 2), bool)) == np.inf).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_both_ends_are_exact(seed: int) -> None:
    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(1, 20, 2))
    dtype = generator.choice([np.uint8, np.uint16])
    values = np.array([0, 1, 5, np.iinfo(dtype).max], dtype)
    first, last = (generator.choice(values, shape) for _ in range(2))
    found = list(interpolate_maps(first, last, [0.0, 1.0, 0.5]))
    np.testing.assert_array_equal(found[0], first)
    np.testing.assert_array_equal(found[1], last)
    assert set(np.unique(found[2])) <= set(np.unique(first)) | set(np.unique(last))
    assert found[2].dtype == dtype


def test_a_map_that_stays_stays() -> None:
    still = disc(40, 50, 20)
    for between in interpolate_maps(still, still, [0.2, 0.5, 0.9]):
        np.testing.assert_array_equal(between, still)


def test_a_border_moves_in_proportion() -> None:
    first, last = (np.zeros((10, 100), np.uint8) for _ in range(2))
    first[:, 20:], last[:, 60:] = 1, 1
    for fraction, between in zip(
        (0.25, 0.5, 0.75), interpolate_maps(first, last, (0.25, 0.5, 0.75)), strict=True
    ):
        border = int((between[5] == 0).sum())
        assert abs(border - (20 + 40 * fraction)) <= 1


def test_a_disc_grows_in_proportion() -> None:
    first, last = disc(40, 60, 10), disc(40, 60, 30)
    (middle,) = interpolate_maps(first, last, [0.5])
    wanted = disc(40, 60, 20) == 3
    both, either = ((middle == 3) & wanted).sum(), ((middle == 3) | wanted).sum()
    assert both / either > 0.97


def test_overlapping_discs_move_between_their_places() -> None:
    first, last = disc(40, 40, 18), disc(40, 60, 18)
    (middle,) = interpolate_maps(first, last, [0.5])
    assert abs(np.argwhere(middle == 3)[:, 1].mean() - 50) < 1


def test_what_only_one_frame_holds_is_gone_half_way() -> None:
    first, last = disc(40, 60, 15), np.zeros((80, 120), np.uint8)
    areas = [
        int((found == 3).sum())
        for found in interpolate_maps(first, last, [0.0, 0.1, 0.3, 0.5, 0.8])
    ]
    assert areas[0] > areas[1] > areas[2] > 0
    assert areas[3] <= 4 and areas[4] == 0
    back = [int((found == 3).sum()) for found in interpolate_maps(last, first, [0.5, 0.9])]
    assert back[0] <= 4 < back[1]


def test_many_frames_are_made_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    first, last = disc(30, 40, 12), disc(50, 70, 25)
    fractions = np.linspace(0.1, 0.9, 7).tolist()
    whole = list(interpolate_maps(first, last, fractions))
    monkeypatch.setattr("segstudio.editing.interpolation._HELD_BYTES", 3 * first.size * 5)
    for one, other in zip(whole, interpolate_maps(first, last, fractions), strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_size_is_a_sentence_and_cancelling_ends_it() -> None:
    first = disc(40, 40, 10)
    with pytest.raises(SizeMismatchError, match="one size"):
        list(interpolate_maps(first, first[:70], [0.5]))
    assert list(interpolate_maps(first, first, [0.5], is_cancelled=lambda: True)) == []
