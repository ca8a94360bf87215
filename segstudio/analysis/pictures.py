"""Label maps, entropy, errors and disagreement as pictures: one way of drawing for every screen.

The window's comparison grid and the figures that are printed of it both draw with these functions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segstudio.core.class_style import OWN_COLORS, ClassStyle, draw_patterns
from segstudio.core.label_space import LabelSpace
from segstudio.core.palette import Color, apply_palette, color_table
from segstudio.core.types import Image, LabelMap, Mask

__all__ = [
    "BOTH_WRONG",
    "BOTH_WRONG_SURE",
    "DISSENT",
    "ONLY_A",
    "ONLY_B",
    "SURE_ERROR",
    "SURE_LEVEL",
    "UNLABELLED",
    "UNSURE_ERROR",
    "backdrop",
    "blend",
    "color_entropy",
    "color_labels",
    "hatch",
    "mark_dissent",
    "mark_errors",
    "mark_pair",
    "unlabelled_color",
]

UNSURE_ERROR: Color = (245, 166, 35)
SURE_ERROR: Color = (208, 28, 58)
UNLABELLED: Color = (226, 230, 235)
DISSENT: Color = (126, 58, 196)
"""Disagreement: more of it the more of the other runs say something else."""
ONLY_A: Color = (38, 116, 214)
ONLY_B: Color = (242, 142, 28)
"""Blue and orange stay apart for every kind of colour blindness."""
BOTH_WRONG: Color = (128, 96, 112)
BOTH_WRONG_SURE: Color = SURE_ERROR

SURE_LEVEL = 25
"""Entropy below 0.10 log C, in 256ths: the default of "confident errors"."""

_MOST_OTHERS = 255
"""Runs that are counted at most; nobody sees more steps of one colour."""

_STRIPE: Color = (168, 175, 184)
_DARK_UNLABELLED: Color = (74, 78, 84)
_DARK_STRIPE: Color = (104, 110, 118)


def color_labels(
    label_map: LabelMap,
    space: LabelSpace,
    *,
    dark: bool = False,
    style: ClassStyle = OWN_COLORS,
) -> Image:
    """Return a label map in the colours of its classes; what has none is striped.

    Parameters
    ----------
    label_map : ndarray of shape (H, W), uint8 or uint16
    space : LabelSpace
    dark : bool
        Whether the picture stands on a dark ground.
    style : ClassStyle
        Colours and patterns of the classes.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
    """
    import cv2

    colors = style.colors(space.colors)
    if label_map.dtype == np.uint8:
        # A tenth of the time of indexing a table of colours.
        table = color_table(colors)[None]
        picture = cv2.LUT(cv2.merge([label_map] * 3), table).astype(np.uint8, copy=False)
    else:
        picture = apply_palette(label_map, colors)
    if style.patterns:
        draw_patterns(picture, label_map, colors)
    hatch(picture, label_map >= len(space), dark=dark)
    return picture


def color_entropy(levels: NDArray[np.uint8]) -> Image:
    """Return stored entropy, 0..255 (H, W), as a picture (H, W, 3): black, red, yellow."""
    import cv2

    colored = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)
    return np.ascontiguousarray(colored[..., ::-1]).astype(np.uint8, copy=False)


def backdrop(image: Image, *, dark: bool = False) -> Image:
    """Return a grey and pale (or dim) photograph, on which a few colours stand out."""
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if dark:
        faint = cv2.convertScaleAbs(grey, alpha=0.5, beta=28)
    else:
        faint = (0.4 * grey + 0.6 * 255).astype(np.uint8)
    return cv2.merge([faint] * 3).astype(np.uint8, copy=False)


def blend(below: Image, above: Image, opacity: float) -> Image:
    """Return ``above`` over ``below`` with an opacity of 0..1."""
    import cv2

    if opacity >= 1.0:
        return above
    return cv2.addWeighted(above, opacity, below, 1.0 - opacity, 0.0).astype(np.uint8, copy=False)


def hatch(picture: Image, region: Mask, *, dark: bool = False) -> None:
    """Stripe a region (H, W) of a picture (H, W, 3) that has no label; in place."""
    if region.any():
        _paint(picture, _striped(region), [unlabelled_color(dark=dark), _stripe_color(dark)])


def unlabelled_color(*, dark: bool = False) -> Color:
    """Return the colour between the stripes of what has no label."""
    return _DARK_UNLABELLED if dark else UNLABELLED


def _stripe_color(dark: bool) -> Color:
    return _DARK_STRIPE if dark else _STRIPE


def _striped(region: Mask) -> NDArray[np.uint8]:
    """Return 1 in a region, 2 on its stripes, 0 elsewhere."""
    height, width = region.shape
    rows, columns = np.arange(height, dtype=np.int32), np.arange(width, dtype=np.int32)
    stripes = (rows[:, None] + columns[None, :]) % 12 < 2
    return region.view(np.uint8) + (region & stripes).view(np.uint8)


def _paint(picture: Image, kind: NDArray[np.uint8], colors: Sequence[Color]) -> None:
    """Write the first colour where ``kind`` is 1, the second where it is 2, ...; in place."""
    import cv2

    # OpenCV does this in a tenth of the time of masks, and without the interpreter's lock: the
    # window goes on while a thread draws.
    table = np.zeros((1, 256, 3), np.uint8)
    table[0, 1 : 1 + len(colors)] = colors
    cv2.copyTo(cv2.LUT(cv2.merge([kind] * 3), table), kind, picture)


def mark_errors(
    image: Image,
    target: LabelMap,
    prediction: LabelMap,
    entropy: NDArray[np.uint8] | None,
    *,
    ignore_index: int,
    dark: bool = False,
) -> tuple[Image, float]:
    """Mark where a prediction is wrong, and where it was sure of it.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
    target, prediction : ndarray of shape (H, W)
        Class indices of one label space.
    entropy : ndarray of shape (H, W), uint8, or None
        Stored entropy; without it no error counts as a sure one.
    ignore_index : int
        Target value of what does not count.
    dark : bool
        Whether the picture stands on a dark ground.

    Returns
    -------
    picture : ndarray of shape (H, W, 3), uint8
    share : float
        Wrong pixels over labelled ones, 0..1; 0 where nothing is labelled.
    """
    picture = backdrop(image, dark=dark)
    labelled = target != ignore_index
    wrong = labelled & (target != prediction)
    kind = wrong.view(np.uint8).copy()
    if entropy is not None:
        kind += (wrong & (entropy <= SURE_LEVEL)).view(np.uint8)
    _paint(picture, kind, [UNSURE_ERROR, SURE_ERROR])
    hatch(picture, ~labelled, dark=dark)
    return picture, float(np.count_nonzero(wrong)) / max(1, int(np.count_nonzero(labelled)))


def mark_dissent(
    image: Image, own: LabelMap, others: Sequence[LabelMap], *, dark: bool = False
) -> tuple[Image, float]:
    """Mark where other runs say something else than this one.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
    own : ndarray of shape (H, W)
        Class indices.
    others : sequence of ndarray of shape (H, W)
        Of the other runs, at least one, in the same label space.
    dark : bool
        Whether the picture stands on a dark ground.

    Returns
    -------
    picture : ndarray of shape (H, W, 3), uint8
        The more of the others differ, the stronger the colour.
    share : float
        Mean share of the pixels for which another run says something else, 0..1.
    """
    import cv2

    picture = backdrop(image, dark=dark)
    count = np.zeros(own.shape, np.uint8)
    for other in others[:_MOST_OTHERS]:
        count += (other != own).view(np.uint8)
    total = min(len(others), _MOST_OTHERS)
    strong = picture.copy()
    _paint(strong, count, [DISSENT] * total)
    for number in range(1, total + 1):
        mixed = blend(picture, strong, 0.35 + 0.65 * number / total)
        cv2.copyTo(mixed, (count == number).view(np.uint8), picture)
    return picture, float(count.sum(dtype=np.int64)) / max(1, own.size * total)


def mark_pair(
    image: Image,
    target: LabelMap,
    predictions: tuple[LabelMap, LabelMap],
    entropies: tuple[NDArray[np.uint8] | None, NDArray[np.uint8] | None],
    *,
    ignore_index: int,
    dark: bool = False,
) -> Image:
    """Mark which of two runs is right where not both are.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
    target : ndarray of shape (H, W)
    predictions : pair of ndarray of shape (H, W)
        Of a and b, in the ground truth's label space.
    entropies : pair of ndarray of shape (H, W), uint8, or None
        Both wrong counts as sure where both are at most `SURE_LEVEL`.
    ignore_index : int
    dark : bool
        Whether the picture stands on a dark ground.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
    """
    picture = backdrop(image, dark=dark)
    labelled = target != ignore_index
    right_a, right_b = (prediction == target for prediction in predictions)
    wrong = ~(right_a | right_b) & labelled
    kind = (right_a & ~right_b).view(np.uint8) + 2 * (right_b & ~right_a).view(np.uint8)
    kind += 3 * wrong.view(np.uint8)
    if entropies[0] is not None and entropies[1] is not None:
        kind += (wrong & (np.maximum(entropies[0], entropies[1]) <= SURE_LEVEL)).view(np.uint8)
    kind *= labelled.view(np.uint8)
    _paint(picture, kind, [ONLY_A, ONLY_B, BOTH_WRONG, BOTH_WRONG_SURE])
    hatch(picture, ~labelled, dark=dark)
    return picture
