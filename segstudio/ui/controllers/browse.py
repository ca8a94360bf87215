"""Opening things: folders, images, checkpoints; the list, its thumbnails, and where one was."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtWidgets import QComboBox, QFileDialog

from segstudio.checkpoints.readers import checkpoint_suffixes
from segstudio.core.errors import SegStudioError
from segstudio.core.label_space import label_space_names
from segstudio.core.types import Sample
from segstudio.datasets.base import Dataset
from segstudio.datasets.containers import CONTAINER_SUFFIXES
from segstudio.datasets.images import IMAGE_SUFFIXES
from segstudio.session.events import SampleFailed
from segstudio.session.inspection import holds_checkpoint
from segstudio.session.session import Session
from segstudio.ui.controllers.desk import Desk
from segstudio.ui.controllers.formats import FormatsController, has_unnamed_colors
from segstudio.ui.controllers.tasks import SessionBridge, Tasks, sentence
from segstudio.ui.main_window import MainWindow
from segstudio.ui.models import images_text
from segstudio.ui.thumbnails import ThumbnailLoader

__all__ = ["BrowseController"]

_PAINTED_MS = 5
"""After so long the event loop has painted; 0 would come before."""

_FREED_AT_ONCE = 2000
"""Samples, in less than a millisecond."""


class BrowseController(QObject):
    """Joins the list of samples with the session.

    Attributes
    ----------
    opened : Signal(Dataset)
        A dataset is open and listed.
    checkpoint_found : Signal(Path)
        What was to be opened is a model's file or folder.
    """

    opened = Signal(object)
    checkpoint_found = Signal(object)

    def __init__(
        self,
        window: MainWindow,
        session: Session,
        bridge: SessionBridge,
        tasks: Tasks,
        desk: Desk,
        thumbnails: ThumbnailLoader,
    ) -> None:
        super().__init__(window)
        self._window, self._session, self._tasks, self._desk = window, session, tasks, desk
        self._thumbnails = thumbnails
        self._wanted_sample = ""
        window.path_dropped.connect(self.open)
        window.canvas.link_activated.connect(lambda target: self.open(Path(target)))
        window.actions_["open_folder"].triggered.connect(lambda _checked: self._ask_folder())
        window.actions_["open_file"].triggered.connect(lambda _checked: self._ask_file())
        window.samples.thumbnail_requested.connect(self._request_thumbnail)
        thumbnails.loaded.connect(window.samples.set_thumbnail)
        bridge.sample_failed.connect(self._on_sample_failed)
        bridge.problem.connect(
            lambda text: window.show_notice("problem", text, kind="warning", seconds=20)
        )
        self._formats = FormatsController(window, tasks)
        self._formats.reopen.connect(lambda path, name: self.open(path, format=name or None))
        self.welcome()

    def _on_sample_failed(self, event: SampleFailed) -> None:
        if not event.job_id:  # of a job that makes no prediction, an export, the image is whole
            self._window.samples.set_status(event.sample_id, "failed")

    def welcome(self) -> None:
        """Say on the empty canvas what to do next."""
        links = [
            (f"{Path(path).name}  —  {path}", path) for path in self._session.settings.recent()[:3]
        ]
        self._window.canvas.set_empty_message(
            "Drop a folder of images, a dataset or a checkpoint here",
            ["or choose File ▸ Open folder  (Ctrl+U)", *(["", "Opened last"] if links else [])],
            links,
        )

    def open(
        self,
        path: Path,
        *,
        sample_id: str = "",
        label_space: str | None = None,
        format: str | None = None,
    ) -> None:
        """Open a folder or an image; a checkpoint is handed on by `checkpoint_found`."""
        suffix = path.suffix.lower()
        known = IMAGE_SUFFIXES | CONTAINER_SUFFIXES
        if path.is_file() and (suffix in checkpoint_suffixes() or suffix not in known):
            # Plugins may read files of other types; the worker process knows which.
            self.checkpoint_found.emit(path)
        elif path.is_dir():
            self._tasks.start(
                "open",
                lambda: holds_checkpoint(path),
                lambda model: (
                    self.checkpoint_found.emit(path)
                    if model
                    else self._open_dataset(path, sample_id, label_space, format)
                ),
                self._on_failed,
                priority=3,
            )
        else:
            self._open_dataset(path, sample_id, label_space, format)

    def _open_dataset(
        self, path: Path, sample_id: str, label_space: str | None, format: str | None
    ) -> None:
        chosen = format or self._session.settings.format_of(path)
        self._wanted_sample = sample_id
        self._window.canvas.set_empty_message(f"Looking at {path.name or path} …")
        self._desk.clear()
        self._tasks.forget()
        self._tasks.start(
            "open",
            lambda: self._open_as(path, label_space, chosen, is_wish=format is not None),
            lambda opened: self._on_opened(opened[0], opened[1], path, format),
            self._on_failed,
            priority=3,
        )

    def _open_as(
        self, path: Path, label_space: str | None, format: str | None, *, is_wish: bool
    ) -> tuple[Dataset, str]:
        """Open in a thread; a format of an earlier time that fits no more gives way to the guess.

        Returns
        -------
        dataset : Dataset
            What is open now.
        how : str
            Why it is in its format, for a person to read; "" when it is what it looks like.
        """
        open_dataset = self._session.open_dataset
        if format is None or is_wish:
            return open_dataset(path, label_space=label_space, format=format).prepared(), ""
        try:
            dataset = open_dataset(path, label_space=label_space, format=format)
            return dataset.prepared(), ", as you chose before"
        except SegStudioError as error:
            dataset = open_dataset(path, label_space=label_space)
            return dataset.prepared(), f", no more as {format}, which you chose before ({error})"

    def _on_opened(self, dataset: Dataset, how: str, path: Path, format: str | None) -> None:
        window, settings = self._window, self._session.settings
        self._thumbnails.clear()
        before = window.samples.set_samples(dataset.samples, dataset.places)
        self._tasks.start("free", partial(_free, before), _nothing)
        title = dataset.title or dataset.root.name
        window.set_dataset_title(title, dataset.root)
        window.actions_["run"].setEnabled(True)
        self._say_what_was_found(dataset, path, how)
        try:
            if format is not None:
                settings.remember_format(path, format)
            settings.add_recent(path)
            settings.set("last", str(path.resolve()))
        except SegStudioError as error:
            window.show_notice("settings", str(error), kind="warning")
        self._tasks.start("statuses", self._session.statuses, window.samples.set_statuses)
        # The list is painted before the rest, which would make it one long event with it.
        QTimer.singleShot(_PAINTED_MS, self, lambda: self._show_opened(dataset))

    def _show_opened(self, dataset: Dataset) -> None:
        """Show the runs and the first sample of a data set that is listed."""
        if self._session.dataset is not dataset:
            return  # another was opened meanwhile
        window = self._window
        before = self._desk.run
        self._desk.refresh_runs()
        if self._desk.run == before:  # nobody was told yet, but the scores are another dataset's
            self._desk.run_changed.emit(before)
        known = {sample.sample_id for sample in dataset.samples} if self._wanted_sample else set()
        chosen = self._wanted_sample if self._wanted_sample in known else ""
        first = window.samples.sample_at(0)
        if chosen or first is not None:
            self._desk.show(chosen or first.sample_id)  # type: ignore[union-attr]
        unsaved = self._session.unsaved_samples()
        if unsaved:
            count = f"{len(unsaved)} images have" if len(unsaved) > 1 else f"{unsaved[0]} has"
            window.show_notice(
                "recovered",
                f"{count} strokes that were not saved; "
                "they come back when it is opened in Correct.",
                buttons=[("Open it", lambda: self._correct(unsaved[0]))],
            )
        self.opened.emit(dataset)

    def _correct(self, sample_id: str) -> None:
        self._desk.show(sample_id)
        self._window.set_workspace("correct")

    def _say_what_was_found(self, dataset: Dataset, path: Path, how: str) -> None:
        window = self._window
        if dataset.has_targets and dataset.label_space is None:
            names = QComboBox()
            names.addItems(label_space_names())
            window.show_notice(
                "opened",
                "The masks hold numbers, but nothing says which classes they are.",
                kind="warning",
                widget=names,
                buttons=[
                    (
                        "Use these classes",
                        lambda: self.open(dataset.root, label_space=names.currentText()),
                    )
                ],
            )
            return
        parts = [images_text(len(dataset))]
        if dataset.splits:
            parts.append(", ".join(dataset.splits))
        if dataset.label_space is not None:
            parts.append(f"{len(dataset.label_space)} classes of {dataset.label_space.name}")
        found = f"Opened as {dataset.format}{how}:  {'  ·  '.join(parts)}"
        buttons = [("Change…", lambda: self._formats.ask_format(path, dataset.format))]
        if has_unnamed_colors(dataset):
            buttons.insert(0, ("Name the colours…", lambda: self._formats.ask_colors(dataset)))
        window.show_notice(
            "opened",
            "\n".join([found, *dataset.notes]),
            kind="done",
            # What there is to read stays until it is closed.
            seconds=None if dataset.notes else 8,
            buttons=buttons,
        )

    def _on_failed(self, error: Exception) -> None:
        self.welcome()
        self._window.show_notice("opened", sentence(error), kind="error")

    def _request_thumbnail(self, sample_id: str) -> None:
        sample: Sample | None = self._window.samples.sample(sample_id)
        if sample is not None:
            self._thumbnails.request(sample_id, sample.image_path)
        self._window.samples.forget_requests(self._thumbnails.take_forgotten())

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self._window, "Open folder", self._start_folder())
        if folder:
            self.open(Path(folder))

    def _ask_file(self) -> None:
        name: Any
        name, _ = QFileDialog.getOpenFileName(
            self._window, "Open image or checkpoint", self._start_folder()
        )
        if name:
            self.open(Path(name))

    def _start_folder(self) -> str:
        return str(self._session.settings.get("last", ""))


def _free(samples: list[Sample]) -> None:
    """Free samples, in steps between which other threads go on; runs in a thread."""
    while samples:
        del samples[-_FREED_AT_ONCE:]


def _nothing(_: None) -> None:
    """Take an answer without content."""
