"""What a fine-tuning came to: IoU before and after on the images that were held back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.label_space import LabelSpace

__all__ = ["ClassChange", "FinetuneReport", "compare"]


@dataclass(frozen=True)
class ClassChange:
    """IoU of a class on the held-out images, None where it is not defined.

    ``interval`` is that of the difference: 95 %, paired bootstrap over the images.
    """

    name: str
    before: float | None
    after: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class FinetuneReport:
    """What a fine-tuning came to.

    Attributes
    ----------
    output : Path or None
        The checkpoint, None when the result was worse and was not kept.
    learned, held_out : tuple of str
        Ids of the samples.
    mean : ClassChange
        The mean IoU, 0..1.
    classes : tuple of ClassChange
        Those that appear on the held-out images or in their predictions.
    seconds : float
    reason : str
        One sentence: what was decided and why.
    """

    output: Path | None
    learned: tuple[str, ...]
    held_out: tuple[str, ...]
    mean: ClassChange
    classes: tuple[ClassChange, ...] = field(default=())
    seconds: float = 0.0
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""

        def change(entry: ClassChange) -> dict[str, Any]:
            interval = None if entry.interval is None else list(entry.interval)
            return {
                "name": entry.name,
                "before": entry.before,
                "after": entry.after,
                "difference_interval": interval,
            }

        return {
            "output": None if self.output is None else str(self.output),
            "learned": list(self.learned),
            "held_out": list(self.held_out),
            "miou": change(self.mean),
            "classes": [change(entry) for entry in self.classes],
            "seconds": self.seconds,
            "reason": self.reason,
        }


def compare(
    space: LabelSpace,
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    *,
    output: Path,
    learned: Sequence[str],
    held_out: Sequence[str],
) -> FinetuneReport:
    """Return the report of two models on the held-out images; nothing is decided yet.

    Parameters
    ----------
    space : LabelSpace
        Of C classes.
    before, after : ndarray of shape (S, C, C + 1), int64
        Confusions of the S held-out images.
    output : Path
        See `FinetuneReport`.
    learned, held_out : sequence of str
        Ids of the samples.
    """
    from segstudio.metrics.scores import bootstrap_interval, iou, mean_iou

    def change(name: str, old: Any, new: Any, low: Any, high: Any) -> ClassChange:
        values = [float(value) for value in (old, new, low, high)]
        old, new, low, high = (value if math.isfinite(value) else None for value in values)
        interval = None if low is None or high is None else (low, high)
        return ClassChange(name, old, new, interval)

    sums = before.sum(0), after.sum(0)
    mean_low, mean_high = bootstrap_interval(after, mean_iou, other=before)
    lows, highs = bootstrap_interval(after, iou, other=before)
    each = [iou(entry) for entry in sums]
    classes = tuple(
        change(name, each[0][index], each[1][index], lows[index], highs[index])
        for index, name in enumerate(space.names)
        if np.isfinite(each[0][index]) or np.isfinite(each[1][index])
    )
    means = [float(mean_iou(entry)) for entry in sums]
    mean = change("mean IoU", means[0], means[1], mean_low, mean_high)
    return FinetuneReport(output, tuple(learned), tuple(held_out), mean, classes)
