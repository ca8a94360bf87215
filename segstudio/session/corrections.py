"""Corrected label maps: opening, painting, journals, saving, recovery."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from segstudio.core.atomic import make_folder
from segstudio.core.background import step_back
from segstudio.core.errors import SegStudioError, UsageError, WriteError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import LabelMap
from segstudio.datasets.base import Dataset
from segstudio.editing.document import MaskDocument
from segstudio.editing.journal import Journal
from segstudio.editing.live_scores import LiveConfusion
from segstudio.project.layout import ProjectLayout
from segstudio.project.locks import CorrectionLock
from segstudio.project.mask_file import MaskFile
from segstudio.project.store import Store
from segstudio.session.beginnings import GROUND_TRUTH, Beginnings, read_mask
from segstudio.session.saving import Saving

__all__ = ["GROUND_TRUTH", "Correction", "Corrections"]


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
    file : MaskFile
        Where it is saved.
    lock : CorrectionLock
        Keeps other windows out.
    note : str
        A sentence on strokes that could not be brought back, else "".
    continues_revision : bool
        Whether the next save belongs to the same revision as the last.
    saving : Lock
        Held while it is written.
    """

    sample_id: str
    document: MaskDocument
    label_space: LabelSpace
    source: str | None
    source_map: LabelMap
    live: LiveConfusion | None
    recovered_strokes: int
    journal: Journal
    file: MaskFile
    lock: CorrectionLock
    note: str = ""
    continues_revision: bool = False
    saving: threading.Lock = field(default_factory=threading.Lock)


