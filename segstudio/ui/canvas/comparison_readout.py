"""What the models say of the pixel under the pointer."""

from __future__ import annotations

from segstudio.analysis.side_by_side import ComparedImage, ComparedRun
from segstudio.core.label_space import LabelSpace
from segstudio.ui.canvas.comparison_paint import Pointed
from segstudio.ui.models.legend import short_name
from segstudio.ui.palettes import ClassColor

__all__ = ["read_pixel"]


def read_pixel(compared: ComparedImage, row: int, col: int) -> tuple[list[Pointed], str]:
    """Return what each model says of a pixel, and all of it in one line.

    Parameters
    ----------
    compared : ComparedImage
    row, col : int
        Inside the image.
    """
    values = [_pointed(run, row, col) for run in compared.runs]
    parts = [f"row {row}  col {col}"]
    for title, label_map, space in (
        ("correction", compared.correction, compared.correction_space),
        ("ground truth", compared.target, compared.target_space),
    ):
        if label_map is not None and space is not None:
            parts.append(f"{title} {_class_name(space, int(label_map[row, col]))}")
    for run, value in zip(compared.runs, values, strict=True):
        if value.text:
            parts.append(f"{run.run} {value.text}")
    return values, "   \N{MIDDLE DOT}   ".join(parts)


def _class_name(space: LabelSpace, value: int) -> str:
    return short_name(space.classes[value].name) if value < len(space) else "unlabelled"


def _pointed(run: ComparedRun, row: int, col: int) -> Pointed:
    """Return what a run says of a pixel: its class, and its entropy over log C."""
    if run.labels is None:
        return Pointed("")
    value = int(run.labels[row, col])
    color = ClassColor.of(run.space.classes[value]) if value < len(run.space) else None
    text = _class_name(run.space, value)
    if run.entropy is not None:
        text += f"  H {int(run.entropy[row, col]) / 255:.2f}"
    return Pointed(text, color)
