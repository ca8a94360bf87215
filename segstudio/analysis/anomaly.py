"""Whole objects that do not belong: component scores of SegmentMeIfYouCan, and shift of a set."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import CorruptProjectError
from segstudio.core.types import Mask
from segstudio.metrics.counts import LEVELS
from segstudio.metrics.detection import mean_level, shift_auroc
from segstudio.metrics.resampling import percentile_interval, weight_blocks
from segstudio.metrics.uncertainty import ratio

__all__ = [
    "ComponentMatch",
    "ComponentScores",
    "Shift",
    "match_components",
    "measure_shift",
    "number",
    "score_components",
]

SMALLEST_TARGET = 100
SMALLEST_PREDICTED = 500
"""Pixels below which the benchmark's anomaly track leaves out a component of either side."""

THRESHOLDS = np.linspace(0.25, 0.75, 11)


@dataclass(frozen=True, slots=True, eq=False)
class ComponentMatch:
    """How the components of one image meet.

    Attributes
    ----------
    siou : ndarray of shape (K,), float64
        Adjusted IoU of each component of the ground truth.
    ppv : ndarray of shape (L,), float64
        Share of each predicted component that lies on the ground truth's.
    """

    siou: NDArray[np.float64]
    ppv: NDArray[np.float64]

    def to_bytes(self) -> bytes:
        """Return the numbers themselves, after how many there are of each."""
        counts = np.array([len(self.siou), len(self.ppv)], "<u4").tobytes()
        return counts + self.siou.astype("<f8").tobytes() + self.ppv.astype("<f8").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> ComponentMatch:
        """Return what `to_bytes` stored.

        Raises
        ------
        CorruptProjectError
            When its length is not the one that it names.
        """
        counts = np.frombuffer(data[:8], "<u4") if len(data) >= 8 else np.zeros(2, np.uint32)
        first, second = (int(count) for count in counts)
        if len(data) != 8 * (1 + first + second):
            raise CorruptProjectError(
                "The stored components of a sample are damaged (wrong length); run the model again."
            )
        values = np.frombuffer(data[8:], "<f8").astype(np.float64)
        return cls(values[:first], values[first:])


def match_components(
    target: Mask,
    predicted: Mask,
    *,
    ignored: Mask | None = None,
    smallest_target: int = SMALLEST_TARGET,
    smallest_predicted: int = SMALLEST_PREDICTED,
) -> ComponentMatch:
    """Match the connected components (8 neighbours) of an anomaly mask and of a prediction [1]_.

    ``sIoU(k) = |k and P| / |(k or P) without the other components of the target|``, P being all
    predicted components that touch k: a prediction that spans two objects is not held against
    either.  ``PPV(p)`` is the share of p that lies on any component of the target.

    Parameters
    ----------
    target : ndarray of shape (H, W), bool
        What is anomalous.
    predicted : ndarray of shape (H, W), bool
        What was flagged.
    ignored : ndarray of shape (H, W), bool, optional
        Pixels that count for nobody.
    smallest_target, smallest_predicted : int
        Smaller components are left out, those of the target with their pixels, as the published
        evaluation does.

    References
    ----------
    .. [1] R. Chan et al., "SegmentMeIfYouCan: A Benchmark for Anomaly Segmentation", NeurIPS 2021
       Datasets and Benchmarks, section 4.
    """
    if ignored is not None:
        target, predicted = target & ~ignored, predicted & ~ignored
    truth, areas = _components(target, smallest_target)
    found, _ = _components(predicted, smallest_predicted)
    # Predictions are cut off at small components of the target after they were measured.
    found[target & (truth == 0)] = 0
    width = int(found.max(initial=0)) + 1
    found_areas = np.bincount(found.reshape(-1), minlength=width)
    found_areas[0] = 0
    both = (truth > 0) & (found > 0)
    joint = np.bincount(
        truth[both].astype(np.intp) * width + found[both], minlength=len(areas) * width
    ).reshape(len(areas), width)
    touching = joint > 0
    shared = joint.sum(1)
    others = touching @ joint.sum(0) - shared
    union = areas + touching @ found_areas - shared - others
    kept, found_kept = areas > 0, found_areas > 0
    return ComponentMatch(
        siou=shared[kept] / union[kept], ppv=joint.sum(0)[found_kept] / found_areas[found_kept]
    )


