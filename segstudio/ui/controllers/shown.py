"""What is shown of a sample."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.label_space import LabelSpace
from segstudio.core.types import Image, LabelMap
from segstudio.datasets.scratch import is_mapped, release_pages

__all__ = ["Shown"]


@dataclass(frozen=True, eq=False)
class Shown:
    """A sample with everything that can be laid over it; None is what there is not.

    ``levels`` are the image and its halves, see `segstudio.datasets.levels`; ``counts`` says how
    many pixels of the prediction, or else of the ground truth, hold each value.
    """

    sample_id: str
    run: str
    image: Image
    target: LabelMap | None
    prediction: LabelMap | None
    entropy: NDArray[np.uint8] | None
    confidence: NDArray[np.uint8] | None
    runner_up: LabelMap | None
    run_space: LabelSpace | None
    levels: tuple[Image, ...] = field(default=())
    problems: tuple[str, ...] = field(default=())
    disagreement: NDArray[np.uint8] | None = None
    counts: NDArray[np.int64] | None = None

    @property
    def nbytes(self) -> int:
        """The memory that it takes; what is mapped from a file takes none."""
        return sum(array.nbytes for array in self._arrays() if not is_mapped(array))

    def release_pages(self) -> None:
        """Let the system take back what was looked at of a very large sample's files."""
        for array in self._arrays():
            release_pages(array)

    def _arrays(self) -> list[NDArray[Any]]:
        layers = [self.target, self.prediction, self.entropy, self.confidence, self.runner_up]
        found = [*self.levels, *layers, self.disagreement]
        return [array for array in found if array is not None]
