"""Reading and drawing an image for the comparison grid; for a thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from segstudio.analysis.side_by_side import (
    CellStyle,
    ComparedImage,
    ComparedRun,
    Key,
    classes_present,
)
from segstudio.core.errors import SegStudioError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import LabelMap
from segstudio.session.session import Session
from segstudio.ui.canvas.comparison_picture import CellKey, GridCell, build_cells
from segstudio.ui.controllers.desk import Shown

__all__ = ["BuiltImage", "read_image"]


@dataclass(frozen=True, eq=False)
class BuiltImage:
    """What a thread has read and drawn of an image.

    Attributes
    ----------
    compared : ComparedImage
    cells : dict of CellKey to GridCell
    classes : tuple of Key
        For the legend.
    read : dict of (str, str) to ComparedRun
        What was not known before, by sample and run.
    problem : str
        Why the correction is missing, "" when it is not.
    """

    compared: ComparedImage
    cells: dict[CellKey, GridCell]
    classes: tuple[Key, ...]
    read: dict[tuple[str, str], ComparedRun]
    problem: str


def read_image(
    session: Session,
    shown: Shown,
    runs: Sequence[str],
    pair: tuple[str, str],
    known: Mapping[str, ComparedRun],
    keys: Sequence[CellKey],
    style: CellStyle,
) -> BuiltImage:
    """Read what is not known of an image and draw cells.

    Parameters
    ----------
    session : Session
    shown : Shown
        The image with what the desk has read of it.
    runs : sequence of str
        The rows.
    pair : (str, str)
        A and b; empty without any.
    known : mapping of str to ComparedRun
        What was read before, by run.
    keys : sequence of CellKey
        The cells to draw.
    style : CellStyle
    """
    shape = shown.image.shape[0], shown.image.shape[1]
    rows, read = [], {}
    for run in runs:
        entry = known.get(run)
        if entry is None:
            entry = _read_run(session, shown, run, shape)
            read[shown.sample_id, run] = entry
        rows.append(entry)
    correction, problem = _read_correction(session, shown.sample_id, shape)
    dataset = session.dataset
    space = dataset.label_space if dataset is not None else None
    inside = all(run in runs for run in pair)
    compared = ComparedImage(
        shown.sample_id,
        shown.image,
        tuple(rows),
        shown.target,
        space or session.label_space,
        None if correction is None else correction[0],
        None if correction is None else correction[1],
        (runs.index(pair[0]), runs.index(pair[1])) if inside else None,
    )
    cells = build_cells(compared, keys, style) if runs else {}
    return BuiltImage(compared, cells, classes_present(compared), read, problem)


def _read_run(session: Session, shown: Shown, run: str, shape: tuple[int, int]) -> ComparedRun:
    """Return a run's layers; those of the run on the desk are there already."""
    if shown.run == run and shown.prediction is not None and shown.run_space is not None:
        return ComparedRun(run, shown.run_space, shown.prediction, shown.entropy)
    return session.comparisons.read_run(run, shown.sample_id, shape)


def _read_correction(
    session: Session, sample_id: str, shape: tuple[int, int]
) -> tuple[tuple[LabelMap, LabelSpace] | None, str]:
    """Return the correction as it is painted, else as it was saved; and what went wrong."""
    opened = session.corrections.get(sample_id)
    if opened is not None:
        return (opened.document.label_map, opened.label_space), ""
    try:
        return session.comparisons.read_correction(sample_id, shape), ""
    except SegStudioError as error:
        return None, str(error)
