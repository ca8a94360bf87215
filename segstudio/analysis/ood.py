"""Out of distribution: what a model makes of things it was not trained on, and whether it notices.

A *source category* (COCO ``sheep``) is mapped to a class of the model's label space (ADE20K
``animal``), to several of which each is right, or to none: then it is *out of the label space*,
whatever the model says is wrong, and only its uncertainty can give it away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import CorruptProjectError, SizeMismatchError, UsageError
from segstudio.core.label_space import LabelMapping, LabelSpace
from segstudio.core.types import LabelMap
from segstudio.metrics import uncertainty
from segstudio.metrics.confusion import check_values
from segstudio.metrics.counts import LEVELS
from segstudio.metrics.detection import mean_level, reversed_levels, split_errors
from segstudio.metrics.packing import pack_sparse, unpack_sparse

__all__ = [
    "Categories",
    "CategoryCounts",
    "CategoryScores",
    "Detection",
    "accuracy_counts",
    "build_categories",
    "count_categories",
    "detect",
    "detection_histogram",
    "score_categories",
]

CONFUSED_WITH = 3
"""Classes named that a category is confused with."""


@dataclass(frozen=True, slots=True, eq=False)
class Categories:
    """Source categories and what of the model's classes they may be.

    Attributes
    ----------
    source, target : LabelSpace
        Of the ground truth, and of the model.
    allowed : ndarray of shape (S, C), bool
        Which classes are right for which category.
    first : ndarray of shape (S,), intp
        The class that a category becomes, -1 for those out of the label space.
    """

    source: LabelSpace
    target: LabelSpace
    allowed: NDArray[np.bool_]
    first: NDArray[np.intp]

    @property
    def outside(self) -> NDArray[np.bool_]:
        """Which categories are out of the label space, shape (S,)."""
        return np.asarray(self.first < 0)


def build_categories(mapping: LabelMapping, source: LabelSpace, target: LabelSpace) -> Categories:
    """Return what a mapping says of every source category.

    Raises
    ------
    UsageError
        When the mapping joins other label spaces, or names a class that is in neither.
    """
    if (mapping.source, mapping.target) != (source.name, target.name):
        raise UsageError(
            f"The mapping {mapping.name} leads from {mapping.source} to {mapping.target}, but the "
            f"ground truth is in {source.name} and the model in {target.name}."
        )
    table = mapping.table(source, target)
    allowed = np.zeros((len(source), len(target)), bool)
    for name, classes in mapping.pairs:
        here = source.find(name)
        for class_name in classes:
            there = target.find(class_name)
            assert here is not None and there is not None  # `table` has found them
            allowed[here.index, there.index] = True
    first = table[: len(source)].astype(np.intp)
    first[~allowed.any(1)] = -1
    return Categories(source, target, allowed, first)


@dataclass(frozen=True, slots=True, eq=False)
class CategoryCounts:
    """Integer counts of one sample, or of several added up; S categories, C classes.

    Attributes
    ----------
    joint : ndarray of shape (S, C + 1), int64
        Pixels by category and prediction; the last column is an ignored prediction.
    entropy, confidence : ndarray of shape (S, 2, 256), int64
        Pixels by category, right or wrong, level.  Out of the label space everything is wrong.
    images : ndarray of shape (S,), int64
        Samples that hold the category.
    """

    joint: NDArray[np.int64]
    entropy: NDArray[np.int64]
    confidence: NDArray[np.int64]
    images: NDArray[np.int64]

    @classmethod
    def empty(cls, categories: Categories) -> CategoryCounts:
        """Return the counts of no sample."""
        size, classes = categories.allowed.shape
        levels = np.zeros((2, size, 2, LEVELS), np.int64)
        joint = np.zeros((size, classes + 1), np.int64)
        return cls(joint, levels[0], levels[1], np.zeros(size, np.int64))

    def add(self, other: CategoryCounts) -> None:
        """Add another sample's counts to these, in place."""
        for mine, more in (
            (self.joint, other.joint),
            (self.entropy, other.entropy),
            (self.confidence, other.confidence),
            (self.images, other.images),
        ):
            np.add(mine, more, out=mine)

    def to_bytes(self) -> bytes:
        """Return a compact form of one sample's counts, the same bytes for the same counts."""
        size, columns = self.joint.shape
        tables = []
        for part in (self.joint, self.entropy, self.confidence):
            flat = part.reshape(-1)
            cells = np.flatnonzero(flat).astype(np.int64, copy=False)
            tables.append((cells, flat[cells].astype(np.int64, copy=False)))
        return pack_sparse(columns - 1, (size, 0, 0, 0), tables)

    @classmethod
    def from_bytes(cls, data: bytes, categories: Categories) -> CategoryCounts:
        """Return what `to_bytes` stored of one sample.

        Raises
        ------
        CorruptProjectError
            When the data is damaged, of a newer version, or over other categories.
        """
        size, classes = categories.allowed.shape
        limits = (size * (classes + 1), size * 2 * LEVELS, size * 2 * LEVELS)
        stored, sums, tables = unpack_sparse(data, lambda _classes: limits)
        if (stored, sums[0]) != (classes, size):
            raise CorruptProjectError(
                f"The stored counts are over {sums[0]} categories and {stored} classes, not over "
                f"{size} and {classes}; analyse the run again."
            )
        parts = []
        for (cells, counts), limit in zip(tables, limits, strict=True):
            dense = np.zeros(limit, np.int64)
            dense[cells] = counts
            parts.append(dense)
        joint = parts[0].reshape(size, classes + 1)
        entropy, confidence = (part.reshape(size, 2, LEVELS) for part in parts[1:])
        return cls(joint, entropy, confidence, (joint.sum(1) > 0).astype(np.int64))

    def __add__(self, other: CategoryCounts) -> CategoryCounts:
        """Return the counts of both."""
        return CategoryCounts(
            self.joint + other.joint,
            self.entropy + other.entropy,
            self.confidence + other.confidence,
            self.images + other.images,
        )


