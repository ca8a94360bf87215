"""Whether a label map holds nothing but classes."""

from __future__ import annotations

import numpy as np

from segstudio.core.errors import LabelValueError
from segstudio.core.types import LabelMap
from segstudio.datasets.scratch import row_bands

__all__ = ["check_values"]

_ROWS = 256
"""Rows at a time, so that temporaries stay in the cache."""


def check_values(values: LabelMap, classes: int, ignore_index: int) -> None:
    """Refuse a label map, or a part of one, that holds what is no class.

    Parameters
    ----------
    values : ndarray of shape (H, W), uint8 or uint16
    classes : int
        C; 0..C-1 are known.
    ignore_index : int
        Known too.

    Raises
    ------
    LabelValueError
        When another value is found.
    """
    for part in (values,) if len(values) <= _ROWS else row_bands(values, _ROWS):
        if int(part.max(initial=0)) < classes:
            continue
        if ignore_index == np.iinfo(part.dtype).max:
            # Adding 1 turns the ignore index into 0: one comparison for both.
            known = int((part + part.dtype.type(1)).max()) <= classes
        else:
            known = bool(((part < classes) | (part == ignore_index)).all())
        if not known:
            wrong = part[(part >= classes) & (part != ignore_index)]
            raise LabelValueError(
                f"The label map would hold the class index {int(wrong[0])}, but the label "
                f"space has {classes} classes; choose another class or label space."
            )