class Corrections:
    """The corrections of one project.

    Parameters
    ----------
    dataset : Dataset
    layout, store : ProjectLayout, Store
    report : callable
        Receives sentences of saves that nobody waits for; from any thread.
    """

    def __init__(
        self,
        dataset: Dataset,
        layout: ProjectLayout,
        store: Store,
        report: Callable[[str], None] = lambda _sentence: None,
    ) -> None:
        self._dataset = dataset
        self._report = report
        self._start_from = Beginnings(dataset, layout, store)
        self._layout = layout
        self._store = store
        self._open: dict[str, Correction] = {}
        # Two threads that open one sample must get one document: strokes on a second one would
        # never be saved.
        self._lock = threading.RLock()
        self._leaving: dict[str, Future[bool]] = {}
        self._leaver: ThreadPoolExecutor | None = None

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
        while True:
            with self._lock:
                leaving = self._leaving.get(sample_id)
                if leaving is None:
                    if sample_id not in self._open:
                        self._open[sample_id] = self._start(sample_id, source, fallback)
                    return self._open[sample_id]
            leaving.result()  # it is being saved just now

    def _start(self, sample_id: str, source: str | None, fallback: LabelSpace | None) -> Correction:
        """Make a correction; see `open`."""
        sample = self._dataset.sample(sample_id)
        layout = self._layout
        lock = CorrectionLock(layout.correction_lock(sample_id), sample_id)
        try:
            space = self._start_from.space(sample_id, source, fallback)
            source_map = self._start_from.source_map(sample, source, space)
            file = MaskFile(
                layout.correction(sample_id),
                backup=layout.correction_backup(sample_id),
                conflict=layout.correction_conflict(sample_id),
            )
            saved = self._start_from.saved(sample, space)
            base = source_map if saved is None else saved
            document, journal, recovered, note = self._start_from.with_journal(sample, base, space)
        except BaseException:
            lock.release()
            raise
        live = self._start_from.live(sample, document, space)
        return Correction(
            sample_id,
            document,
            space,
            source,
            source_map,
            live,
            recovered,
            journal,
            file,
            lock,
            note,
        )

    def begin_save(self, sample_id: str, *, automatic: bool = False) -> Saving:
        """Begin to save a correction; see `Saving`.

        Raises
        ------
        UsageError
            When the sample is not open, or a stroke is not finished.
        """
        correction = self._open.get(sample_id)
        if correction is None:
            raise UsageError(f"{sample_id} is not open for correction.")
        return Saving(correction, self._store, self._report, automatic=automatic)

    def save(self, sample_id: str) -> Path:
        """Write a correction over its file and empty its journal, in one go.

        Raises
        ------
        UsageError
            When the sample is not open.
        WriteError
            When it cannot be written; the strokes stay in the journal.
        """
        saving = self.begin_save(sample_id)
        saving.write()
        saving.finish()
        return self._layout.correction(sample_id)

    def previous(self, sample_id: str) -> LabelMap | None:
        """Return the revision before the one worked on, None when there is none.

        Raises
        ------
        SegStudioError
            When its file cannot be read or does not fit the label space.
        """
        correction = self._open.get(sample_id)
        if correction is None or not correction.file.backup.exists():
            return None
        return read_mask(correction.file.backup, correction.label_space)

    def read_saved(self, sample_id: str) -> LabelMap | None:
        """Return the saved correction of a sample, None when there is none.

        Raises
        ------
        SegStudioError
            When its file cannot be read or does not fit its label space.
        """
        space = self._store.correction_label_space(sample_id)
        path = self._layout.correction(sample_id)
        return None if space is None or not path.exists() else read_mask(path, space)

    def remove(self, sample_id: str, *, source: str) -> bool:
        """Remove a saved correction that comes from ``source`` and was not painted on since.

        Its file becomes the backup.  Returns whether it was removed: not when the sample is open,
        has strokes that are not saved, or was saved again.
        """
        with self._lock:
            path = self._layout.correction(sample_id)
            busy = sample_id in self._open or sample_id in self._leaving
            if busy or self._layout.journal(sample_id).exists() or not path.exists():
                return False
            if self._store.correction_sources(sample_id) != [source]:
                return False
            backup = self._layout.correction_backup(sample_id)
            make_folder(backup.parent)
            try:
                path.replace(backup)
            except OSError as error:
                raise WriteError.from_os_error(path, error) from error
            self._store.forget_correction(sample_id)
            self._start_from.pool.forget(sample_id)
            return True

    def leave(self, sample_id: str) -> Future[bool]:
        """Save what is unsaved and close a correction, in a thread; nothing is waited for.

        Called where strokes come from.  Opening the sample again waits until it is done.  What
        cannot be saved stays in the journal and is reported.

        Returns
        -------
        Future of bool
            Whether something was saved; it never fails.
        """
        with self._lock:
            correction = self._open.pop(sample_id, None)
            future: Future[bool]
            if correction is None:
                future = Future()
                future.set_result(False)
                return future
            correction.document.abort_stroke()
            if correction.live is not None:
                correction.live.close()
            if self._leaver is None:
                self._leaver = ThreadPoolExecutor(1, "corrections", initializer=step_back)
            future = self._leaver.submit(self._put_away, correction)
            self._leaving[sample_id] = future
        return future

    @contextlib.contextmanager
    def borrowed(
        self, sample_id: str, *, source: str | None, fallback: LabelSpace | None = None
    ) -> Iterator[Correction]:
        """Open a sample that nobody has open, change it in any thread, and save it at the end.

        Whoever opens it meanwhile waits.  When the body fails nothing is saved.  Strokes that were
        not saved before are saved with it.

        Raises
        ------
        UsageError
            When the sample is open.
        SegStudioError
            See `open` and `save`.
        """
        lent: Future[bool] = Future()
        while True:
            with self._lock:
                if sample_id in self._open:
                    raise UsageError(f"{sample_id} is being painted; go to another image first.")
                leaving = self._leaving.get(sample_id)
                if leaving is None:
                    self._leaving[sample_id] = lent
                    break
            leaving.result()
        correction: Correction | None = None
        try:
            correction = self._start(sample_id, source, fallback)
            if correction.live is not None:
                correction.live.close()
            yield correction
            if correction.document.is_dirty:
                saving = Saving(correction, self._store, self._report, automatic=False)
                saving.write()
                saving.finish()
        finally:
            try:
                if correction is not None:
                    self._shut(correction)
            finally:
                with self._lock:
                    del self._leaving[sample_id]
                lent.set_result(True)

    def _put_away(self, correction: Correction) -> bool:
        saved = False
        try:
            if correction.document.is_dirty:
                saving = Saving(correction, self._store, self._report, automatic=True)
                # Nobody is told: the document's listeners live in another thread.
                saved = saving.write()
        except SegStudioError as error:
            self._report(f"{error} The strokes are kept in the journal.")
        finally:
            try:
                self._shut(correction)
            except SegStudioError as error:
                self._report(str(error))
            with self._lock:
                del self._leaving[correction.sample_id]
        return saved

    @staticmethod
    def _shut(correction: Correction) -> None:
        document, journal = correction.document, correction.journal
        try:
            if journal.mark and not document.is_dirty:
                # Strokes that were all undone: there is nothing to bring back.
                journal.truncate(document.fingerprint())
            document.close()
            journal.close()
        finally:
            correction.lock.release()

    def release(self, sample_id: str) -> None:
        """Close a correction; unsaved strokes stay in its journal, its history in memory."""
        with self._lock:
            correction = self._open.pop(sample_id, None)
            if correction is None:
                return
            if correction.live is not None:
                correction.live.close()
            self._shut(correction)

    def close(self) -> None:
        """Close every correction, once those that are left are saved."""
        if self._leaver is not None:
            self._leaver.shutdown()
            self._leaver = None
        for sample_id in list(self._open):
            self.release(sample_id)
