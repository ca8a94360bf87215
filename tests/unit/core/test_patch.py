"""The unit of edit."""

from __future__ import annotations

import numpy as np
import pytest

from segstudio.core.patch import MaskPatch
from segstudio.core.types import BBox


def test_the_inverse_takes_a_patch_back() -> None:
    label_map = np.arange(30, dtype=np.uint8).reshape(5, 6)
    box = BBox(1, 2, 4, 5)
    patch = MaskPatch(box, label_map[box.slices].copy(), np.full((3, 3), 99, np.uint8))
    changed = label_map.copy()
    changed[patch.box.slices] = patch.after
    inverse = patch.inverse()
    changed[inverse.box.slices] = inverse.after
    assert np.array_equal(changed, label_map)
    assert inverse.inverse().after is patch.after


@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (3, 3, 1), (0, 0)])
def test_arrays_have_to_fill_the_box(shape: tuple[int, ...]) -> None:
    box, good, bad = BBox(0, 0, 3, 3), np.zeros((3, 3), np.uint8), np.zeros(shape, np.uint8)
    for before, after in ((good, bad), (bad, good)):
        with pytest.raises(ValueError, match="do not fill"):
            MaskPatch(box, before, after)
