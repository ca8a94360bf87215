"""What the stored errors of a run are as bars and rows."""

from __future__ import annotations

import numpy as np

from segstudio.analysis.definitions import ERROR_DEFINITIONS
from segstudio.analysis.taxonomy import ErrorKind, iou_if_fixed
from segstudio.metrics.scores import iou, mean_defined
from segstudio.metrics.uncertainty import ratio
from segstudio.session.error_analysis import ErrorSummary
from segstudio.ui.models import share
from segstudio.ui.models.legend import short_name
from segstudio.ui.models.objects import ObjectRow, size_titles
from segstudio.ui.models.regions import kind_title
from segstudio.ui.palettes import ClassColor
from segstudio.ui.panels.kinds import Bar

__all__ = ["count_text", "error_bars", "object_rows"]


def error_bars(summary: ErrorSummary) -> tuple[list[Bar], list[Bar], list[Bar]]:
    """Return the bars of the kinds, of the boundaries and of the sizes."""
    kinds = [
        Bar(
            kind_title(kind),
            f"{ERROR_DEFINITIONS[kind.name.lower()]}\n{ERROR_DEFINITIONS['if fixed']}\n"
            f"{count_text(int(summary.pixels[kind]))} wrong pixels. A click lists its regions.",
            summary.miou,
            gain=float(summary.if_fixed[kind]),
            note=share(float(summary.shares[kind])),
            key=kind,
        )
        for kind in ErrorKind
    ]
    boundary = [
        Bar("Boundary IoU", ERROR_DEFINITIONS["boundary_iou"], summary.mean_boundary_iou),
        Bar("mIoU", "Of the analysed images, pooled.", summary.miou),
    ]
    titles = size_titles(summary.counts.size_edges)
    sizes = [
        Bar(title, ERROR_DEFINITIONS["by size"], float(value))
        for title, value in zip(titles, summary.size_miou, strict=True)
    ]
    return kinds, boundary, sizes


def object_rows(summary: ErrorSummary) -> list[ObjectRow]:
    """Return a row for each class, and the mean over classes."""
    taxonomy = summary.counts.taxonomy
    values = iou(taxonomy.confusion)
    inside = iou_if_fixed(taxonomy)[ErrorKind.BOUNDARY]
    classes = len(summary.label_space)
    # A wrong pixel is missed by one class and wrongly given to another; ignored ones to none.
    wrong = taxonomy.kinds.sum(2) + taxonomy.kinds[:, :, :classes].sum(1)
    shares = [
        ratio(int(part), int(whole))
        for part, whole in zip(wrong[ErrorKind.BOUNDARY], wrong.sum(0), strict=True)
    ]
    rows = [
        ObjectRow(
            short_name(entry.name),
            ClassColor.of(entry),
            float(values[entry.index]),
            float(summary.boundary_iou[entry.index]),
            float(inside[entry.index]),
            shares[entry.index],
            tuple(float(value) for value in summary.size_iou[:, entry.index]),
        )
        for entry in summary.label_space.classes
    ]
    pixels = summary.pixels
    mean = ObjectRow(
        "Mean over classes",
        None,
        summary.miou,
        summary.mean_boundary_iou,
        float(mean_defined(np.asarray(inside))),
        ratio(int(pixels[ErrorKind.BOUNDARY]), int(pixels.sum())),
        tuple(float(value) for value in summary.size_miou),
    )
    return [*rows, mean]


def count_text(number: int) -> str:
    """Return a count with narrow spaces between thousands."""
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
