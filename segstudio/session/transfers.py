"""Exports and imports of the open project as jobs, with what there is to say about them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from psygnal import Signal

from segstudio.core.errors import SegStudioError, UsageError
from segstudio.core.label_space import LabelMapping, LabelSpace
from segstudio.exporters._writing import existing_places
from segstudio.exporters.base import EXPORTERS, ExportItem
from segstudio.session.events import PredictionReady
from segstudio.session.exporting import export_label_space
from segstudio.session.imports import ImportRequest, default_run_name, import_run
from segstudio.session.thread_jobs import Progress, ThreadJobs

if TYPE_CHECKING:
    from segstudio.session.session import Session

__all__ = ["ExistingFiles", "TransferDone", "Transfers"]


@dataclass(frozen=True, slots=True)
class ExistingFiles:
    """How much of an export is there already.

    Attributes
    ----------
    there, total : int
        Files.
    first : str
        One that is there, POSIX below the destination; "" when none is.
    """

    there: int
    total: int
    first: str


@dataclass(frozen=True, slots=True)
class TransferDone:
    """An export or import that came to its end.

    Attributes
    ----------
    kind : {"export", "import"}
    job_id : str
    sentence : str
        What was done.
    notes : tuple of str
        What could not be expressed, or was left out.
    failed : int
        Samples that failed.
    run : str
        The run that was imported.
    """

    kind: Literal["export", "import"]
    job_id: str
    sentence: str
    notes: tuple[str, ...]
    failed: int = 0
    run: str = ""


class Transfers:
    """What leaves and enters the project of a session.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    finished : Signal(TransferDone)
        Comes from the job's thread.
    jobs : ThreadJobs
    """

    finished = Signal(TransferDone)

    def __init__(self, session: Session) -> None:
        self._session = session
        self.jobs = ThreadJobs(session)

    # -- exports ----------------------------------------------------------------------------

    def remarks(self, exporter: str, what: str, options: Any = None) -> list[str]:
        """Return what an exporter cannot express of a source's label space; nothing is read.

        Raises
        ------
        UsageError
            When it cannot express it at all.
        """
        dataset = self._session.dataset
        if dataset is None:
            raise UsageError("No dataset is open.")
        space = export_label_space(dataset, self._session.store, self._session.layout, what)
        if space is None:
            return []
        entry = EXPORTERS.get(exporter)()
        chosen = entry.Options() if options is None else options
        entry.places([], space, chosen)  # refuses what it cannot express
        return list(entry.remarks(space, chosen))

    def find_existing(
        self, exporter: str, destination: Path, what: str, options: Any = None
    ) -> ExistingFiles:
        """Return how many of an export's files are there already; no pixel is read.

        Raises
        ------
        UsageError
            When there is nothing to export, or it cannot be expressed.
        """
        items, space = self._session.export_items(what)
        places = EXPORTERS.get(exporter)().places(items, space, options)
        there = existing_places(places, destination)
        return ExistingFiles(len(there), len(places), there[0] if there else "")

    def start_export(
        self,
        exporter: str,
        destination: Path,
        *,
        what: str = "corrections",
        options: Any = None,
        existing: Literal["refuse", "replace", "keep"] = "refuse",
    ) -> str:
        """Export in a job and return its id; stopped, it goes on with ``existing="keep"``.

        Raises
        ------
        UsageError
            When there is nothing to export.
        """
        items, space = self._session.export_items(what)
        work = partial(
            self._export, exporter, destination, items, space, options, existing, len(items)
        )
        title = f"Export {exporter} to {destination.name or destination}"
        return self.jobs.start(title, len(items), work, unit="exported")

    def _export(
        self,
        exporter: str,
        destination: Path,
        items: list[ExportItem],
        space: LabelSpace,
        options: Any,
        existing: Literal["refuse", "replace", "keep"],
        total: int,
        progress: Progress,
    ) -> str:
        entry = EXPORTERS.get(exporter)()
        failed: list[str] = []

        def fail(item: ExportItem, error: SegStudioError) -> None:
            failed.append(item.sample.sample_id)
            progress.fail(item.sample.sample_id, str(error))

        written = entry.write(
            items,
            destination,
            label_space=space,
            options=options,
            existing=existing,
            on_written=lambda item: progress.step(),
            on_failed=fail,
        )
        noun = "file" if len(written) == 1 else "files"
        sentence = f"{len(written)} {noun} in {destination}"
        if failed:
            sentence += f"; {len(failed)} of {total} images failed"
        self.finished.emit(
            TransferDone("export", progress.job_id, f"{sentence}.", tuple(entry.notes), len(failed))
        )
        return sentence

    # -- imports ----------------------------------------------------------------------------

    def start_import(
        self,
        predictions: Path,
        *,
        name: str | None = None,
        values: str = "indices",
        label_space: LabelSpace | None = None,
        mapping: LabelMapping | None = None,
    ) -> str:
        """Bring predictions of another program in as a run, in a job; return its id.

        Raises
        ------
        UsageError
            When no dataset is open.
        """
        session = self._session
        dataset = session.dataset
        if dataset is None:
            raise UsageError("No dataset is open.")
        request = ImportRequest(dataset, predictions, name, values, label_space, mapping)
        title = f"Import {name or default_run_name(predictions)}"
        return self.jobs.start(title, len(dataset), partial(self._import, request))

    def _import(self, request: ImportRequest, progress: Progress) -> str:
        session = self._session
        generation = session.generation

        def done(sample_id: str, run: str, miou: float | None) -> None:
            progress.step()
            session.prediction_ready.emit(
                PredictionReady(sample_id, run, generation, miou, 0.0, None)
            )

        result = import_run(
            request, session.store, session.layout, on_done=done, on_failed=progress.fail
        )
        noun = "image" if result.done == 1 else "images"
        sentence = f"{result.done} {noun} in the run {result.run}"
        self.finished.emit(
            TransferDone(
                "import",
                progress.job_id,
                f"{sentence}.",
                result.notes,
                len(result.failed),
                result.run,
            )
        )
        return sentence
