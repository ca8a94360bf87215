"""One sample's maps, and which of its regions still want a person."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from segstudio.analysis.regions import ErrorRegion
from segstudio.analysis.uncertain import UncertainRegion, component_at
from segstudio.core.types import BBox, LabelMap, Mask
from segstudio.project.reviews import Accepted

__all__ = ["FIXED_ERROR", "FIXED_UNCERTAIN", "RegionKind", "ReviewMaps", "ReviewRegion"]

FIXED_ERROR = 0.98
"""Share of an error region's pixels that have to equal the ground truth: outlines are never drawn
to the pixel."""

FIXED_UNCERTAIN = 0.5
"""Share of an uncertain region's pixels that have to be another class than the model's."""


class RegionKind(Enum):
    """What makes a region worth a look."""

    UNCERTAIN = "uncertain"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewRegion:
    """A region that is shown to a person.

    Attributes
    ----------
    kind : RegionKind
    sample_id : str
    box : BBox
    anchor : (int, int)
        Row and column of its first pixel in reading order.
    area : int
        Pixels.
    prediction : int or None
        What the model says there; None where it is the ignore index.
    proposed : int or None
        The class that is chosen for painting: the ground truth of an error, the second most
        probable class of an uncertain region.
    mean_entropy : float or None
        Share of log C, 0..1.
    mean_confidence : float or None
        0..1; None for uncertain regions.
    weight : float
        What regions of one kind are ranked by, the largest first: the sum of the entropy, or area
        times mean confidence.
    """

    kind: RegionKind
    sample_id: str
    box: BBox
    anchor: tuple[int, int]
    area: int
    prediction: int | None
    proposed: int | None
    mean_entropy: float | None
    mean_confidence: float | None
    weight: float

    @classmethod
    def of_error(cls, region: ErrorRegion) -> ReviewRegion:
        """Return an error region."""
        return cls(
            kind=RegionKind.ERROR,
            sample_id=region.sample_id,
            box=region.box,
            anchor=region.anchor,
            area=region.area,
            prediction=region.prediction,
            proposed=region.target,
            mean_entropy=region.mean_entropy,
            mean_confidence=region.mean_confidence,
            weight=region.score,
        )

    @classmethod
    def of_uncertain(cls, region: UncertainRegion, sample_id: str) -> ReviewRegion:
        """Return an uncertain region of a sample."""
        return cls(
            kind=RegionKind.UNCERTAIN,
            sample_id=sample_id,
            box=region.box,
            anchor=region.anchor,
            area=region.area,
            prediction=region.prediction,
            proposed=region.runner_up,
            mean_entropy=region.mean_entropy,
            mean_confidence=None,
            weight=float(region.entropy_sum),
        )

    @property
    def key(self) -> Accepted:
        """What it is entered as when it is accepted."""
        return Accepted(self.sample_id, *self.anchor, self.area)


@dataclass(frozen=True, slots=True, eq=False)
class ReviewMaps:
    """What regions of one sample are measured against.

    Attributes
    ----------
    labels : ndarray of shape (H, W)
        Prediction, in the label space of the regions.
    entropy : ndarray of shape (H, W), uint8, or None
    target : ndarray of shape (H, W) or None
        Ground truth in the same label space.
    classes : int
        C.
    level : int
        Entropy, 0..255, from which a pixel is uncertain.
    """

    labels: LabelMap
    entropy: NDArray[np.uint8] | None
    target: LabelMap | None
    classes: int
    level: int

    def mask(self, region: ReviewRegion) -> Mask | None:
        """Return the pixels of a region inside its box, None where its map is missing."""
        box = region.box
        labels = self.labels[box.slices]
        unpredicted = region.prediction is None
        candidates = labels >= self.classes if unpredicted else labels == region.prediction
        if region.kind is RegionKind.ERROR:
            if self.target is None:
                return None
            candidates &= self.target[box.slices] == region.proposed
        else:
            if self.entropy is None:
                return None
            candidates &= self.entropy[box.slices] >= self.level
        row, column = region.anchor
        return component_at(candidates, row - box.top, column - box.left)

    def is_fixed(self, region: ReviewRegion, correction: LabelMap) -> bool:
        """Return whether a correction has dealt with a region.

        Parameters
        ----------
        region : ReviewRegion
        correction : ndarray of shape (H, W)
            In the same label space.
        """
        mask = self.mask(region)
        pixels = 0 if mask is None else int(np.count_nonzero(mask))
        if mask is None or not pixels:
            return False
        here = correction[region.box.slices][mask]
        if region.kind is RegionKind.ERROR:
            return int(np.count_nonzero(here == region.proposed)) >= FIXED_ERROR * pixels
        before = self.labels[region.box.slices][mask]
        return int(np.count_nonzero(here != before)) >= FIXED_UNCERTAIN * pixels
