"""What a correction starts from: a saved mask, a run, ground truth; and its journal's strokes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from segstudio.core.errors import (
    LabelValueError,
    SegStudioError,
    SizeMismatchError,
    UsageError,
)
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import LabelMap, Sample
from segstudio.datasets.base import Dataset
from segstudio.datasets.images import read_image_size
from segstudio.datasets.large import read_label_map, store_rows
from segstudio.datasets.scratch import is_large, release_freed
from segstudio.editing.document import MaskDocument, fingerprint
from segstudio.editing.history import HistoryPool
from segstudio.editing.journal import Journal, JournalHeader, Recovered, recover
from segstudio.editing.live_scores import LiveConfusion
from segstudio.editing.recovery import open_recovered
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import Store
from segstudio.session.targets import build_target_reader

__all__ = ["GROUND_TRUTH", "Beginnings", "read_mask"]

GROUND_TRUTH = "ground-truth"
"""The source of a correction that starts from the ground truth."""


def read_mask(path: Path, space: LabelSpace) -> LabelMap:
    """Return a stored label map in the type of its label space.

    Raises
    ------
    SegStudioError
        When it cannot be read or holds what the label space does not know.
    """
    return read_label_map(path, space)


class Beginnings:
    """Finds what corrections of a project start from; see `segstudio.session.corrections`.

    Parameters
    ----------
    dataset : Dataset
    layout, store : ProjectLayout, Store

    Attributes
    ----------
    pool : HistoryPool
        The edit histories of all samples.
    """

    def __init__(self, dataset: Dataset, layout: ProjectLayout, store: Store) -> None:
        self._dataset, self._layout, self._store = dataset, layout, store
        self.pool = HistoryPool()

    def space(self, sample_id: str, source: str | None, fallback: LabelSpace | None) -> LabelSpace:
        """Return what is painted in: that of the saved mask, else the source's, else another.

        Raises
        ------
        UsageError
            When none is known.
        """
        saved = self._store.correction_label_space(sample_id)
        if saved is not None and self._layout.correction(sample_id).exists():
            return saved
        if source is not None and source != GROUND_TRUTH:
            return self._store.run(source).label_space
        space = self._dataset.label_space or fallback
        if space is None:
            raise UsageError(
                "Nothing says which classes to paint: run a model or choose a label space first."
            )
        return space

    def source_map(self, sample: Sample, source: str | None, space: LabelSpace) -> LabelMap:
        """Return what a run, the ground truth or (None) an empty map says of a sample.

        Raises
        ------
        SegStudioError
            When there is nothing, or a file cannot be read.
        """
        if source is None:
            return self._empty(sample, space)
        if source == GROUND_TRUTH:
            return self._dataset.read_target(sample, space)
        path = self._layout.layer(source, "labels", sample.sample_id)
        if not path.exists():
            raise UsageError(f"The run {source} has no prediction of {sample.sample_id} yet.")
        return read_mask(path, space)

    def saved(self, sample: Sample, space: LabelSpace) -> LabelMap | None:
        """Return the saved correction, None when there is none; errors as `read_mask`."""
        path = self._layout.correction(sample.sample_id)
        return read_mask(path, space) if path.exists() else None

    @staticmethod
    def _empty(sample: Sample, space: LabelSpace) -> LabelMap:
        shape = read_image_size(sample.image_path)
        if not is_large(*shape):
            return np.full(shape, space.ignore_index, space.dtype)
        band = np.full((1024, shape[1]), space.ignore_index, space.dtype)
        key = f"empty|{shape}|{band.dtype}|{space.ignore_index}"
        return store_rows(
            key,
            shape,
            band.dtype,
            lambda: (band[: shape[0] - top] for top in range(0, shape[0], 1024)),
        )

    def with_journal(
        self, sample: Sample, base: LabelMap, space: LabelSpace
    ) -> tuple[MaskDocument, Journal, int, str]:
        """Make the document, with the strokes of its journal when there are any.

        A journal that does not fit is set aside by `Journal`, never overwritten; the sentence says
        so.
        """
        path = self._layout.journal(sample.sample_id)
        history = self.pool.history(sample.sample_id)
        found = recover(path)
        document, count, on_its_base, note = None, 0, False, ""
        if found is not None and found.strokes:
            base = self._painted_on(found, sample, base, space)
            on_its_base = fingerprint(base) == found.base_fingerprint
            try:
                document, count = open_recovered(
                    found,
                    base,
                    classes=len(space),
                    ignore_index=space.ignore_index,
                    history=history,
                )
            except (SizeMismatchError, LabelValueError) as error:
                history.clear()
                on_its_base = False
                note = f"{error} They are kept beside {path}."
        if document is None:
            document = MaskDocument(
                base, classes=len(space), ignore_index=space.ignore_index, history=history
            )
        height, width = document.shape
        if count and is_large(height, width):
            release_freed()
        header = JournalHeader(
            sample.sample_id, fingerprint(base), height, width, document.dtype.name
        )
        document.journal = Journal(path, header, resumed=found if on_its_base else None)
        if count and not on_its_base:
            # The old journal was set aside; what it held goes into the new one.
            _enter_again(document, count)
        return document, document.journal, count, note

    def _painted_on(
        self, found: Recovered, sample: Sample, base: LabelMap, space: LabelSpace
    ) -> LabelMap:
        """Return the label map of a journal's fingerprint, ``base`` when none has it."""
        for candidate in (base, *self._candidates(sample, space)):
            if fingerprint(candidate) == found.base_fingerprint:
                return candidate
        return base

    def _candidates(self, sample: Sample, space: LabelSpace) -> Iterator[LabelMap]:
        backup = self._layout.correction_backup(sample.sample_id)
        if backup.exists():  # killed after the file was replaced and before the journal was
            with contextlib.suppress(SegStudioError):
                yield read_mask(backup, space)
        yield self._empty(sample, space)
        for record in self._store.runs():
            with contextlib.suppress(SegStudioError):
                yield self.source_map(sample, record.run, space)
        if sample.target_path is not None:
            with contextlib.suppress(SegStudioError):
                yield self.source_map(sample, GROUND_TRUTH, space)

    def live(
        self, sample: Sample, document: MaskDocument, space: LabelSpace
    ) -> LiveConfusion | None:
        """Return scores that follow a document, None without comparable ground truth."""
        if sample.target_path is None:
            return None
        try:
            reader = build_target_reader(self._dataset, space)
            return None if reader is None else LiveConfusion(reader.read_target(sample), document)
        except SegStudioError:
            return None  # no comparable ground truth: painting goes on without live scores


def _enter_again(document: MaskDocument, count: int) -> None:
    """Write the last ``count`` strokes of a document's history into its journal."""
    journal, document.journal = document.journal, None
    undone = 0
    while undone < count and document.undo() is not None:
        undone += 1
    document.journal = journal
    for _ in range(undone):
        document.redo()
