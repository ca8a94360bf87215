"""One picture per image: photograph, prediction, ground truth, entropy, errors and a legend.

Drawn with Pillow and its own typeface, so that a figure looks the same on every machine and needs
no display.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

from segstudio.analysis import pictures
from segstudio.core.label_space import LabelSpace
from segstudio.core.palette import Color
from segstudio.core.types import Image, LabelMap
from segstudio.metrics.confusion import confusion_matrix
from segstudio.metrics.scores import iou, mean_iou

__all__ = ["FigureContent", "draw_figure"]

_PAPER: Color = (255, 255, 255)
_INK: Color = (28, 33, 38)
_GREY: Color = (105, 114, 125)
_LINE: Color = (219, 223, 228)

_MARGIN = 32
_GAP = 22
_HEADER = 74
_CAPTION = 30
_FOOT = 40
"""Room below the second row's panels: the colour bar, the key of the errors."""
_PANEL_WIDTH = 448
_PANEL_HEIGHT = 448


@dataclass(frozen=True, eq=False)
class FigureContent:
    """What a figure shows.

    Attributes
    ----------
    title, model : str
        Of the image, of the model.
    image : ndarray of shape (H, W, 3), uint8
    prediction : ndarray of shape (H, W)
        Class indices of ``label_space``.
    entropy : ndarray of shape (H, W), uint8
        As stored: round(255 H / log C).
    label_space : LabelSpace
    target : ndarray of shape (H, W) or None
        Ground truth in ``label_space``; without it there is no error map.
    note : str
        A short remark below the title.
    """

    title: str
    model: str
    image: Image
    prediction: LabelMap
    entropy: NDArray[np.uint8]
    label_space: LabelSpace
    target: LabelMap | None = None
    note: str = ""

    @property
    def mean_entropy(self) -> float:
        """Mean entropy over log C, 0..1."""
        return float(self.entropy.mean()) / 255.0


def draw_figure(content: FigureContent) -> Image:
    """Return the figure as an RGB picture.

    Parameters
    ----------
    content : FigureContent

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
        Two rows of panels: three columns with ground truth, two without.
    """
    sheet = _Sheet(content.image.shape[:2], columns=2 if content.target is None else 3)
    space = content.label_space
    scores = _scores(content)
    sheet.header(content.title, _summary(content, scores), content.note)
    sheet.panel(0, 0, "Photograph", "", content.image)
    sheet.panel(0, 1, "Prediction", content.model, pictures.color_labels(content.prediction, space))
    nats = content.mean_entropy * math.log(max(2, len(space)))
    sheet.panel(1, 0, "Entropy", f"mean {nats:.2f} nats", pictures.color_entropy(content.entropy))
    sheet.color_bar(1, 0, len(space))
    if content.target is not None:
        sheet.panel(0, 2, "Ground truth", "", pictures.color_labels(content.target, space))
        picture, share = pictures.mark_errors(
            content.image,
            content.target,
            content.prediction,
            content.entropy,
            ignore_index=space.ignore_index,
        )
        sheet.panel(1, 1, "Errors", f"{100 * share:.1f} % of the labelled pixels", picture)
        sheet.error_key(1, 1)
        sheet.legend(1, 2, _legend_rows(content, scores), with_iou=True)
    else:
        sheet.legend(1, 1, _legend_rows(content, scores), with_iou=False)
    return sheet.pixels()


@dataclass(frozen=True, slots=True)
class _LegendRow:
    color: Color
    name: str
    share: float
    iou: float


def _scores(content: FigureContent) -> tuple[NDArray[np.float64], float, float] | None:
    """Return IoU per class, their mean and the pixel accuracy; None without ground truth."""
    if content.target is None:
        return None
    space = content.label_space
    confusion = confusion_matrix(
        content.target, content.prediction, len(space), ignore_index=space.ignore_index
    )
    labelled = int(confusion.sum())
    accuracy = float(np.trace(confusion)) / labelled if labelled else math.nan
    return iou(confusion), float(mean_iou(confusion)), accuracy


