"""Saving a correction while it is painted: begun and finished with the strokes, written beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segstudio.core.errors import UsageError
from segstudio.datasets.encoding import encode_png
from segstudio.project.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from segstudio.session.corrections import Correction

__all__ = ["Saving"]


class Saving:
    """One save of one correction.

    Made and finished in the thread that strokes come from; `write` may run in any.  The label map
    is read in place, never copied: when a stroke changes it meanwhile, nothing is written.

    Parameters
    ----------
    correction : Correction
    store : Store
    report : callable
        Receives a sentence that a person has to read.
    automatic : bool
        Whether nobody asked for it.  Such a save continues the revision before; one that was
        asked for begins a new one, and what was there becomes the backup.

    Raises
    ------
    UsageError
        When a stroke is not finished.
    """

    def __init__(
        self,
        correction: Correction,
        store: Store,
        report: Callable[[str], None],
        *,
        automatic: bool,
    ) -> None:
        document = correction.document
        if document.in_stroke:
            raise UsageError(f"A stroke on {correction.sample_id} is not finished yet.")
        self.correction = correction
        self._store, self._report, self._automatic = store, report, automatic
        self._revision, self._state = document.revision, document.state
        self._mark = correction.journal.mark
        self._is_written = False

    def write(self) -> bool:
        """Write the label map over its file and forget the strokes that it holds.

        Returns
        -------
        bool
            False when the map was painted on meanwhile: nothing was written, try again later.

        Raises
        ------
        WriteError
            When it cannot be written; the strokes stay in the journal.
        """
        correction = self.correction
        with correction.saving:
            if correction.document.revision != self._revision:
                return False
            data = encode_png(correction.document.label_map)
            fingerprint = correction.document.fingerprint()
            # The document counts before it writes: what was read is whole when this still holds.
            if correction.document.revision != self._revision:
                return False
            continues = correction.continues_revision
            kept = correction.file.replace(
                data,
                keep_backup=not continues,
                before_it_counts=lambda: self._enter(renew=continues),
            )
            correction.continues_revision = self._automatic
            # Only now: until the file is in place the journal is all there is.
            correction.journal.truncate(fingerprint, upto=self._mark)
            self._is_written = True
        if kept is not None:
            self._report(
                f"Another program had changed the mask of {correction.sample_id}; yours is saved "
                f"and the other one is kept as {kept}."
            )
        return True

    def finish(self) -> None:
        """Let the document know what is saved; nothing happens unless `write` succeeded."""
        if self._is_written:
            self.correction.document.mark_saved(self._state)

    def _enter(self, *, renew: bool) -> None:
        correction = self.correction
        self._store.add_correction(
            correction.sample_id, correction.label_space, correction.source, renew=renew
        )
