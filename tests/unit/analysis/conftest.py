"""Label maps with every kind of error, and slow ways to say what is in them."""

from __future__ import annotations

import numpy as np
import pytest


def make_maps(seed, shape=(45, 60), classes=5, ignore=255, dtype=np.uint8):
    """Return a target of blocks and a prediction with moved borders, swaps, holes and specks."""
    generator = np.random.default_rng(seed)
    values = np.append(np.arange(classes), ignore)
    height, width = shape
    cells = (height // 6 + 1, width // 6 + 1)
    target = np.kron(generator.choice(values, cells), np.ones((6, 6), np.int64))
    prediction = np.roll(target, generator.integers(-2, 3, 2), axis=(0, 1))
    for _ in range(12):  # whole blocks of another class, some as large as an object
        row, column = generator.integers(0, height), generator.integers(0, width)
        size = generator.integers(1, 14)
        prediction[row : row + size, column : column + size] = generator.choice(values)
    specks = generator.random(target.shape) < 0.02
    prediction[specks] = generator.choice(values, int(specks.sum()))
    return (
        target[:height, :width].astype(dtype),
        prediction[:height, :width].astype(dtype),
    )


def slow_components(label_map, *, background=-1):
    """Return ids from 1 by growing each region pixel by pixel; 0 is the background."""
    ids = np.zeros(label_map.shape, np.int64)
    count = 0
    for start in np.ndindex(label_map.shape):
        if ids[start] or label_map[start] == background:
            continue
        count += 1
        ids[start] = count
        waiting = [start]
        while waiting:
            row, column = waiting.pop()
            for there in np.ndindex(3, 3):
                near = (row + there[0] - 1, column + there[1] - 1)
                if not (0 <= near[0] < ids.shape[0] and 0 <= near[1] < ids.shape[1]):
                    continue
                if not ids[near] and label_map[near] == label_map[start]:
                    ids[near] = count
                    waiting.append(near)
    return ids


def slow_kinds(target, prediction, ignore, width):
    """Return each wrong pixel's kind by the lines of the definition; 255 where none is wrong."""
    here = np.where(target == ignore, -1, target.astype(np.int64))
    there = np.where((here < 0) | (prediction == ignore), -1, prediction.astype(np.int64))
    in_target, in_prediction = slow_components(here), slow_components(there)
    kinds = np.full(target.shape, 255)
    for place in np.ndindex(target.shape):
        a, b = here[place], there[place]
        if a < 0 or a == b:
            continue
        if b < 0:
            kinds[place] = 2
            continue
        whole_target = in_target == in_target[place]
        whole_prediction = in_prediction == in_prediction[place]
        lost = not (there[whole_target] == a).any()
        row, column = place
        window = here[
            max(0, row - width) : row + width + 1, max(0, column - width) : column + width + 1
        ]
        if lost and (here[whole_prediction] == a).mean() > 0.5:
            kinds[place] = 1
        elif lost:
            kinds[place] = 2
        elif (window == b).any():
            kinds[place] = 0
        elif not (here[whole_prediction] == b).any():
            kinds[place] = 3
        else:
            kinds[place] = 1
    return kinds


@pytest.fixture(scope="session")
def maps():
    """`make_maps`."""
    return make_maps


@pytest.fixture(scope="session")
def slow():
    """(`slow_components`, `slow_kinds`)."""
    return slow_components, slow_kinds