def _summary(content: FigureContent, scores: tuple[Any, float, float] | None) -> str:
    height, width = content.image.shape[:2]
    parts = [f"{width} x {height} pixels"]
    if scores is None:
        parts.append(f"mean entropy {100 * content.mean_entropy:.0f} % of the largest possible")
    else:
        miou, accuracy = scores[1], scores[2]
        if not math.isnan(miou):
            parts.insert(0, f"mIoU {100 * miou:.1f} %")
            parts.insert(1, f"pixel accuracy {100 * accuracy:.1f} %")
    return "  ·  ".join(parts)


def _legend_rows(
    content: FigureContent, scores: tuple[NDArray[np.float64], float, float] | None
) -> list[_LegendRow]:
    """Return the classes that the prediction or the ground truth holds, by class index."""
    space = content.label_space
    predicted = np.bincount(content.prediction.ravel(), minlength=len(space))[: len(space)]
    present = predicted > 0
    if content.target is not None:
        present |= np.bincount(content.target.ravel(), minlength=len(space))[: len(space)] > 0
    return [
        _LegendRow(
            entry.color,
            entry.name.split(";")[0],
            float(predicted[entry.index]) / content.prediction.size,
            math.nan if scores is None else float(scores[0][entry.index]),
        )
        for entry in space.classes
        if present[entry.index]
    ]