def _components(mask: Mask, smallest: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return labels 1, 2, ... of what is large enough, 0 elsewhere, and the pixels of each."""
    import cv2

    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    labels = np.asarray(labels, np.int32)
    areas = np.bincount(labels.reshape(-1), minlength=count)
    kept = areas >= max(1, smallest)
    kept[0] = False
    renumbered = (np.cumsum(kept) * kept).astype(np.int32)
    return renumbered[labels], np.concatenate([[0], areas[kept]]).astype(np.int64)


@dataclass(frozen=True, slots=True)
class ComponentScores:
    """Component scores of a set; NaN where there is no component.

    Attributes
    ----------
    threshold : float
        Entropy, in log C, from which on a pixel was flagged: the one of the best pixel F1.
    siou, ppv : float
        Means over all components of the target, and over all predicted ones.
    f1 : float
        Mean over thresholds 0.25, 0.30, ... 0.75 of ``2 TP / (2 TP + FN + FP)``; a component of
        the target is found when its sIoU reaches the threshold, a predicted one is a false alarm
        when its PPV does not.
    targets, predicted : int
        How many components there are.
    smallest_target, smallest_predicted : int
        Pixels below which they were left out.
    """

    threshold: float
    siou: float
    ppv: float
    f1: float
    targets: int
    predicted: int
    smallest_target: int = SMALLEST_TARGET
    smallest_predicted: int = SMALLEST_PREDICTED

    def to_json(self) -> dict[str, Any]:
        """Return its JSON form; NaN becomes None."""
        return {name: number(value) for name, value in asdict(self).items()}


def score_components(
    matches: Iterable[ComponentMatch],
    *,
    threshold: float,
    smallest_target: int = SMALLEST_TARGET,
    smallest_predicted: int = SMALLEST_PREDICTED,
) -> ComponentScores:
    """Score the matches of all images of a set; parameters as in `ComponentScores`."""
    parts = list(matches)
    siou, ppv = (
        np.concatenate([np.zeros(0), *(getattr(part, name) for part in parts)])
        for name in ("siou", "ppv")
    )
    f1 = []
    for level in THRESHOLDS.tolist():
        found = int(np.count_nonzero(siou >= level))
        alarms = int(np.count_nonzero(ppv < level))
        f1.append(ratio(2 * found, found + len(siou) + alarms))
    return ComponentScores(
        threshold=threshold,
        siou=float(siou.mean()) if siou.size else math.nan,
        ppv=float(ppv.mean()) if ppv.size else math.nan,
        f1=float(np.mean(f1)),
        targets=len(siou),
        predicted=len(ppv),
        smallest_target=smallest_target,
        smallest_predicted=smallest_predicted,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Shift:
    """One model on data that it was made for ("in") and on other data ("out").

    Attributes
    ----------
    auroc : float
        Probability that a pixel of the other data has the higher entropy; a tie is half.
    in_accuracy, out_accuracy : float
        Pixel accuracy; of the other data over the categories that have a class.
    drop : float
        The first minus the second.
    drop_interval : (float, float)
        95 % bootstrap interval: the images of both sets are drawn independently.
    in_entropy, out_entropy : ndarray of shape (256,), int64
        Labelled pixels by entropy level.
    """

    auroc: float
    in_accuracy: float
    out_accuracy: float
    drop: float
    drop_interval: tuple[float, float]
    in_entropy: NDArray[np.int64]
    out_entropy: NDArray[np.int64]

    def to_json(self) -> dict[str, Any]:
        """Return its JSON form; NaN becomes None."""
        return {
            "auroc": number(self.auroc),
            "in_accuracy": number(self.in_accuracy),
            "out_accuracy": number(self.out_accuracy),
            "accuracy_drop": number(self.drop),
            "accuracy_drop_interval": [number(end) for end in self.drop_interval],
            "in_mean_entropy": number(mean_level(self.in_entropy)),
            "out_mean_entropy": number(mean_level(self.out_entropy)),
            "in_entropy": self.in_entropy.tolist(),
            "out_entropy": self.out_entropy.tolist(),
        }


def measure_shift(
    inside: NDArray[np.int64],
    outside: NDArray[np.int64],
    in_entropy: NDArray[np.int64],
    out_entropy: NDArray[np.int64],
    *,
    draws: int = 1000,
) -> Shift:
    """Compare a model on two sets of images.

    Parameters
    ----------
    inside, outside : ndarray of shape (S, 2), int64
        Right pixels and labelled pixels of each image; the sets need not be of one size.
    in_entropy, out_entropy : ndarray of shape (..., 256), int64
        Entropy histograms, all leading axes added up.
    draws : int
        Of the bootstrap.
    """
    accuracies, resampled = [], []
    for seed, table in enumerate((inside, outside)):
        right, pixels = (int(value) for value in table.sum(0))
        accuracies.append(ratio(right, pixels))
        sums = np.concatenate(
            [block @ table.astype(np.float64) for block in weight_blocks(len(table), draws, seed)]
        )
        there = sums[:, 1] > 0
        values = np.divide(sums[:, 0], sums[:, 1], out=np.full(draws, np.nan), where=there)
        resampled.append(values if len(table) > 1 else np.full(draws, np.nan))
    low, high = percentile_interval(resampled[0] - resampled[1])
    return Shift(
        auroc=shift_auroc(in_entropy, out_entropy),
        in_accuracy=accuracies[0],
        out_accuracy=accuracies[1],
        drop=accuracies[0] - accuracies[1],
        drop_interval=(float(low), float(high)),
        in_entropy=in_entropy.reshape(-1, LEVELS).sum(0, dtype=np.int64),
        out_entropy=out_entropy.reshape(-1, LEVELS).sum(0, dtype=np.int64),
    )


def number(value: float) -> float | None:
    """Return a number as JSON knows it: None for NaN."""
    return None if math.isnan(value) else value
