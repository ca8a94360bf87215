"""One image as several runs see it: the cells of a comparison grid, rows = runs."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.analysis import pictures
from segstudio.core.class_style import OWN_COLORS, ClassStyle
from segstudio.core.label_space import LabelSpace
from segstudio.core.palette import Color
from segstudio.core.types import Image, LabelMap

__all__ = [
    "CellPicture",
    "CellStyle",
    "Column",
    "ComparedImage",
    "ComparedRun",
    "Key",
    "classes_present",
    "color_keys",
    "draw_cell",
]


class Column(enum.Enum):
    """What a cell shows; the value is what a person reads."""

    PHOTO = "Photograph"
    TARGET = "Ground truth"
    CORRECTION = "Correction"
    SEGMENTATION = "Segmentation"
    ENTROPY = "Entropy"
    ERRORS = "Errors"
    DISAGREEMENT = "Disagreement"
    PAIR = "A or B right"

    @property
    def is_shared(self) -> bool:
        """Whether it is the same picture in every row."""
        return self in (Column.PHOTO, Column.TARGET, Column.CORRECTION, Column.PAIR)


@dataclass(frozen=True, slots=True, eq=False)
class ComparedRun:
    """What one run says of an image.

    Attributes
    ----------
    run : str
    space : LabelSpace
    labels : ndarray of shape (H, W) or None
        Class indices, None where the run has nothing.
    entropy : ndarray of shape (H, W), uint8, or None
        As stored: round(255 H / log C).
    problem : str
        Why there is nothing, one sentence.
    """

    run: str
    space: LabelSpace
    labels: LabelMap | None
    entropy: NDArray[np.uint8] | None
    problem: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class ComparedImage:
    """An image with everything that is known of it.

    Attributes
    ----------
    sample_id : str
    image : ndarray of shape (H, W, 3), uint8
    runs : tuple of ComparedRun
        The rows.
    target, correction : ndarray of shape (H, W) or None
    target_space, correction_space : LabelSpace or None
    pair : (int, int) or None
        Places of a and b in ``runs``.
    """

    sample_id: str
    image: Image
    runs: tuple[ComparedRun, ...]
    target: LabelMap | None = None
    target_space: LabelSpace | None = None
    correction: LabelMap | None = None
    correction_space: LabelSpace | None = None
    pair: tuple[int, int] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.image.shape[0], self.image.shape[1]


@dataclass(frozen=True, slots=True)
class CellStyle:
    """How cells are drawn.

    Attributes
    ----------
    opacity : float
        Of label maps over the photograph, 0..1.
    dark : bool
        Whether the grid stands on a dark ground.
    highlight : str or None
        Name of the class that stands out; the others fade into the photograph.
    classes : ClassStyle
        Colours and patterns of the classes.
    """

    opacity: float = 1.0
    dark: bool = False
    highlight: str | None = None
    classes: ClassStyle = OWN_COLORS


@dataclass(frozen=True, slots=True, eq=False)
class CellPicture:
    """A drawn cell.

    Attributes
    ----------
    pixels : ndarray of shape (H, W, 3), uint8, or None
        None where there is nothing to draw.
    remark : str
        A number about it, or why there is nothing.
    """

    pixels: Image | None
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of a legend.

    Attributes
    ----------
    name : str
    color : (R, G, B)
        Of a class, its own; a `ClassStyle` says in which it is drawn.
    class_index : int or None
        None for what is no class.
    """

    name: str
    color: Color
    class_index: int | None = None


def draw_cell(
    compared: ComparedImage, row: int, column: Column, style: CellStyle = CellStyle()
) -> CellPicture:
    """Draw a cell.

    Parameters
    ----------
    compared : ComparedImage
    row : int
        Place in ``compared.runs``.
    column : Column
    style : CellStyle
    """
    run = compared.runs[row]
    if column is Column.PHOTO:
        return CellPicture(compared.image)
    if column is Column.TARGET:
        return _labels(compared, compared.target, compared.target_space, style, "no ground truth")
    if column is Column.CORRECTION:
        return _labels(
            compared, compared.correction, compared.correction_space, style, "not corrected"
        )
    if column is Column.PAIR:
        return _pair(compared, style)
    if run.labels is None:
        return CellPicture(None, run.problem or "no result yet")
    if column is Column.SEGMENTATION:
        return _labels(compared, run.labels, run.space, style, "")
    if column is Column.ENTROPY:
        if run.entropy is None:
            return CellPicture(None, "no entropy stored")
        mean = float(run.entropy.mean()) / 255.0
        return CellPicture(pictures.color_entropy(run.entropy), f"mean {mean:.2f}")
    if column is Column.DISAGREEMENT:
        return _dissent(compared, row, style)
    return _errors(compared, run, style)


