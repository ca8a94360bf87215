"""What every refiner provides, and the registry that finds them.

A refiner takes an image and the probabilities that any model gave for it, and returns better ones.
It is one module of this package: a `Refiner` with an Options dataclass, entered with
``@REFINERS.register(name)``.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import SegStudioError, SizeMismatchError, UsageError
from segstudio.core.options import options_from_text
from segstudio.core.registry import Registry
from segstudio.core.types import Image

__all__ = ["REFINERS", "NoOptions", "Refiner", "build_refiner"]

_SUM_TOLERANCE = 0.02
"""How far the probabilities of a pixel may be from 1: half precision over 150 classes is."""


@dataclass(frozen=True)
class NoOptions:
    """The options of a refiner that has none."""


class Refiner(abc.ABC):
    """A step after the softmax that looks at the image again.

    Parameters
    ----------
    options : Options, optional
        None takes the defaults.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    Options: ClassVar[type] = NoOptions

    def __init__(self, options: Any = None) -> None:
        self.options = self.Options() if options is None else options

    def refine(self, image: Image, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return better probabilities; the arguments stay as they are.

        Parameters
        ----------
        image : ndarray of shape (H, W, 3), uint8
            RGB.
        probabilities : ndarray of shape (C, H, W), float32
            In 0..1, with sum 1 at every pixel.

        Returns
        -------
        ndarray of shape (C, H, W), float32
            In 0..1, with sum 1 at every pixel.

        Raises
        ------
        UsageError
            When an array has the wrong shape or type.
        SizeMismatchError
            When the image and the probabilities differ in height or width.
        SegStudioError
            When the probabilities are none: not finite, negative, or with another sum than 1.
        """
        _check_shapes(image, probabilities)
        with np.errstate(invalid="ignore", over="ignore"):
            sums = probabilities.sum(axis=0, dtype=np.float32)
        # NaN and infinity reach the sum, and NaN fails every comparison.
        valid = (np.abs(sums - 1) <= _SUM_TOLERANCE).all() and probabilities.min() >= 0
        if not valid:
            raise SegStudioError(
                f"The scores cannot be refined by {self.name}: they are no probabilities (finite, "
                "from 0 to 1, with sum 1 at every pixel); give the softmax of the logits."
            )
        exact = np.divide(probabilities, sums, dtype=np.float32)
        return self.refine_checked(image, exact)

    @abc.abstractmethod
    def refine_checked(
        self, image: Image, probabilities: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Do the work of `refine` on arguments that have been checked.

        Parameters
        ----------
        image : ndarray of shape (H, W, 3), uint8
            RGB, at least one pixel.
        probabilities : ndarray of shape (C, H, W), float32
            A copy that may be overwritten; at least one class.

        Returns
        -------
        ndarray of shape (C, H, W), float32
            In 0..1, with sum 1 at every pixel.
        """


def _check_shapes(image: Image, probabilities: NDArray[np.float32]) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise UsageError(
            "A refiner needs an RGB image of shape (H, W, 3) and type uint8, not "
            f"{image.shape} and {image.dtype}."
        )
    if probabilities.ndim != 3 or not np.issubdtype(probabilities.dtype, np.floating):
        raise UsageError(
            "A refiner needs probabilities of shape (C, H, W) and type float32, not "
            f"{probabilities.shape} and {probabilities.dtype}."
        )
    if probabilities.size == 0:
        raise UsageError(
            f"A refiner needs at least one class and one pixel, not {probabilities.shape}."
        )
    if probabilities.shape[1:] != image.shape[:2]:
        raise SizeMismatchError(
            f"The image has {image.shape[0]} x {image.shape[1]} pixels, but its probabilities "
            f"have {probabilities.shape[1]} x {probabilities.shape[2]}; both need the same size."
        )


REFINERS: Registry[type[Refiner]] = Registry("refiner", "segstudio.inference.refiners")
"""Every refiner by name."""


def build_refiner(text: str) -> Refiner | None:
    """Return the refiner of "NAME" or "NAME:key=value,key=value", None for "none".

    Raises
    ------
    UnknownNameError
        When no refiner has that name.
    UsageError
        When its options make no sense.
    """
    if text == "none":
        return None
    name, _, options = text.partition(":")
    page = REFINERS.get(name)
    return page(options_from_text(page.Options, options))
