"""Pictures of a report: whole images and crops around errors, small enough to travel in the page.

Photograph, prediction, ground truth and entropy come from the files that a run has stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segstudio.analysis.tables import RunTable
from segstudio.core.class_style import OWN_COLORS, ClassStyle, draw_patterns
from segstudio.core.errors import SegStudioError, SizeMismatchError, UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.core.palette import apply_palette, hex_color
from segstudio.core.types import Image, LabelMap
from segstudio.datasets.images import read_source_map
from segstudio.project.layout import ProjectLayout
from segstudio.session.report_markup import escape
from segstudio.session.report_pictures import encode_picture, swatch_css
from segstudio.session.targets import TargetReader

__all__ = ["PANELS", "Gallery", "Shown", "choose_failures"]

PANELS = ("photograph", "prediction", "ground truth", "entropy")
_UNLABELLED = (205, 210, 216)
_LONG_SIDE = 320
"""Pixels to which the longer side of a picture is reduced."""
_SMALLEST_CROP = 96
_ROOM_AROUND = 1.8
"""Sides of a crop over those of the error in it."""
_NOT_SHOWN = 3
"""Reasons why an image is not shown that are said before they are only counted."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One row to show.

    Attributes
    ----------
    sample_id : str
    caption : str
        Text that goes before the sample's name.
    class_index : int or None
        Crop to the largest error of this class; None shows the whole image.
    """

    sample_id: str
    caption: str
    class_index: int | None = None


def choose_failures(table: RunTable, names: Sequence[str], *, most: int, each: int) -> list[Shown]:
    """Return where each class goes wrong most, the class of the lowest pooled IoU first.

    Parameters
    ----------
    table : RunTable
    names : sequence of str
        Of the C classes.
    most, each : int
        Rows in all, and images of one class: those with the most pixels that are missed or
        wrongly given to it.
    """
    totals = table.totals
    wrong = totals.target + totals.predicted - 2 * totals.hits
    target, union = totals.target.sum(0), totals.union.sum(0)
    chosen: list[tuple[float, Shown]] = []
    for index in np.flatnonzero((target > 0) & (wrong.sum(0) > 0)).tolist():
        iou = float(totals.hits[:, index].sum() / union[index])
        for place in np.argsort(-wrong[:, index], kind="stable")[:each].tolist():
            if wrong[place, index]:
                caption = f"{names[index]}: {int(wrong[place, index]):,} wrong pixels"
                chosen.append((iou, Shown(table.sample_ids[place], caption, index)))
    return [entry for _, entry in sorted(chosen, key=lambda pair: pair[0])[:most]]


class Gallery:
    """Rows of pictures of one run, and the classes that they show.

    Parameters
    ----------
    reader : TargetReader
        How the run meets the ground truth.
    layout : ProjectLayout
    run : str
    style : ClassStyle
        Colours and patterns of the classes.
    """

    def __init__(
        self,
        reader: TargetReader,
        layout: ProjectLayout,
        run: str,
        *,
        style: ClassStyle = OWN_COLORS,
    ) -> None:
        self._style = style
        self._reader, self._layout, self._run = reader, layout, run
        self._kept: tuple[str, tuple[Image, LabelMap, LabelMap, NDArray[np.uint8]]] | None = None

    def render(self, rows: Iterable[Shown], budget: int) -> tuple[str, int]:
        """Return rows as HTML, and how many bytes they take.

        Rows that come after ``budget`` bytes are left out, and counted in the text.  An image that
        cannot be read is named with the reason.
        """
        made: list[str] = []
        problems: list[str] = []
        present = np.zeros(len(self._reader.space), bool)
        size = left_out = 0
        for row in rows:
            if size > budget:
                left_out += 1
                continue
            try:
                made.append(self._row(row, present))
            except SegStudioError as error:
                problems.append(str(error))
                continue
            size += len(made[-1])
        if not made and not problems:
            return '<p class="muted">–</p>', 0
        head = "".join(f"<span>{panel}</span>" for panel in PANELS)
        parts = [
            self._legend(present),
            f'<div class="panels head">{head}</div>',
            *made,
        ]
        if left_out:
            parts.append(f'<p class="muted">{left_out} more would make this file too large.</p>')
        parts += [f'<p class="muted">{escape(text)}</p>' for text in problems[:_NOT_SHOWN]]
        if len(problems) > _NOT_SHOWN:
            more = len(problems) - _NOT_SHOWN
            parts.append(f'<p class="muted">{more} more images cannot be shown.</p>')
        return "\n".join(parts), size

    def _row(self, shown: Shown, present: NDArray[np.bool_]) -> str:
        layers = self._layers(shown.sample_id)
        remark = ""
        if shown.class_index is not None:
            box, remark = _find_error(layers[1], layers[2], shown.class_index, self._reader.space)
            layers = _cropped(layers, box)
        photo, prediction, target, entropy = layers
        space = self._reader.space
        for label_map in (prediction, target):
            found = np.bincount(label_map.ravel(), minlength=len(space))[: len(space)]
            present |= found > 0
        pictures = (
            encode_picture(_reduced(photo), lossy=True),
            encode_picture(_colored(prediction, space, self._style), lossy=False),
            encode_picture(_colored(target, space, self._style), lossy=False),
            encode_picture(_heat(_reduced(entropy)), lossy=True),
        )
        name = escape(shown.sample_id)
        images = "".join(
            f'<img src="{picture}" alt="{panel} of {name}"'
            + (' class="flat">' if panel in PANELS[1:3] else ">")
            for panel, picture in zip(PANELS, pictures, strict=True)
        )
        swatch = ""
        if shown.class_index is not None:
            index = shown.class_index
            css = swatch_css(self._style, index, space.colors[index])
            swatch = f'<i class="swatch" style="background:{css}"></i>'
        return (
            f'<figure class="row"><figcaption>{swatch}<b>{escape(shown.caption)}</b> · {name}'
            f'{escape(remark)}</figcaption><div class="panels">{images}</div></figure>'
        )

    def _layers(self, sample_id: str) -> tuple[Image, LabelMap, LabelMap, NDArray[np.uint8]]:
        if self._kept is not None and self._kept[0] == sample_id:
            return self._kept[1]
        dataset = self._reader.dataset
        sample = dataset.sample(sample_id)
        if sample.target_path is None:
            raise UsageError(f"{sample.image_path} has no ground truth.")
        photo = dataset.read_image(sample)
        paths = [self._layout.layer(self._run, name, sample_id) for name in ("labels", "entropy")]
        stored = read_source_map(paths[0])
        entropy = read_source_map(paths[1]).astype(np.uint8)
        target = self._reader.read_target(sample)
        for layer, path in ((stored, paths[0]), (entropy, paths[1]), (target, sample.target_path)):
            if layer.shape != photo.shape[:2]:
                raise SizeMismatchError(
                    f"{path} is {layer.shape[0]} x {layer.shape[1]} pixels, but "
                    f"{sample.image_path} is {photo.shape[0]} x {photo.shape[1]}."
                )
        layers = photo, self._reader.map_prediction(stored), target, entropy
        self._kept = sample_id, layers
        return layers

    def _legend(self, present: NDArray[np.bool_]) -> str:
        entries = [
            f'<span><i class="swatch" style="background:'
            f'{swatch_css(self._style, entry.index, entry.color)}"></i>{escape(entry.name)}</span>'
            for entry in self._reader.space.classes
            if present[entry.index]
        ]
        unlabelled = hex_color(_UNLABELLED)
        entries.append(
            f'<span><i class="swatch" style="background:{unlabelled}"></i>not labelled</span>'
        )
        return f'<div class="legend">{"".join(entries)}</div>'


def _find_error(
    prediction: LabelMap, target: LabelMap, index: int, space: LabelSpace
) -> tuple[tuple[slice, slice], str]:
    """Return a box around the largest error of a class, and what was taken for what in it."""
    wrong = ((prediction == index) != (target == index)) & (target != space.ignore_index)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(wrong.astype(np.uint8))
    if count < 2:
        # The counts are of other files than the ones that are there now.
        return (slice(None), slice(None)), ""
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    left, top, width, height = (int(value) for value in stats[largest, :4])
    inside = labels == largest
    side = max(_ROOM_AROUND * width, _ROOM_AROUND * height * 4 / 3, _SMALLEST_CROP)
    rows = _span(top + height / 2, side * 3 / 4, target.shape[0])
    columns = _span(left + width / 2, side, target.shape[1])
    missed = inside & (target == index)
    if 2 * int(missed.sum()) >= int(inside.sum()):
        other = _most_common(prediction[missed], space)
        remark = f" · largest error: {space.names[index]} taken for {other}"
    else:
        other = _most_common(target[inside & ~missed], space)
        remark = f" · largest error: {other} taken for {space.names[index]}"
    return (rows, columns), remark


def _span(middle: float, length: float, full: int) -> slice:
    """Return ``length`` pixels about ``middle``, moved so that they are inside 0..full."""
    wanted = min(full, math.ceil(length))
    start = min(max(0, round(middle - wanted / 2)), full - wanted)
    return slice(start, start + wanted)


def _most_common(values: NDArray[Any], space: LabelSpace) -> str:
    value = int(np.bincount(values).argmax())
    return space.names[value] if value < len(space) else "ignored"


def _cropped(
    layers: tuple[Image, LabelMap, LabelMap, NDArray[np.uint8]], box: tuple[slice, slice]
) -> tuple[Image, LabelMap, LabelMap, NDArray[np.uint8]]:
    photo, prediction, target, entropy = layers
    return photo[box], prediction[box], target[box], entropy[box]


def _small_size(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Return (width, height) of the reduced picture, None where it is small enough."""
    scale = _LONG_SIDE / max(shape[:2])
    if scale >= 1:
        return None
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def _reduced(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    size = _small_size(picture.shape)
    if size is None:
        return picture
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _colored(label_map: LabelMap, space: LabelSpace, style: ClassStyle) -> Image:
    # Classes have no average: the nearest pixel stands for its surroundings.
    size = _small_size(label_map.shape)
    if size is not None:
        label_map = cv2.resize(label_map, size, interpolation=cv2.INTER_NEAREST_EXACT)
    colors = style.colors(space.colors)
    picture = apply_palette(label_map, colors)
    if style.patterns:
        draw_patterns(picture, label_map, colors)
    picture[label_map == space.ignore_index] = _UNLABELLED
    return picture


def _heat(levels: NDArray[np.uint8]) -> Image:
    colored = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)
    return np.ascontiguousarray(colored[..., ::-1]).astype(np.uint8, copy=False)