def _labels(
    compared: ComparedImage,
    label_map: LabelMap | None,
    space: LabelSpace | None,
    style: CellStyle,
    missing: str,
) -> CellPicture:
    if label_map is None or space is None:
        return CellPicture(None, missing)
    picture = pictures.color_labels(label_map, space, dark=style.dark, style=style.classes)
    picture = pictures.blend(compared.image, picture, style.opacity)
    if style.highlight is not None:
        chosen = [entry.index for entry in space.classes if entry.name == style.highlight]
        faint = pictures.backdrop(compared.image, dark=style.dark)
        away = ~np.isin(label_map, chosen)
        picture = np.where(away[..., None], pictures.blend(faint, picture, 0.12), picture)
    return CellPicture(picture)


def _meeting(compared: ComparedImage, run: ComparedRun) -> str:
    """Return why a run cannot be compared with the ground truth, "" when it can."""
    if compared.target is None or compared.target_space is None:
        return "no ground truth"
    if run.labels is None:
        return run.problem or "no result yet"
    if run.space.names != compared.target_space.names:
        return f"classes of {run.space.name}, ground truth of {compared.target_space.name}"
    return ""


def _errors(compared: ComparedImage, run: ComparedRun, style: CellStyle) -> CellPicture:
    reason = _meeting(compared, run)
    if reason or compared.target is None or run.labels is None:
        return CellPicture(None, reason)
    picture, share = pictures.mark_errors(
        compared.image,
        compared.target,
        run.labels,
        run.entropy,
        ignore_index=run.space.ignore_index,
        dark=style.dark,
    )
    return CellPicture(picture, f"{100 * share:.1f} % wrong")


def _dissent(compared: ComparedImage, row: int, style: CellStyle) -> CellPicture:
    own = compared.runs[row]
    others = [
        entry.labels
        for place, entry in enumerate(compared.runs)
        if place != row and entry.labels is not None and entry.space.names == own.space.names
    ]
    if own.labels is None or not others:
        return CellPicture(None, "no other model with these classes")
    picture, share = pictures.mark_dissent(compared.image, own.labels, others, dark=style.dark)
    return CellPicture(picture, f"{100 * share:.1f} % differs")


def _pair(compared: ComparedImage, style: CellStyle) -> CellPicture:
    if compared.pair is None:
        return CellPicture(None, "choose two models")
    a, b = (compared.runs[place] for place in compared.pair)
    for run in (a, b):
        reason = _meeting(compared, run)
        if reason:
            return CellPicture(None, reason)
    assert compared.target is not None and a.labels is not None and b.labels is not None
    return CellPicture(
        pictures.mark_pair(
            compared.image,
            compared.target,
            (a.labels, b.labels),
            (a.entropy, b.entropy),
            ignore_index=a.space.ignore_index,
            dark=style.dark,
        )
    )


def classes_present(compared: ComparedImage) -> tuple[Key, ...]:
    """Return the classes that a run, the ground truth or the correction holds, by class index."""
    maps: list[tuple[NDArray[Any] | None, LabelSpace | None]] = [
        (entry.labels, entry.space) for entry in compared.runs
    ]
    maps.append((compared.target, compared.target_space))
    maps.append((compared.correction, compared.correction_space))
    found: dict[tuple[str, ...], tuple[LabelSpace, NDArray[np.bool_]]] = {}
    for label_map, space in maps:
        if label_map is None or space is None:
            continue
        names = tuple(space.names)
        _, present = found.setdefault(names, (space, np.zeros(len(space), np.bool_)))
        present |= np.bincount(label_map.ravel(), minlength=len(space))[: len(space)] > 0
    keys: dict[Key, None] = {}
    for space, present in found.values():
        for entry in space.classes:
            if present[entry.index]:
                keys[Key(entry.name, entry.color, entry.index)] = None
    return tuple(keys)


def color_keys(columns: Sequence[Column], *, dark: bool = False) -> tuple[Key, ...]:
    """Return what the colours of these columns mean, apart from classes."""
    keys: list[Key] = []
    if Column.ERRORS in columns:
        keys.append(Key("wrong and sure", pictures.SURE_ERROR))
        keys.append(Key("wrong, unsure", pictures.UNSURE_ERROR))
    if Column.DISAGREEMENT in columns:
        keys.append(Key("others disagree", pictures.DISSENT))
    if Column.PAIR in columns:
        keys.append(Key("only A right", pictures.ONLY_A))
        keys.append(Key("only B right", pictures.ONLY_B))
        keys.append(Key("both wrong", pictures.BOTH_WRONG))
        keys.append(Key("both wrong and sure", pictures.BOTH_WRONG_SURE))
    if any(column in columns for column in (Column.TARGET, Column.ERRORS, Column.PAIR)):
        keys.append(Key("not labelled", pictures.unlabelled_color(dark=dark)))
    return tuple(keys)
