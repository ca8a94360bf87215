"""One pass over a sample: where its errors lie and how they hang together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.analysis.counts import ErrorCounts
from segstudio.analysis.objects import SIZE_EDGES, count_by_size
from segstudio.analysis.pair import build_pair
from segstudio.analysis.regions import RegionTable, find_regions
from segstudio.analysis.taxonomy import classify_errors, count_kinds
from segstudio.core.errors import SizeMismatchError, UsageError
from segstudio.core.types import IGNORE_INDEX, LabelMap
from segstudio.metrics.boundary import count_boundary

__all__ = ["SampleErrors", "analyse_sample"]


@dataclass(frozen=True, slots=True, eq=False)
class SampleErrors:
    """What the pass leaves behind.

    Attributes
    ----------
    counts : ErrorCounts
        Integers that add up over samples.
    regions : RegionTable
        The error regions.
    """

    counts: ErrorCounts
    regions: RegionTable


def analyse_sample(
    target: LabelMap,
    prediction: LabelMap,
    classes: int,
    *,
    ignore_index: int = IGNORE_INDEX,
    entropy: NDArray[np.uint8] | None = None,
    confidence: NDArray[np.uint8] | None = None,
    runner_up: LabelMap | None = None,
    width: int | None = None,
    size_edges: Sequence[int] = SIZE_EDGES,
    name: str = "",
) -> SampleErrors:
    """Analyse the errors of one sample.

    Parameters
    ----------
    target, prediction : ndarray of shape (H, W), integer
        Label maps; pixels whose target is ignored never enter.
    classes : int
        C.
    ignore_index : int
        Value that is no class, at least C.
    entropy, confidence : ndarray of shape (H, W), uint8, optional
        Stored levels, ``round(255 * entropy / log C)`` and ``round(255 * max p)``.
    runner_up : ndarray of shape (H, W), integer, optional
        Second most probable class index.
    width : int, optional
        d in pixels, for Boundary IoU and for boundary errors; 2 % of the diagonal when left out.
    size_edges : sequence of int
        Areas at which the next size bin begins.
    name : str
        The sample.

    Raises
    ------
    LabelValueError, SizeMismatchError, UsageError
        When a map has another size, is no label map or holds a value outside the label space.
    """
    pair = build_pair(target, prediction, classes, ignore_index=ignore_index, name=name)
    for what, layer in (("entropy", entropy), ("confidence", confidence)):
        _check_layer(layer, what, pair.target.shape, name)
        if layer is not None and layer.dtype != np.uint8:
            raise UsageError(
                f"The {what} of {name or 'a sample'} must be given as levels 0..255, "
                f"not as {layer.dtype}."
            )
    _check_layer(runner_up, "runner-up map", pair.target.shape, name)
    errors = classify_errors(pair, width=width)
    counts = ErrorCounts.from_parts(
        count_boundary(target, prediction, classes, ignore_index=ignore_index, width=width),
        count_kinds(errors),
        count_by_size(errors, edges=size_edges),
        size_edges=size_edges,
    )
    regions = find_regions(
        errors, name, entropy=entropy, confidence=confidence, runner_up=runner_up
    )
    return SampleErrors(counts, regions)


def _check_layer(layer: NDArray[Any] | None, what: str, shape: tuple[int, ...], name: str) -> None:
    if layer is not None and layer.shape != shape:
        raise SizeMismatchError(
            f"The {what} of {name or 'a sample'} has {' x '.join(map(str, layer.shape))} pixels, "
            f"but its ground truth has {' x '.join(map(str, shape))}; run the model again."
        )
