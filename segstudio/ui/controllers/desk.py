"""What lies on the desk: the sample shown, its layers, and the run they come from."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import numpy as np
from PySide6.QtCore import QObject, Signal

from segstudio.core.errors import CancelledError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import LabelMap
from segstudio.datasets.scratch import is_large
from segstudio.session.session import Session
from segstudio.ui.canvas.overlays import ErrorOverlay, LabelMode, LabelOverlay, ScalarOverlay
from segstudio.ui.controllers.sample_reading import read_sample
from segstudio.ui.controllers.shown import Shown
from segstudio.ui.controllers.tasks import Tasks, sentence
from segstudio.ui.controllers.unpacking import Reading, Unpacking
from segstudio.ui.main_window import MainWindow
from segstudio.ui.palettes import class_style, shown_colors, style_news
from segstudio.ui.panels.layers import LAYERS

__all__ = ["Desk", "Shown"]

_KEPT, _KEPT_BYTES = 6, 1 << 30
"""Samples that stay in memory for going back, as long as they take no more than these bytes."""


class Desk(QObject):
    """Loads samples off the GUI thread and puts them on the canvas.

    Attributes
    ----------
    leaving : Signal(str)
        The sample shown is about to be replaced.
    shown_changed : Signal(Shown or None)
        Another sample, or the same with other layers, is on the canvas.
    run_changed : Signal(str)
        Layers and scores now come from this run ("" for none).
    space_changed : Signal(LabelSpace or None)
    """

    leaving = Signal(str)
    shown_changed = Signal(object)
    run_changed = Signal(str)
    space_changed = Signal(object)

    def __init__(self, window: MainWindow, session: Session, tasks: Tasks) -> None:
        super().__init__(window)
        self._window, self._session, self._tasks = window, session, tasks
        self.shown: Shown | None = None
        self.sample_id = ""
        self.run = ""
        self.space: LabelSpace | None = None
        self.corrected: LabelMap | None = None
        self._cache: OrderedDict[tuple[str, str], Shown] = OrderedDict()
        self._forgotten = 0
        self._held = self._aside = False
        self._unpacking = Unpacking(window)
        self.labels = {
            name: LabelOverlay(name) for name in ("correction", "prediction", "ground_truth")
        }
        self.scalars = {
            "entropy": ScalarOverlay("entropy"),
            "confidence": ScalarOverlay("confidence"),
            "disagreement": ScalarOverlay("disagreement"),
        }
        self.errors = ErrorOverlay("errors")
        self.overlays = {**self.labels, **self.scalars, "errors": self.errors}
        for spec in LAYERS:
            self.overlays[spec.name].visible = spec.visible
            self.overlays[spec.name].opacity = spec.opacity / 100
        window.canvas.set_layers([self.overlays[spec.name] for spec in reversed(LAYERS)])
        self._connect()

    def _connect(self) -> None:
        panel, window = self._window.layers_panel, self._window
        self._unpacking.begun.connect(self._on_unpacking)
        self._unpacking.ended.connect(self._on_read)
        self._unpacking.again_requested.connect(self._read_again)
        panel.visibility_changed.connect(self._on_visibility)
        panel.opacity_changed.connect(self._on_opacity)
        panel.run_selected.connect(self.set_run)
        window.samples_panel.sample_selected.connect(self.show)
        window.legend.visibility_changed.connect(lambda _visible: self._restyle())
        window.classes_panel.class_hovered.connect(self._on_class_hovered)
        window.overlays_held.connect(self._on_held)
        window.actions_["toggle_outlines"].toggled.connect(lambda _on: self._show_mode())
        style_news().changed.connect(self._on_style)

    # -- samples ----------------------------------------------------------------------------

    def clear(self) -> None:
        """Take everything off, for another dataset."""
        if self.sample_id:
            self.leaving.emit(self.sample_id)
        self.stop_reading()
        self._cache.clear()
        self.shown, self.sample_id, self.run, self.corrected = None, "", "", None
        self._window.canvas.set_image(None)
        self.shown_changed.emit(None)

    def show(self, sample_id: str) -> None:
        """Show a sample; what is not in memory is read in a thread."""
        if sample_id == self.sample_id or not sample_id:
            return
        if self.sample_id:
            self.leaving.emit(self.sample_id)
        self.sample_id = sample_id
        self.corrected = None
        self._follow_space()
        self._window.samples_panel.select(sample_id)
        self.reload()

    def stop_reading(self) -> None:
        """Stop unpacking very large samples, so that nobody has to wait for it."""
        self._unpacking.stop_all()

    def release_pages(self) -> None:
        """Let the system take back what was looked at of a very large sample's files."""
        if self.shown is not None:
            self.shown.release_pages()

    def reload(self, *, fresh: bool = False) -> None:
        """Read the sample's layers again; ``fresh`` forgets what was read before."""
        sample_id, run = self.sample_id, self.run
        if not sample_id:
            return
        if fresh:
            self._cache.pop((sample_id, run), None)
        cached = self._cache.get((sample_id, run))
        if cached is not None:
            self._put(cached)
            return
        if self._unpacking.wants_again(sample_id):
            return
        self._tasks.start(
            "sample",
            partial(self._read, sample_id, run),
            self._put,
            partial(self._on_failed, sample_id),
            priority=2,
        )

    def forget(self, sample_id: str, run: str) -> None:
        """Forget what was read of a sample, because the run has just written it."""
        self._cache.pop((sample_id, run), None)
        self._forgotten += 1

    def set_run(self, run: str) -> None:
        """Show prediction, entropy and confidence of another run."""
        if run == self.run:
            return
        self.run = run
        self._follow_space()
        self.run_changed.emit(run)
        self.reload()

    def refresh_runs(self, *, choose: str | None = None) -> None:
        """Offer the project's runs; ``choose`` one, else keep the one shown, else the newest."""
        runs = self._session.runs()
        names = [record.run for record in runs]
        current = choose or (self.run if self.run in names else (names[-1] if names else ""))
        self._window.layers_panel.set_runs([(name, name) for name in names], current)
        if current != self.run:
            self.set_run(current)
        self._follow_space()

    def _follow_space(self) -> None:
        if self.corrected is not None:
            return  # the classes are those that are painted
        dataset = self._session.dataset
        space = dataset.label_space if dataset is not None else None
        for record in self._session.runs():
            if record.run == self.run:
                space = record.label_space
        before, self.space = self.space, space
        names = None if space is None else space.names
        if (None if before is None else before.names) != names:
            self.space_changed.emit(space)

    def _read(self, sample_id: str, run: str) -> Shown:
        """Read everything of a sample; runs in a thread."""
        with self._unpacking.reading(sample_id) as reading:
            return read_sample(self._session, sample_id, run, reading)

    def _put(self, shown: Shown) -> None:
        """Put a sample that was read on the canvas."""
        self._keep(shown)
        if (shown.sample_id, shown.run) != (self.sample_id, self.run):
            return
        same = self.shown is not None and self.shown.image is shown.image
        self.shown = shown
        if not same:
            self._window.canvas.set_image(shown.image, shown.levels)
        self.lay()
        for problem in shown.problems:
            self._window.show_notice("sample", problem, kind="warning")
        if not shown.problems:
            self._window.notices.dismiss("sample")
        self.shown_changed.emit(shown)
        self._prefetch()

    def _keep(self, shown: Shown) -> None:
        self._cache[shown.sample_id, shown.run] = shown
        self._cache.move_to_end((shown.sample_id, shown.run))
        total = sum(kept.nbytes for kept in self._cache.values())
        while len(self._cache) > 1 and (len(self._cache) > _KEPT or total > _KEPT_BYTES):
            total -= self._cache.popitem(last=False)[1].nbytes

    def _prefetch(self) -> None:
        run, forgotten = self.run, self._forgotten
        if self.shown is None or self.shown.nbytes > _KEPT_BYTES // 4:
            return  # the next one would push out this one
        if is_large(*self.shown.image.shape[:2]):
            return

        def keep(shown: Shown) -> None:
            # What was read while a run was writing may lack what it has written since.
            if forgotten == self._forgotten:
                self._keep(shown)

        for sample_id in self._window.samples_panel.neighbours(self.sample_id)[:1]:
            if (sample_id, run) not in self._cache:
                self._tasks.start(
                    "prefetch",
                    partial(self._read, sample_id, run),
                    keep,
                    lambda _error: None,  # said when the sample is opened
                )

    def _on_failed(self, sample_id: str, error: Exception) -> None:
        if isinstance(error, CancelledError):
            line = "Unpack it from the strip above, or choose another image"
            self._show_none(sample_id, "This image is not unpacked yet", [line])
            return
        self._window.samples.set_status(sample_id, "failed")
        self._show_none(sample_id, "This image cannot be shown", [sentence(error)])

    def _show_none(self, sample_id: str, title: str, lines: list[str]) -> None:
        """Say why a sample is not on the canvas, if it is the one that should be."""
        if sample_id != self.sample_id:
            return
        self.shown = None
        self._window.canvas.set_image(None)
        self._window.canvas.set_empty_message(title, lines)
        self.shown_changed.emit(None)

    # -- very large samples -----------------------------------------------------------------

    def _on_unpacking(self, sample_id: str) -> None:
        """Take the image before off the canvas: the new one takes a while."""
        self._show_none(
            sample_id, "This image is being unpacked", ["It is shown as soon as that is done"]
        )

    def _on_read(self, reading: Reading) -> None:
        if reading.wanted_again and reading.sample_id == self.sample_id:
            self.reload()

    def _read_again(self, sample_id: str) -> None:
        if sample_id == self.sample_id:
            self.reload()
        else:
            self.show(sample_id)

    # -- layers -----------------------------------------------------------------------------

    def lay(self) -> None:
        """Lay the sample's maps over the photograph."""
        shown = self.shown
        if shown is None:
            return
        space = (None if self.corrected is not None else shown.run_space) or self.space
        reasons: dict[str, str | None] = {}
        spaces = self._layer_spaces()
        maps = {
            "prediction": shown.prediction,
            "ground_truth": shown.target,
            "correction": self.corrected,
        }
        missing = {
            "prediction": "Run a model to see its prediction",
            "ground_truth": "This image has no ground truth",
            "correction": "Nothing corrected yet; the Correct workspace starts one",
        }
        for name, label_map in maps.items():
            its_space = spaces[name]
            there = label_map is not None and its_space is not None
            reasons[name] = None if there else missing[name]
            if label_map is not None and its_space is not None:
                self.labels[name].set_labels(label_map, shown_colors(its_space))
            else:
                self.labels[name].clear()
        for name, overlay in self.scalars.items():
            values = getattr(shown, name)
            none = "Predictions of another program come without it"
            reason = missing["prediction"] if shown.prediction is None else none
            reasons[name] = None if values is not None else reason
            if values is None:
                overlay.clear()
            else:
                overlay.set_values(np.ascontiguousarray(values, np.uint8))
        reasons["errors"] = self._lay_errors(space)
        self._window.layers_panel.set_available(reasons)
        self._restyle()

    def _lay_errors(self, space: LabelSpace | None) -> str | None:
        """Lay the error map; return why there is none."""
        shown = self.shown
        assert shown is not None
        compared = self.corrected if self.corrected is not None else shown.prediction
        target_space = self._target_space()
        if shown.target is None or target_space is None:
            self.errors.clear()
            return "Errors need ground truth"
        if compared is None or space is None:
            self.errors.clear()
            return "Errors need a prediction"
        if space.names != target_space.names:
            self.errors.clear()
            return f"The run is in {space.name}, the ground truth in {target_space.name}"
        self.errors.set_maps(shown.target, compared, ignore_index=target_space.ignore_index)
        return None

    def _target_space(self) -> LabelSpace | None:
        dataset = self._session.dataset
        return (dataset.label_space if dataset is not None else None) or self.space

    def _layer_spaces(self) -> dict[str, LabelSpace | None]:
        """Return what the label maps of each layer mean."""
        return {
            "prediction": None if self.shown is None else self.shown.run_space,
            "ground_truth": self._target_space(),
            "correction": self.space,
        }

    def _restyle(self) -> None:
        """Hide the classes that the legend hides, in the layers that are of its label space."""
        hidden = frozenset(int(index) for index in np.flatnonzero(~self._window.legend.visible))
        for name, space in self._layer_spaces().items():
            same = space is not None and self.space is not None and space.names == self.space.names
            wanted = hidden if same else frozenset()
            if self.labels[name].hidden != wanted:
                self.labels[name].set_hidden(wanted)

    def _on_visibility(self, name: str, visible: bool) -> None:
        self.overlays[name].visible = visible and not (self._held or self._aside)

    def _on_opacity(self, name: str, opacity: float) -> None:
        self.overlays[name].opacity = opacity

    def set_aside(self, aside: bool) -> None:
        """Hide the layers while another map lies over the picture."""
        if aside != self._aside:
            self._aside = aside
            self._follow_visibility()

    def _on_held(self, held: bool) -> None:
        self._held = held
        self._follow_visibility()

    def _follow_visibility(self) -> None:
        panel, shown = self._window.layers_panel, not (self._held or self._aside)
        for name, overlay in self.overlays.items():
            overlay.visible = panel.is_visible(name) and shown

    def _on_class_hovered(self, class_index: int) -> None:
        for overlay in self.labels.values():
            overlay.set_highlight(class_index if class_index >= 0 else None)

    def _on_style(self) -> None:
        """Lay the label maps in other colours."""
        for name, space in self._layer_spaces().items():
            if space is not None and self.labels[name].labels is not None:
                self.labels[name].set_colors(shown_colors(space))
        self._show_mode()

    def _show_mode(self) -> None:
        fill = LabelMode.PATTERN if class_style().patterns else LabelMode.FILL
        outlines = self._window.actions_["toggle_outlines"].isChecked()
        for overlay in self.labels.values():
            overlay.mode = LabelMode.OUTLINE if outlines else fill