class _Sheet:
    """A white sheet with a header and a grid of panels of one size."""

    def __init__(self, image_size: tuple[int, int], *, columns: int) -> None:
        height, width = image_size
        scale = min(_PANEL_WIDTH / width, _PANEL_HEIGHT / height)
        self._panel = (max(1, round(height * scale)), max(1, round(width * scale)))
        # A tall image has narrow panels, but legend and captions need their room.
        self._cell_width = max(self._panel[1], 320)
        self._cell_height = max(self._panel[0], 250)
        total_width = 2 * _MARGIN + columns * self._cell_width + (columns - 1) * _GAP
        rows = 2 * (_CAPTION + self._cell_height) + _GAP + _FOOT
        self._sheet = PilImage.new("RGB", (total_width, 2 * _MARGIN + _HEADER + rows), _PAPER)
        self._draw = ImageDraw.Draw(self._sheet)
        self._fonts = {size: ImageFont.load_default(size) for size in (12, 14, 16, 26)}

    def pixels(self) -> Image:
        """Return the sheet's pixels."""
        return np.asarray(self._sheet)

    def header(self, title: str, summary: str, note: str) -> None:
        """Write the title line and the line below it."""
        self._text((_MARGIN, _MARGIN - 6), self._clipped(title, 26, self._width()), 26)
        line = summary + (f"  ·  {note}" if note else "")
        self._text((_MARGIN, _MARGIN + 30), self._clipped(line, 16, self._width()), 16, _GREY)
        y = _MARGIN + 60
        self._draw.line((_MARGIN, y, _MARGIN + self._width(), y), fill=_LINE)

    def panel(self, row: int, column: int, name: str, remark: str, picture: Image) -> None:
        """Place a picture with its caption."""
        left, top = self._corner(row, column)
        height, width = self._panel
        self._caption(left, top, name, remark)
        shrinks = picture.shape[0] > height
        # Enlarged by whole blocks, so that what is one pixel wide stays visible and sharp.
        method = cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
        if name == "Photograph" and not shrinks:
            method = cv2.INTER_LINEAR
        resized = cv2.resize(picture, (width, height), interpolation=method)
        self._sheet.paste(PilImage.fromarray(resized.astype(np.uint8)), (left, top))
        self._draw.rectangle((left, top, left + width - 1, top + height - 1), outline=_LINE)

    def color_bar(self, row: int, column: int, classes: int) -> None:
        """Draw the scale of the entropy below its panel."""
        left, top = self._corner(row, column)
        width = self._panel[1]
        y = top + self._panel[0] + 10
        ramp = np.linspace(0, 255, width).astype(np.uint8)[None].repeat(10, 0)
        self._sheet.paste(PilImage.fromarray(pictures.color_entropy(ramp)), (left, y))
        most = math.log(max(2, classes))
        self._text((left, y + 15), "0, sure", 12, _GREY)
        self._text((left + width // 2, y + 15), f"{most / 2:.2f}", 12, _GREY, anchor="ma")
        end = f"log {classes} = {most:.2f} nats, guessing"
        self._text((left + width, y + 15), end, 12, _GREY, anchor="ra")

    def error_key(self, row: int, column: int) -> None:
        """Explain the colours of the error map below its panel."""
        left, top = self._corner(row, column)
        y = top + self._panel[0] + 11
        x = left
        entries = (
            (pictures.SURE_ERROR, "wrong and sure"),
            (pictures.UNSURE_ERROR, "wrong, unsure"),
            (pictures.UNLABELLED, "not labelled"),
        )
        for color, text in entries:
            self._draw.rectangle((x, y, x + 12, y + 12), fill=color, outline=_LINE)
            self._text((x + 19, y - 1), text, 14, _GREY)
            x += 19 + round(self._fonts[14].getlength(text)) + 20

    def legend(self, row: int, column: int, rows: list[_LegendRow], *, with_iou: bool) -> None:
        """List classes with their colour, share of the prediction and IoU."""
        left, top = self._corner(row, column)
        right = left + self._cell_width
        self._caption(left, top, "Classes present", "")
        share_at = right - (72 if with_iou else 0)
        self._text((share_at, top), "share %", 12, _GREY, anchor="ra")
        if with_iou:
            self._text((right, top), "IoU %", 12, _GREY, anchor="ra")
        height = 24
        room = (self._cell_height + _FOOT - 22) // height
        shown = rows
        if len(rows) > room:
            shown = sorted(rows, key=lambda entry: -entry.share)[: room - 1]
        y = top + 20
        for entry in shown:
            self._draw.line((left, y, right, y), fill=_LINE)
            self._draw.rectangle((left, y + 5, left + 22, y + 18), fill=entry.color, outline=_LINE)
            name = self._clipped(entry.name, 14, share_at - left - 90)
            self._text((left + 34, y + 4), name, 14)
            self._text((share_at, y + 4), _share(entry.share), 14, anchor="ra")
            if with_iou:
                value = "-" if math.isnan(entry.iou) else f"{100 * entry.iou:.1f}"
                self._text((right, y + 4), value, 14, anchor="ra")
            y += height
        if len(shown) < len(rows):
            self._text((left, y + 4), f"and {len(rows) - len(shown)} more", 14, _GREY)

    def _caption(self, left: int, top: int, name: str, remark: str) -> None:
        self._text((left, top - 24), name, 16)
        if remark:
            room = self._panel[1] - round(self._fonts[16].getlength(name)) - 16
            clipped = self._clipped(remark, 14, room)
            self._text((left + self._panel[1], top - 22), clipped, 14, _GREY, anchor="ra")

    def _corner(self, row: int, column: int) -> tuple[int, int]:
        left = _MARGIN + column * (self._cell_width + _GAP)
        top = _MARGIN + _HEADER + _CAPTION + row * (self._cell_height + _CAPTION + _GAP)
        return left, top

    def _width(self) -> int:
        return self._sheet.width - 2 * _MARGIN

    def _clipped(self, text: str, size: int, room: float) -> str:
        font = self._fonts[size]
        if font.getlength(text) <= room:
            return text
        while text and font.getlength(text + "...") > room:
            text = text[:-1]
        return text.rstrip() + "..."

    def _text(
        self,
        place: tuple[int, int],
        text: str,
        size: int,
        color: Color = _INK,
        anchor: str = "la",
    ) -> None:
        self._draw.text(place, text, font=self._fonts[size], fill=color, anchor=anchor)


def _share(value: float) -> str:
    return "<0.1" if 0 < value < 0.0005 else f"{100 * value:.1f}"
