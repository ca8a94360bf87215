"""How probable each class is at each pixel: one picture per class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import UsageError
from segstudio.core.types import Image
from segstudio.inference.insight.embeddings import output_names
from segstudio.inference.model import Model

__all__ = ["ClassProbabilities", "class_probabilities"]

_ROWS = 64
"""Rows of probabilities of all classes that exist at once, at least."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassProbabilities:
    """Probabilities of some outputs, at the image's size.

    Attributes
    ----------
    outputs : tuple of int
        Which outputs of the network the maps are of.
    names : tuple of str
        Their class names.
    maps : ndarray of shape (K, H, W), float32
        p_c, 0..1: what `Model.predict` takes its argmax of, windows, augmentation and refiner
        included.
    means : ndarray of shape (C,), float64
        Mean probability of every output over the image; they sum to 1.
    """

    outputs: tuple[int, ...]
    names: tuple[str, ...]
    maps: NDArray[np.float32]
    means: NDArray[np.float64]


def class_probabilities(
    model: Model,
    image: Image,
    *,
    outputs: Sequence[int] | None = None,
    most: int = 12,
) -> ClassProbabilities:
    """Return the probability maps of some classes.

    Parameters
    ----------
    model : Model
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    outputs : sequence of int, optional
        Outputs of the network; None takes those of the largest mean probability, largest first.
    most : int
        How many of them.  A network with more outputs runs twice, so that no more maps than these
        exist at once.

    Raises
    ------
    UsageError
        When there is no such output.
    SegStudioError
        See `Model.predict`.
    """
    count = model.checkpoint.classes
    if outputs is not None:
        unknown = [index for index in outputs if not 0 <= index < count]
        if unknown:
            raise UsageError(
                f"There is no output {unknown[0]}; the network has {count}, 0 to {count - 1}."
            )
        chosen = list(outputs)
        maps, means = _pass(model, image, chosen)
    else:
        held = list(range(count)) if count <= most else []
        maps, means = _pass(model, image, held)
        chosen = np.argsort(-means, kind="stable")[:most].tolist()
        maps = maps[chosen] if held else _pass(model, image, chosen)[0]
    names = output_names(model)
    return ClassProbabilities(tuple(chosen), tuple(names[index] for index in chosen), maps, means)


def _pass(
    model: Model, image: Image, outputs: list[int]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the (K, H, W) maps of some outputs and the means of all."""
    height, width = image.shape[:2]
    maps = np.empty((len(outputs), height, width), np.float32)
    sums = np.zeros(model.checkpoint.classes)
    top = 0
    for rows in model.probability_rows(image, _ROWS):
        part = rows.cpu().numpy()
        maps[:, top : top + part.shape[1]] = part[outputs]
        sums += part.sum((1, 2), dtype=np.float64)
        top += part.shape[1]
    return maps, sums / (height * width)
