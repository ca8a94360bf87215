"""What the field above the list of images means: words, states, classes, numbers."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FIGURES", "SampleFilter", "parse_filter"]

FIGURES = {"score": "mIoU", "entropy": "mean entropy", "errors": "confident errors"}
"""Numbers that can be compared: ``score<0.5``, ``entropy>0.3``, ``errors>2%``."""

_COMPARISON = re.compile(r"(score|entropy|errors)(<=|>=|<|>)(\d*\.?\d+)(%?)")
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class SampleFilter:
    """Which samples are wanted; everything has to hold.

    Attributes
    ----------
    words : tuple of str
        Each is a part of the sample's id, in lower case.
    states : tuple of str
        The state begins with one of them; empty for any.
    classes : tuple of str
        Each is the beginning of the name of a class that is present.
    figures : tuple of (str, str, float)
        A key of `FIGURES`, a comparison, a number.
    """

    words: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    figures: tuple[tuple[str, str, float], ...] = field(default=())

    @property
    def is_empty(self) -> bool:
        """Whether every sample is wanted."""
        return not (self.words or self.states or self.classes or self.figures)

    def keeps_state(self, *names: str) -> bool:
        """Return whether a state is wanted; it may have several names."""
        plain = [name.replace(" ", "-") for name in names]
        return not self.states or any(name.startswith(self.states) for name in plain)

    def keep_classes(self, present: NDArray[np.bool_], names: Sequence[str]) -> NDArray[np.bool_]:
        """Return which samples hold a class of each wanted name.

        Parameters
        ----------
        present : ndarray of shape (N, C), bool
        names : sequence of str
            C names.
        """
        plain = [name.lower().replace(" ", "-") for name in names]
        keep = np.ones(len(present), bool)
        for wanted in self.classes:
            columns = [index for index, name in enumerate(plain) if name.startswith(wanted)]
            keep &= present[:, columns].any(1)
        return keep

    def keep_figures(
        self, figures: Mapping[str, NDArray[np.float32]], count: int
    ) -> NDArray[np.bool_]:
        """Return which samples' figures are as wanted; an unknown one (NaN) never is."""
        keep = np.ones(count, bool)
        for name, sign, value in self.figures:
            keep &= _OPERATORS[sign](figures[name], np.float32(value))
        return keep


def parse_filter(text: str) -> SampleFilter:
    """Return what a text asks for.

    ``state:flagged`` or ``state:flagged,checked``, ``class:car``, ``score<0.5``, ``entropy>0.3``
    and ``errors>2%`` are understood; every other word has to be a part of the sample's id.  In
    names, a hyphen stands for a space (``state:in-progress``, ``class:traffic-light``).
    """
    words, states, classes = [], [], []
    figures: list[tuple[str, str, float]] = []
    for token in text.lower().split():
        comparison = _COMPARISON.fullmatch(token)
        key, colon, value = token.partition(":")
        names = [name for name in value.split(",") if name]
        if comparison is not None:
            name, sign, number, percent = comparison.groups()
            figures.append((name, sign, float(number) / (100 if percent else 1)))
        elif colon and names and key == "state":
            states += names
        elif colon and names and key == "class":
            classes += names
        else:
            words.append(token)
    return SampleFilter(tuple(words), tuple(states), tuple(classes), tuple(figures))
