"""The limit of formats that keep one byte per pixel."""

from __future__ import annotations

from collections.abc import Iterable

from segstudio.core.errors import UsageError
from segstudio.core.label_space import LabelSpace

__all__ = ["check_eight_bits"]


def check_eight_bits(
    label_space: LabelSpace, form: str, *, ids: Iterable[int] | None = None, largest: int = 254
) -> None:
    """Raise when a label space has values that do not fit one byte.

    Parameters
    ----------
    label_space : LabelSpace
        The space of the export.
    form : str
        What holds one byte per pixel, for the error.
    ids : iterable of int, optional
        The values of the classes; None takes the class indices.
    largest : int
        The largest value a class may have; 255 is usually the ignored one.

    Raises
    ------
    UsageError
        Naming the label space and how far it goes.
    """
    highest = len(label_space) - 1 if ids is None else max(ids)
    if highest > largest:
        raise UsageError(
            f"The label space {label_space.name} has {len(label_space)} classes with ids up to "
            f"{highest}, but {form} holds ids up to {largest}; export index-png or coco-rle."
        )
