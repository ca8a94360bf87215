"""How far several runs agree with each other, pair by pair."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.analysis.agreement import Agreement, add_agreements

__all__ = ["Consensus", "PairTotals", "build_consensus", "cohen_kappa", "pixel_agreement"]


def pixel_agreement(matrix: NDArray[np.int64]) -> float:
    """Return the share of pixels of which two runs say the same class.

    Parameters
    ----------
    matrix : ndarray of shape (C, C) or (C, C + 1), int64
        `Agreement.matrix`; pixels of which one says nothing do not count.

    Returns
    -------
    float
        0..1; NaN without a pixel.
    """
    square = matrix[:, : len(matrix)]
    total = int(square.sum())
    return int(np.trace(square)) / total if total else math.nan


def cohen_kappa(matrix: NDArray[np.int64]) -> float:
    """Return Cohen's kappa of two runs: agreement beyond what their class shares bring by chance.

    Parameters
    ----------
    matrix : ndarray of shape (C, C) or (C, C + 1), int64
        `Agreement.matrix`; pixels of which one says nothing do not count.

    Returns
    -------
    float
        ``(p_o - p_e) / (1 - p_e)``, -1..1; NaN without a pixel, and where both say one and the
        same class everywhere, so that chance alone explains it.

    References
    ----------
    J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological
    Measurement 20 (1), 1960.
    """
    square = matrix[:, : len(matrix)]
    total = int(square.sum())
    if not total:
        return math.nan
    observed = int(np.trace(square)) / total
    # In floating point: the product of two sums of 10^10 pixels leaves 64 bits.
    rows, columns = square.sum(1) / total, square.sum(0) / total
    expected = float(rows @ columns)
    return math.nan if expected >= 1.0 else (observed - expected) / (1.0 - expected)


@dataclass
class PairTotals:
    """The agreement of one pair of runs, added up as samples come.

    Attributes
    ----------
    classes : int
        C of the label space in which they meet.
    total : Agreement
        Of all samples.
    shares : dict of str to (int, int)
        For each sample the pixels of which both say the same, and those of which both say
        something.
    """

    classes: int
    total: Agreement = field(init=False)
    shares: dict[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.total = add_agreements((), self.classes)

    def add(self, sample_id: str, agreement: Agreement) -> None:
        """Add a sample that is not in it yet."""
        self.total = add_agreements((self.total, agreement), self.classes)
        square = agreement.matrix[:, : self.classes]
        self.shares[sample_id] = int(np.trace(square)), int(square.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Consensus:
    """The agreement of several runs.

    Attributes
    ----------
    runs : tuple of str
        R of them.
    kappa, share : ndarray of shape (R, R), float64
        Cohen's kappa and the share of pixels with the same class; symmetric, 1 on the diagonal,
        NaN where a pair was not or cannot be compared.
    samples : int
        Samples of the pair that has most.
    disagreement : tuple of (str, float)
        Sample and the mean over pairs of the share of its pixels of which two runs say different
        classes, 0..1; the largest first.
    pairs : mapping of (str, str) to Agreement
    """

    runs: tuple[str, ...]
    kappa: NDArray[np.float64]
    share: NDArray[np.float64]
    samples: int
    disagreement: tuple[tuple[str, float], ...]
    pairs: Mapping[tuple[str, str], Agreement]


def build_consensus(runs: Sequence[str], pairs: Mapping[tuple[str, str], PairTotals]) -> Consensus:
    """Put what is known of pairs together.

    Parameters
    ----------
    runs : sequence of str
    pairs : mapping of (str, str) to PairTotals
        By (a, b) with a before b in ``runs``; missing ones are NaN.
    """
    count = len(runs)
    kappa, share = (np.full((count, count), np.nan) for _ in range(2))
    np.fill_diagonal(kappa, 1.0)
    np.fill_diagonal(share, 1.0)
    differs: dict[str, list[float]] = {}
    found: dict[tuple[str, str], Agreement] = {}
    for i, a in enumerate(runs):
        for j in range(i + 1, count):
            totals = pairs.get((a, runs[j]))
            if totals is None or not totals.shares:
                continue
            matrix: NDArray[Any] = totals.total.matrix
            kappa[i, j] = kappa[j, i] = cohen_kappa(matrix)
            share[i, j] = share[j, i] = pixel_agreement(matrix)
            found[a, runs[j]] = totals.total
            for sample_id, (same, both) in totals.shares.items():
                if both:
                    differs.setdefault(sample_id, []).append(1.0 - same / both)
    means = [(sample_id, sum(parts) / len(parts)) for sample_id, parts in differs.items()]
    return Consensus(
        tuple(runs),
        kappa,
        share,
        max((totals.samples for totals in found.values()), default=0),
        tuple(sorted(means, key=lambda entry: (-entry[1], entry[0]))),
        found,
    )
