"""Components of all classes in one pass against growing them pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from segstudio.analysis.components import find_components


def numbered(ids):
    """Return ids renumbered by their first pixel, so that two numberings can be compared."""
    order = {0: 0}
    return [order.setdefault(value, len(order)) for value in ids.reshape(-1).tolist()]


def test_a_map_by_hand():
    label_map = np.array(
        [
            [7, 7, 2],
            [2, 2, 7],
            [7, 2, 7],
        ],
        np.uint8,
    )
    components = find_components(label_map)
    # At corners 7 goes on from (0, 1) to (1, 2), and the 2 at (0, 2) to (1, 1).
    found = sorted(
        zip(
            components.values[1:].tolist(),
            components.areas[1:].tolist(),
            components.boxes().tolist(),
            components.centroids().round(3).tolist(),
            strict=True,
        )
    )
    assert found == [
        (2, 4, [0, 0, 3, 3], [1.0, 1.0]),
        (7, 1, [2, 0, 3, 1], [2.0, 0.0]),
        (7, 4, [0, 0, 3, 3], [0.75, 1.25]),
    ]
    assert len(components) == 3
    assert components.values[0] == -1 and components.areas[0] == 0


@pytest.mark.parametrize("void", [None, 0, 255])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_equals_growing_pixel_by_pixel(maps, slow, void, dtype):
    label_map = maps(1, dtype=dtype)[1]
    components = find_components(label_map, void=void)
    expected = slow[0](label_map.astype(np.int64), background=-1 if void is None else void)
    assert numbered(components.ids) == numbered(expected)
    assert len(components) == expected.max() > 20
    boxes, centroids = components.boxes(), components.centroids()
    for number in range(1, len(components) + 1):
        rows, columns = np.nonzero(components.ids == number)
        assert set(label_map[rows, columns].tolist()) == {components.values[number]}
        assert components.areas[number] == len(rows)
        box = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
        assert boxes[number - 1].tolist() == box
        assert centroids[number - 1] == pytest.approx([rows.mean(), columns.mean()], abs=1e-9)
    assert components.areas.sum() == label_map.size


def test_noise_of_many_values(slow):
    label_map = np.random.default_rng(0).integers(0, 60_000, (40, 50)).astype(np.uint16)
    components = find_components(label_map)
    assert numbered(components.ids) == numbered(slow[0](label_map.astype(np.int64)))


@pytest.mark.parametrize("value", [255, 65535])
def test_the_largest_value_of_a_type_is_a_value_too(value):
    dtype = np.uint8 if value == 255 else np.uint16
    label_map = np.full((3, 4), value, dtype)
    label_map[0] = 0
    components = find_components(label_map)
    assert sorted(components.values.tolist()) == [-1, 0, value]
    assert find_components(label_map, void=value).values.tolist() == [-1, 0]


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_an_empty_map_has_none(shape):
    components = find_components(np.zeros(shape, np.uint8))
    assert len(components) == 0 and components.ids.shape == shape
    assert components.boxes().shape == (0, 4) and components.centroids().shape == (0, 2)


def test_all_void_has_none():
    components = find_components(np.full((4, 6), 255, np.uint8), void=255)
    assert len(components) == 0 and components.areas.tolist() == [24]
    assert components.boxes().shape == (0, 4)


def test_a_view_that_may_not_be_written(maps):
    label_map = maps(2)[0]
    view = label_map[::2, ::-1]
    view.flags.writeable = False
    one, two = find_components(view), find_components(view.copy())
    assert (one.ids == two.ids).all()
    assert view.base is not None and (label_map == maps(2)[0]).all()