def count_categories(
    categories: Categories,
    source: LabelMap,
    prediction: LabelMap,
    entropy: NDArray[np.uint8],
    confidence: NDArray[np.uint8],
    *,
    name: str = "",
) -> CategoryCounts:
    """Count one sample in one pass.

    Parameters
    ----------
    categories : Categories
    source : ndarray of shape (H, W), integer
        Class indices of the source space; its ignore index is not counted.
    prediction : ndarray of shape (H, W), integer
        Class indices of the model's space.
    entropy, confidence : ndarray of shape (H, W), uint8
        Levels.
    name : str
        The sample, for the error.

    Raises
    ------
    SizeMismatchError
        When the maps differ in size.
    LabelValueError
        When one of them holds a value that its label space does not know.
    """
    if not source.shape == prediction.shape == entropy.shape == confidence.shape:
        raise SizeMismatchError(
            f"The prediction of {name} has {' x '.join(map(str, prediction.shape))} pixels, its "
            f"ground truth {' x '.join(map(str, source.shape))}; both must have the image's size."
        )
    categories.source.check(source, f"The ground truth of {name}")
    classes = len(categories.target)
    void = categories.target.ignore_index
    check_values(prediction, prediction, classes, void, name)
    size = len(categories.source)
    labelled = source < size
    rows = source[labelled].astype(np.intp)
    columns = np.minimum(prediction[labelled], classes).astype(np.intp)
    joint = np.bincount(rows * (classes + 1) + columns, minlength=size * (classes + 1))
    joint = joint.reshape(size, classes + 1).astype(np.int64)
    allowed = np.concatenate([categories.allowed, np.zeros((size, 1), bool)], axis=1)
    cells = (rows * 2 + ~allowed[rows, columns]) * LEVELS
    levels = [
        np.bincount(cells + part[labelled], minlength=size * 2 * LEVELS)
        .reshape(size, 2, LEVELS)
        .astype(np.int64)
        for part in (entropy, confidence)
    ]
    return CategoryCounts(joint, levels[0], levels[1], (joint.sum(1) > 0).astype(np.int64))


