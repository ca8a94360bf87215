"""One open dataset with everything a person does to it; no Qt, and no torch in this process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from psygnal import Signal

from segstudio.core.errors import UsageError
from segstudio.core.label_space import LabelMapping, LabelSpace
from segstudio.core.types import Image, LabelMap
from segstudio.datasets.base import Dataset
from segstudio.datasets.large import Progress, read_ids
from segstudio.datasets.opening import open_dataset
from segstudio.exporters.base import ExportItem
from segstudio.inference.catalogue import ModelInfo
from segstudio.project.layout import LAYERS, MORE_LAYERS, ProjectLayout, choose_project_folder
from segstudio.project.opening import open_store, repair_store
from segstudio.project.store import RunRecord, Store
from segstudio.session.comparing import Comparisons
from segstudio.session.corrections import Correction, Corrections
from segstudio.session.downloads import Downloads
from segstudio.session.errors_job import ErrorJobs
from segstudio.session.events import JobState, ModelReport, PredictionReady, SampleFailed
from segstudio.session.exporting import collect_export_items
from segstudio.session.finetune_jobs import Finetunes
from segstudio.session.jobs import Jobs
from segstudio.session.library import ModelLibrary
from segstudio.session.numbers import SessionNumbers
from segstudio.session.reviews import Reviews
from segstudio.session.runner import RunRequest
from segstudio.session.settings import Settings
from segstudio.session.studies import Studies
from segstudio.session.thread_jobs import ThreadJobs
from segstudio.session.transfers import Transfers
from segstudio.session.worker import WorkerClient

if TYPE_CHECKING:
    pass

__all__ = ["RunInfo", "Session"]

RunInfo = RunRecord


class Session(SessionNumbers):
    """The application without a window.

    Signals may come from other threads; a listener with a thread of its own has to hop.

    Parameters
    ----------
    settings : Settings, optional
        None takes the user's.

    Attributes
    ----------
    dataset : Dataset or None
        What is open.
    library : ModelLibrary
        What is known of models.
    comparisons : Comparisons
        Several runs side by side.
    transfers : Transfers
        Exports, and predictions of other programs.
    reviews : Reviews
        The review queue.
    finetunes : Finetunes
        Trainings on the corrections.
    studies : Studies
        Label mappings, out-of-distribution analysis, reports.
    """

    dataset_opened = Signal(Dataset)
    prediction_ready = Signal(PredictionReady)
    sample_failed = Signal(SampleFailed)
    job_changed = Signal(JobState)
    devices_changed = Signal(list)
    model_inspected = Signal(ModelReport)
    problem = Signal(str)

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = Settings() if settings is None else settings
        self.dataset: Dataset | None = None
        self._layout: ProjectLayout | None = None
        self._store: Store | None = None
        self._corrections: Corrections | None = None
        self._generation = 0
        self._lock = threading.RLock()
        self._jobs = Jobs(self, WorkerClient)
        self._downloads = Downloads(self)
        self._error_jobs = ErrorJobs(self)
        self.comparisons = Comparisons(self)
        self.transfers = Transfers(self)
        self.reviews = Reviews(self)
        self.finetunes = Finetunes(self)
        self.studies = Studies(self)
        self._of_dataset: tuple[ThreadJobs, ...] = (
            self._error_jobs.jobs,
            self.comparisons.jobs,
            self.reviews.jobs,
            self.transfers.jobs,
            self.studies.jobs,
            self.finetunes.jobs,
        )
        self._threads = (self._downloads, *self._of_dataset)
        self.library = ModelLibrary(self, WorkerClient)

    # -- the dataset ------------------------------------------------------------------------

    def open_dataset(
        self,
        path: Path | str,
        *,
        format: str | None = None,
        split: str | None = None,
        label_space: LabelSpace | str | None = None,
        project: Path | None = None,
        ground_truth: Path | None = None,
    ) -> Dataset:
        """Open a folder in place of the one that is open.

        Raises
        ------
        SegStudioError
            When it cannot be opened; what was open stays open.
        """
        dataset = open_dataset(
            path, format=format, split=split, label_space=label_space, ground_truth=ground_truth
        )
        folder, note = choose_project_folder(dataset.root, project)
        store, damage = open_store(ProjectLayout(folder).database)
        with self._lock:
            self._jobs.cancel_all()
            for jobs in self._of_dataset:
                jobs.cancel_all()
            self._close_project()
            self._generation += 1
            self.dataset, self._store = dataset, store
            self._layout = ProjectLayout(folder)
            self._corrections = Corrections(dataset, self._layout, store, self.problem.emit)
        self.dataset_opened.emit(dataset)
        for sentence in (note, damage):
            if sentence is not None:
                self.problem.emit(sentence)
        return dataset

    def repair_project(self) -> Path | None:
        """Put what can be read of the open project's damaged file in its place.

        Returns
        -------
        Path or None
            The damaged file under its new name; None when the file is sound and was left alone.

        Raises
        ------
        SegStudioError
            See `segstudio.project.opening.repair_store`; everything is as it was.
        """
        aside = repair_store(self.layout.database)
        dataset, layout = self._opened(), self.layout
        if aside is not None:
            store = Store(layout.database)
            with self._lock:
                self._close_project()
                self._generation += 1
                self.dataset, self._store, self._layout = dataset, store, layout
                self._corrections = Corrections(dataset, layout, store, self.problem.emit)
            self.dataset_opened.emit(dataset)
        return aside

    @property
    def generation(self) -> int:
        """Grows with every dataset that is opened; events of an older one are stale."""
        return self._generation

    @property
    def layout(self) -> ProjectLayout:
        """Paths of the open project."""
        if self._layout is None:
            raise UsageError("No dataset is open.")
        return self._layout

    @property
    def store(self) -> Store:
        """Database of the open project."""
        if self._store is None:
            raise UsageError("No dataset is open.")
        return self._store

    @property
    def label_space(self) -> LabelSpace | None:
        """The ground truth's label space, else the newest run's, else None."""
        if self.dataset is not None and self.dataset.label_space is not None:
            return self.dataset.label_space
        runs = self.runs()
        return runs[-1].label_space if runs else None

    def _opened(self) -> Dataset:
        if self.dataset is None:
            raise UsageError("No dataset is open.")
        return self.dataset

    def read_image(self, sample_id: str) -> Image:
        """Return a sample's (H, W, 3) uint8 RGB image."""
        dataset = self._opened()
        return dataset.read_image(dataset.sample(sample_id))

    def read_levels(self, sample_id: str, progress: Progress | None = None) -> tuple[Image, ...]:
        """Return a sample's image with its halves; see `Dataset.read_levels`."""
        dataset = self._opened()
        return dataset.read_levels(dataset.sample(sample_id), progress)

    def read_target(self, sample_id: str, progress: Progress | None = None) -> LabelMap | None:
        """Return a sample's ground truth as a label map, None when it has none."""
        dataset = self._opened()
        sample = dataset.sample(sample_id)
        if sample.target_path is None:
            return None
        space = dataset.label_space or self.label_space
        return dataset.read_target(sample, space, progress=progress)

    # -- models and runs --------------------------------------------------------------------

    def models(self) -> list[ModelInfo]:
        """Return what can run at once: embedded models, fetched ones, and files the user added."""
        return self.library.ready()

    def catalogue(self) -> list[ModelInfo]:
        """Return every model that is known, also the published ones not on this machine yet."""
        return self.library.catalogue()

    def inspect_model(self, path: Path | str) -> None:
        """Look at a checkpoint in another process and remember it when it is one.

        `model_inspected` brings the `ModelReport`, also when it is none.
        """
        self.library.inspect(path)

    def download_model(self, name: str, *, force: bool = False) -> str:
        """Fetch a published model beside everything else; see `Downloads.start`."""
        return self._downloads.start(name, force=force)

    def request_devices(self) -> None:
        """Find the devices in the worker process; `devices_changed` brings the answer."""
        self._jobs.ask_devices()

    def runs(self) -> list[RunInfo]:
        """Return the open project's runs, oldest first."""
        return self._store.runs() if self._store is not None else []

    def finished_count(self, run: str) -> int:
        """Return how many samples a run has finished."""
        return self.store.finished_count(run)

    def start_run(
        self,
        models: Sequence[str],
        *,
        device: str = "auto",
        precision: str = "auto",
        limit: int | None = None,
        restart: bool = False,
        sample_ids: Sequence[str] | None = None,
        mapping: LabelMapping | None = None,
    ) -> str:
        """Run models in the worker process and return the job's id; results come by signals."""
        dataset = self._opened()
        if sample_ids is not None:
            chosen = tuple(dataset.sample(sample_id) for sample_id in sample_ids)
            dataset = replace(dataset, samples=chosen)
        request = RunRequest(
            dataset.select(limit=limit),
            tuple(models),
            self.layout.root,
            device=device,
            precision=precision,
            restart=restart,
            mapping=mapping,
            generation=self._generation,
        )
        return self._jobs.start(request)

    def run_again(self, job_id: str) -> str:
        """Start a run that ended early again, for what is left; see `Jobs.start_again`."""
        return self._jobs.start_again(job_id)

    def cancel(self, job_id: str) -> None:
        """Stop a job; what it finished is kept."""
        if not any(part.cancel(job_id) for part in self._threads):
            self._jobs.cancel(job_id)

    def jobs(self) -> list[JobState]:
        """Return the jobs of this session: runs, downloads, error analyses, each oldest first."""
        return [state for part in (self._jobs, *self._threads) for state in part.states()]

    def read_layer(self, run: str, layer: str, sample_id: str) -> NDArray[Any] | None:
        """Return a stored layer of a run.

        Parameters
        ----------
        run : str
            Name of the run.
        layer : str
            "labels", "entropy", "confidence" or "runner_up"; of an ensemble also
            "mutual_information" or "variation_ratio".
        sample_id : str

        Returns
        -------
        ndarray of shape (H, W) or None
            Class indices of the run's label space, or uint8 levels; None when there is none yet.
        """
        if layer not in (*LAYERS, *MORE_LAYERS):
            raise UsageError(f"A run keeps {', '.join((*LAYERS, *MORE_LAYERS))}, not {layer!r}.")
        path = self.layout.layer(run, layer, sample_id)
        return read_ids(path) if path.exists() else None

    # -- corrections ------------------------------------------------------------------------

    @property
    def corrections(self) -> Corrections:
        """The corrections of the open project."""
        if self._corrections is None:
            raise UsageError("No dataset is open.")
        return self._corrections

    def unsaved_samples(self) -> list[str]:
        """Return the samples whose journal holds strokes that were never saved."""
        return self.corrections.unsaved()

    def open_correction(self, sample_id: str, *, source: str | None) -> Correction:
        """Open a sample for painting; see `Corrections.open`."""
        return self.corrections.open(sample_id, source=source, fallback=self.label_space)

    def save_correction(self, sample_id: str) -> Path:
        """Save a sample's correction; see `Corrections.save`."""
        return self.corrections.save(sample_id)

    # -- export -----------------------------------------------------------------------------

    def export_items(
        self, what: str, *, mapping: LabelMapping | None = None
    ) -> tuple[list[ExportItem], LabelSpace]:
        """Return the samples that have ``what``, and its label space; see `export`."""
        return collect_export_items(self._opened(), self.store, self.layout, what, mapping=mapping)

    def _close_project(self) -> None:
        if self._corrections is not None:
            self._corrections.close()
        if self._store is not None:
            self._store.close()
        self._corrections = self._store = self._layout = self.dataset = self._errors = None

    def close(self) -> None:
        """Cancel what runs, stop the worker process and close the project."""
        for part in self._threads:
            part.close()
        self.library.close()
        self._jobs.close()
        with self._lock:
            self._close_project()
