"""Corrected label maps: opening, painting, journals, saving, recovery."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segstudio.core.errors import SegStudioError, SizeMismatchError, UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import LabelMap, Sample
from segstudio.datasets.base import Dataset
from segstudio.datasets.encoding import write_label_map
from segstudio.datasets.images import read_image_size, read_source_map
from segstudio.editing.document import MaskDocument, fingerprint
from segstudio.editing.history import HistoryPool
from segstudio.editing.journal import Journal, JournalHeader, Recovered, recover
from segstudio.editing.live_scores import LiveConfusion
from segstudio.editing.recovery import open_recovered
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import Store
from segstudio.session.targets import build_target_reader

__all__ = ["GROUND_TRUTH", "Correction", "Corrections"]

GROUND_TRUTH = "ground-truth"
"""The source of a correction that starts from the ground truth."""


@dataclass(eq=False)
class Correction:
    """A sample that is open for painting.

    Attributes
    ----------
    sample_id : str
    document : MaskDocument
        Paint here; strokes reach the journal by themselves.
    label_space : LabelSpace
        What the label map means.
    source : str or None
        Name of a run, `GROUND_TRUTH`, or None for an unlabelled map.
    source_map : ndarray of shape (H, W)
        What the source holds, for the eraser that restores.
    live : LiveConfusion or None
        Scores that follow each stroke, None without comparable ground truth.
    recovered_strokes : int
        Strokes taken over from a journal that was not saved.
    journal : Journal
    """

    sample_id: str
    document: MaskDocument
    label_space: LabelSpace
    source: str | None
    source_map: LabelMap
    live: LiveConfusion | None
    recovered_strokes: int
    journal: Journal


class Corrections:
    """The corrections of one project.

    Parameters
    ----------
    dataset : Dataset
    layout, store : ProjectLayout, Store
    """

    def __init__(self, dataset: Dataset, layout: ProjectLayout, store: Store) -> None:
        self._dataset = dataset
        self._layout = layout
        self._store = store
        self._pool = HistoryPool()
        self._open: dict[str, Correction] = {}
        # Two threads that open one sample must get one document: strokes on a second one would
        # never be saved.
        self._lock = threading.RLock()

    def unsaved(self) -> list[str]:
        """Return the samples whose journal holds strokes that were never saved."""
        return [self._layout.journal_sample_id(path) for path in self._layout.journals()]

    def get(self, sample_id: str) -> Correction | None:
        """Return the open correction of a sample, None when it is not open."""
        return self._open.get(sample_id)

    def open(
        self, sample_id: str, *, source: str | None, fallback: LabelSpace | None = None
    ) -> Correction:
        """Open a sample for painting, strokes recovered from its journal included.

        A saved correction is what painting goes on from; without one the source is copied.

        Parameters
        ----------
        sample_id : str
        source : str or None
            Name of a run, `GROUND_TRUTH`, or None to start unlabelled.
        fallback : LabelSpace, optional
            The label space when neither source nor dataset tells one.

        Raises
        ------
        UsageError
            When no label space is known, or the source has nothing for this sample.
        SegStudioError
            When a file cannot be read.
        """
        with self._lock:
            if sample_id not in self._open:
                self._open[sample_id] = self._start(sample_id, source, fallback)
            return self._open[sample_id]

    def _start(
        self, sample_id: str, source: str | None, fallback: LabelSpace | None
    ) -> Correction:
        """Make a correction; see `open`."""
        sample = self._dataset.sample(sample_id)
        space = self._space(sample_id, source, fallback)
        source_map = self._source_map(sample, source, space)
        saved = self._saved(sample, space)
        base = source_map if saved is None else saved
        document, journal, recovered = self._with_journal(sample, base, space)
        live = self._live(sample, document, space)
        return Correction(
            sample_id, document, space, source, source_map, live, recovered, journal
        )

    def save(self, sample_id: str) -> Path:
        """Write a correction over its file and empty its journal.

        Raises
        ------
        UsageError
            When the sample is not open.
        WriteError
            When it cannot be written; the strokes stay in the journal.
        """
        correction = self._open.get(sample_id)
        if correction is None:
            raise UsageError(f"{sample_id} is not open for correction.")
        path = self._layout.correction(sample_id)
        write_label_map(path, correction.document.label_map)
        self._store.add_correction(sample_id, correction.label_space, correction.source)
        # Only now: until the file is in place the journal is all there is.
        correction.journal.truncate(correction.document.fingerprint())
        correction.document.mark_saved()
        return path

    def release(self, sample_id: str) -> None:
        """Close a correction; unsaved strokes stay in its journal, its history in memory."""
        with self._lock:
            correction = self._open.pop(sample_id, None)
            if correction is None:
                return
            if correction.live is not None:
                correction.live.close()
            correction.document.close()
            correction.journal.close()

    def close(self) -> None:
        """Close every correction."""
        for sample_id in list(self._open):
            self.release(sample_id)

    # -- what a correction starts from ------------------------------------------------------

    def _space(self, sample_id: str, source: str | None, fallback: LabelSpace | None) -> LabelSpace:
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

    def _source_map(self, sample: Sample, source: str | None, space: LabelSpace) -> LabelMap:
        if source is None:
            return self._empty(sample, space)
        if source == GROUND_TRUTH:
            return self._dataset.read_target(sample, space)
        path = self._layout.layer(source, "labels", sample.sample_id)
        if not path.exists():
            raise UsageError(f"The run {source} has no prediction of {sample.sample_id} yet.")
        label_map = read_source_map(path).astype(space.dtype)
        space.check(label_map, path)
        return label_map

    def _saved(self, sample: Sample, space: LabelSpace) -> LabelMap | None:
        path = self._layout.correction(sample.sample_id)
        if not path.exists():
            return None
        label_map = read_source_map(path).astype(space.dtype)
        space.check(label_map, path)
        return label_map

    @staticmethod
    def _empty(sample: Sample, space: LabelSpace) -> LabelMap:
        return np.full(read_image_size(sample.image_path), space.ignore_index, space.dtype)

    def _with_journal(
        self, sample: Sample, base: LabelMap, space: LabelSpace
    ) -> tuple[MaskDocument, Journal, int]:
        """Make the document, with the strokes of its journal when there are any.

        A journal that does not fit in size is set aside by `Journal`, never overwritten.
        """
        path = self._layout.journal(sample.sample_id)
        history = self._pool.history(sample.sample_id)
        found = recover(path)
        document, count, on_its_base = None, 0, False
        if found is not None and found.strokes:
            base = self._painted_on(found, sample, base, space)
            on_its_base = fingerprint(base) == found.base_fingerprint
            with contextlib.suppress(SizeMismatchError):
                document, count = open_recovered(
                    found,
                    base,
                    classes=len(space),
                    ignore_index=space.ignore_index,
                    history=history,
                )
        if document is None:
            document = MaskDocument(
                base, classes=len(space), ignore_index=space.ignore_index, history=history
            )
        height, width = document.shape
        header = JournalHeader(
            sample.sample_id, fingerprint(base), height, width, document.dtype.name
        )
        document.journal = Journal(path, header, resumed=found if on_its_base else None)
        if count and not on_its_base:
            # The old journal was set aside; what it held goes into the new one.
            _enter_again(document, count)
        return document, document.journal, count

    def _painted_on(
        self, found: Recovered, sample: Sample, base: LabelMap, space: LabelSpace
    ) -> LabelMap:
        """Return the label map of a journal's fingerprint, ``base`` when none has it."""
        for candidate in (base, *self._candidates(sample, space)):
            if fingerprint(candidate) == found.base_fingerprint:
                return candidate
        return base

    def _candidates(self, sample: Sample, space: LabelSpace) -> Iterator[LabelMap]:
        yield self._empty(sample, space)
        for record in self._store.runs():
            with contextlib.suppress(SegStudioError):
                yield self._source_map(sample, record.run, space)
        if sample.target_path is not None:
            with contextlib.suppress(SegStudioError):
                yield self._source_map(sample, GROUND_TRUTH, space)

    def _live(
        self, sample: Sample, document: MaskDocument, space: LabelSpace
    ) -> LiveConfusion | None:
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