@dataclass(frozen=True, slots=True)
class CategoryScores:
    """What a model makes of one category; NaN where a number does not exist.

    Attributes
    ----------
    name : str
    mapped_to : tuple of str
        Classes that are right, the one it becomes first; empty out of the label space.
    images, pixels : int
        Samples that hold it, and its pixels in them.
    recall : float
        Share of its pixels predicted as a class that is right.
    recall_first : float
        The same for the first class alone.
    confused_with : tuple of (str, float)
        The classes it is most often taken for that are not right, with their share of all its
        pixels.
    mean_entropy : float
        In units of log C, 0..1.
    confident_error_share : float
        Of its wrong pixels those with entropy below 0.10 log C.
    """

    name: str
    mapped_to: tuple[str, ...]
    images: int
    pixels: int
    recall: float
    recall_first: float
    confused_with: tuple[tuple[str, float], ...]
    mean_entropy: float
    confident_error_share: float


def score_categories(
    categories: Categories,
    counts: CategoryCounts,
    *,
    confident: float = uncertainty.CONFIDENT_BELOW,
) -> tuple[CategoryScores, ...]:
    """Score every category that has pixels, in the order of the source space.

    Parameters
    ----------
    categories : Categories
    counts : CategoryCounts
        Added up over samples.
    confident : float
        Entropy threshold in log C; no pixel is read again for another one.
    """
    return tuple(
        _score_category(categories, counts, index, confident)
        for index in np.flatnonzero(counts.joint.sum(1)).tolist()
    )


def _score_category(
    categories: Categories, counts: CategoryCounts, index: int, confident: float
) -> CategoryScores:
    names = categories.target.names
    row, allowed = counts.joint[index, :-1], categories.allowed[index]
    pixels, first = int(counts.joint[index].sum()), int(categories.first[index])
    others = np.where(allowed, 0, row)
    # Of equal shares the class of the lower index comes first.
    order = np.argsort(-others, kind="stable")[:CONFUSED_WITH].tolist()
    errors = split_errors(counts.entropy[index], confident)
    is_inside = first >= 0
    mapped = [] if not is_inside else [first, *np.flatnonzero(allowed).tolist()]
    return CategoryScores(
        name=categories.source.names[index],
        mapped_to=tuple(dict.fromkeys(names[place] for place in mapped)),
        images=int(counts.images[index]),
        pixels=pixels,
        recall=int(row[allowed].sum()) / pixels if is_inside else math.nan,
        recall_first=int(row[first]) / pixels if is_inside else math.nan,
        confused_with=tuple(
            (names[place], int(others[place]) / pixels) for place in order if others[place]
        ),
        mean_entropy=mean_level(counts.entropy[index]),
        confident_error_share=uncertainty.ratio(errors.confident, errors.wrong),
    )


@dataclass(frozen=True, slots=True)
class Detection:
    """How well a score finds the pixels that are out of the label space; NaN without both kinds.

    Pixels of categories out of the label space against pixels of mapped ones; unlabelled ones
    are neither.
    """

    auroc: float
    auprc: float
    fpr95: float


def detection_histogram(categories: Categories, levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (2, 256): pixels inside (0) and outside (1) of the label space by level."""
    outside = categories.outside
    return np.stack([levels[~outside].sum((0, 1)), levels[outside].sum((0, 1))])


def detect(categories: Categories, counts: CategoryCounts) -> tuple[Detection, Detection]:
    """Return how well entropy, and ``1 - confidence``, find what is out of the label space."""
    entropy = detection_histogram(categories, counts.entropy)
    unsure = reversed_levels(detection_histogram(categories, counts.confidence))
    by_entropy, by_confidence = (
        Detection(
            uncertainty.auroc(part) if part.any(1).all() else math.nan,
            uncertainty.auprc(part) if part.any(1).all() else math.nan,
            uncertainty.fpr95(part),
        )
        for part in (entropy, unsure)
    )
    return by_entropy, by_confidence


def accuracy_counts(categories: Categories, counts: CategoryCounts) -> tuple[int, int]:
    """Return (right pixels, pixels) of the mapped categories."""
    inside = counts.entropy[~categories.outside]
    return int(inside[:, 0].sum()), int(inside.sum())
