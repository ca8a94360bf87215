"""Seeing inside a model: a click in the picture becomes a question to a worker process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import QObject, Signal

from segstudio.session.look_values import (
    AttentionPicture,
    LookAnswer,
    LookRequest,
    ModelChoice,
    ModelParts,
    ProbabilityPicture,
    StagePicture,
)
from segstudio.session.looks import Looks
from segstudio.session.session import Session
from segstudio.ui.canvas.heat_overlay import HeatOverlay
from segstudio.ui.canvas.region_outline import RegionOutline
from segstudio.ui.controllers.desk import Desk, Shown
from segstudio.ui.controllers.tasks import SessionBridge, Tasks
from segstudio.ui.main_window import MainWindow
from segstudio.ui.models import number, share
from segstudio.ui.models.catalogue import short_title
from segstudio.ui.models.legend import short_name
from segstudio.ui.palettes import ClassColor
from segstudio.ui.panels.inside import COLORMAP, OPACITY, InsideParts

__all__ = ["InsideController"]

_PICTURES = ("attention", "probability", "stage")
"""Topics whose answers lie over the picture."""
_OF_IMAGE = (*_PICTURES, "distances")
_DOING = {
    "parts": "Loading {model} …",
    "attention": "Looking at the attention …",
    "distances": "Measuring the distances of all heads …",
    "embeddings": "Reading the classes' vectors …",
    "probability": "Predicting the probabilities …",
    "stage": "Running the encoder …",
}


@dataclass(frozen=True, slots=True)
class _Offered:
    """A model that can be looked into; ``run`` is "" when it has not been run here."""

    title: str
    run: str
    choice: ModelChoice


class InsideController(QObject):
    """Joins the inside panel, the canvas and the worker process that looks.

    Nothing is loaded before the panel is seen.  An answer to an older question, to one about
    another image, or to one that was stopped never reaches the picture.

    Attributes
    ----------
    answered : Signal(LookAnswer)
        From the worker client's thread to the window's.
    """

    answered = Signal(object)

    def __init__(
        self,
        window: MainWindow,
        session: Session,
        bridge: SessionBridge,
        tasks: Tasks,
        desk: Desk,
        *,
        looks: Looks | None = None,
    ) -> None:
        super().__init__(window)
        self._window, self._session, self._tasks, self._desk = window, session, tasks, desk
        self._panel = window.inside_panel
        self._looks = Looks(self.answered.emit) if looks is None else looks
        self._offered: list[_Offered] = []
        self._model: ModelChoice | None = None
        self._stale, self._followed = True, ""
        self._pixel: tuple[int, int] | None = None
        self._image: Path | None = None
        self._asking: dict[str, str] = {}
        self._has_map = self._held = False
        self.overlay = HeatOverlay("inside", colormap=COLORMAP, opacity=OPACITY / 100)
        self.outline = RegionOutline((0, 235, 255))
        window.canvas.set_layers([*window.canvas.layers, self.overlay])
        window.canvas.add_preview(self.outline)
        self._connect(bridge)

    def _connect(self, bridge: SessionBridge) -> None:
        window, panel, desk = self._window, self._panel, self._desk
        self.answered.connect(self._on_answer)
        window.closing.connect(self._looks.close)
        window.docks["inside"].visibilityChanged.connect(lambda _visible: self._on_visible())
        window.actions_["see_inside"].triggered.connect(lambda _checked: self.open())
        window.canvas.clicked.connect(self._on_clicked)
        window.overlays_held.connect(self._on_held)
        desk.shown_changed.connect(self._on_shown)
        desk.run_changed.connect(lambda _run: self._list_models())
        bridge.dataset_opened.connect(lambda _dataset: self._list_models())
        bridge.model_inspected.connect(lambda _report: self._list_models())
        panel.model_chosen.connect(self._on_model)
        panel.view_changed.connect(lambda _view: self._look())
        panel.attention_changed.connect(lambda _layer, _head: self._look())
        panel.class_chosen.connect(lambda _output: self._look())
        panel.stage_chosen.connect(lambda _stage: self._look())
        panel.distances_requested.connect(lambda: self._ask("distances"))
        panel.stop_requested.connect(self.stop)
        panel.shown_toggled.connect(lambda _shown: self._show_map())
        panel.opacity_changed.connect(lambda value: setattr(self.overlay, "opacity", value))

    # -- what is looked at --------------------------------------------------------------------

    def open(self) -> None:
        """Show the panel."""
        dock = self._window.docks["inside"]
        dock.show()
        dock.raise_()

    def stop(self) -> None:
        """Want no answer any more; a look that goes on is ended with its process."""
        self._looks.cancel()
        self._asking.clear()
        self._say_busy()
        if self._panel.parts is None and self._panel.models.count():
            self._panel.clear_picture("Stopped; choose a model to look into.")

    def _is_seen(self) -> bool:
        return self._window.docks["inside"].isVisible()

    def _on_visible(self) -> None:
        if self._is_seen() and self._stale:
            self._list_models()
        elif not self._has_map:
            self._look()
        self._show_map()

    def _list_models(self) -> None:
        """Offer the runs' models and the others that are at hand, now or when they are seen."""
        self._stale = True
        if not self._is_seen():
            return
        self._stale = False
        if self._session.dataset is None:
            return
        device = str(self._session.settings.get("device", "auto"))
        self._tasks.start("inside-models", partial(self._read_models, device), self._on_models)

    def _read_models(self, device: str) -> list[_Offered]:
        """Return what can be looked into; runs in a thread."""
        runs = [
            _Offered(
                record.run,
                record.run,
                ModelChoice(
                    record.model,
                    device,
                    str(record.options.get("window", "auto")),
                    str(record.options.get("refine", "none")),
                    str(record.options.get("tta", "none")),
                    record.label_space,
                ),
            )
            for record in self._session.runs()
        ]
        known = {entry.choice.model for entry in runs}
        others = [
            _Offered(short_title(model), "", ModelChoice(model.name, device))
            for model in self._session.library.familiar()
            if model.name not in known
        ]
        return [*reversed(runs), *others]

    def _on_models(self, offered: list[_Offered]) -> None:
        self._offered = offered
        if not offered:
            self._panel.set_message("There is no model on this machine yet; see Run, Models.")
            return
        runs = [entry.run for entry in offered]
        models = [entry.choice for entry in offered]
        current = 0
        # The model of the run that is shown, until another one is chosen here.
        if self._desk.run in runs and (self._desk.run != self._followed or not self._model):
            self._followed, current = self._desk.run, runs.index(self._desk.run)
        elif self._model in models:
            current = models.index(self._model)
        self._panel.set_models([entry.title for entry in offered], current)
        self._on_model(current)

    def _on_model(self, place: int) -> None:
        """Ask what the model has, unless it is known."""
        choice = self._offered[place].choice
        if choice == self._model and (self._panel.parts is not None or "parts" in self._asking):
            if not self._has_map:
                self._look()
            return
        self._model = choice
        self._forget(_OF_IMAGE)
        self._panel.set_parts(None)
        self._panel.clear_picture(" ")
        self._ask("parts")

    def _on_shown(self, shown: Shown | None) -> None:
        """Look at another image as at the one before, at the same place."""
        sample = None if shown is None else shown.sample_id
        dataset = self._session.dataset
        image = None
        if sample is not None and dataset is not None and sample == self._desk.sample_id:
            image = dataset.sample(sample).image_path
        if image == self._image and self._has_map == (self.overlay.shape is not None):
            return
        self._image = image
        self._forget(_OF_IMAGE)
        self._panel.set_distances(())
        self._clear_map()
        shape = self._window.canvas.image_shape
        if self._pixel is not None and shape is not None:
            inside = self._pixel[0] < shape[0] and self._pixel[1] < shape[1]
            self._pixel = self._pixel if inside else None
        if self._is_seen():
            self._look()

    def _on_clicked(self, row: int, column: int) -> None:
        if not self._is_seen() or self._panel.parts is None:
            return
        self._pixel = row, column
        if self._panel.view == "classes":
            self._choose_class(row, column)
        elif self._panel.view == "attention":
            self._look()

    def _choose_class(self, row: int, column: int) -> None:
        """Choose the class that the run shown predicted at a pixel."""
        shown, parts = self._desk.shown, self._panel.parts
        if shown is None or shown.prediction is None or shown.run_space is None or parts is None:
            return
        index = int(shown.prediction[row, column])
        if index < len(shown.run_space):
            name = short_name(shown.run_space.classes[index].name)
            if name in parts.outputs:
                self._panel.classes.setCurrentIndex(parts.outputs.index(name))

    # -- questions ----------------------------------------------------------------------------

    def _look(self) -> None:
        """Ask for what the panel's choices say, as far as it is known."""
        panel, parts = self._panel, self._panel.parts
        if parts is None or not self._is_seen():
            return
        self._forget(_PICTURES)
        if panel.missing is not None:
            self._clear_map()
            return
        if panel.view == "attention" and self._pixel is not None:
            self._ask("attention", layer=panel.layers.currentIndex(), head=panel.head)
        elif panel.view == "classes" and panel.classes.currentIndex() >= 0:
            self._ask("probability", index=panel.classes.currentIndex())
        elif panel.view == "features":
            self._ask("stage", index=max(0, panel.stages.currentIndex()))
        else:
            self._clear_map()
        if panel.view == "classes" and parts.no_vectors is None and not panel.embeddings.marks():
            self._ask("embeddings")

    def _ask(self, topic: str, **details: Any) -> None:
        if self._model is None or (topic in _OF_IMAGE and self._image is None):
            return
        row, column = self._pixel or (0, 0)
        request = LookRequest(topic, self._model, self._image, row=row, column=column, **details)
        self._asking[topic] = _DOING[topic].format(model=Path(self._model.model).name)
        self._looks.ask(request)
        self._say_busy()

    def _forget(self, topics: tuple[str, ...]) -> None:
        """Drop the answers that are still to come."""
        self._looks.drop(topics)
        for topic in topics:
            self._asking.pop(topic, None)
        self._say_busy()

    def _say_busy(self) -> None:
        self._panel.set_busy(next(iter(self._asking.values()), ""))

    # -- answers ------------------------------------------------------------------------------

    def _on_answer(self, answer: LookAnswer) -> None:
        if not self._looks.take(answer):
            return
        topic, result = answer.request.topic, answer.result
        self._asking.pop(topic, None)
        self._say_busy()
        if answer.error is not None:
            self._clear_map(answer.error)
        elif isinstance(result, ModelParts):
            self._panel.set_parts(_parts(result))
            self._look()
        elif topic == "distances":
            self._panel.set_distances(result.layers)
        elif topic == "embeddings":
            parts = self._panel.parts
            assert parts is not None
            self._panel.embeddings.set_points(
                result.points, parts.outputs, parts.colors, explained=result.explained
            )
        elif result.levels.shape != self._window.canvas.image_shape:
            self._clear_map("The image has changed on the disk; open the folder again.")
        else:
            self._show_picture(answer.request, result)

    def _show_picture(
        self, request: LookRequest, result: AttentionPicture | ProbabilityPicture | StagePicture
    ) -> None:
        panel = self._panel
        self.outline.set_region(None)
        if isinstance(result, AttentionPicture):
            panel.set_picture("0", f"weight {result.high:.2g}", _attention_words(request, result))
            patch = result.patch
            mask = np.ones((patch.height, patch.width), np.bool_)
            self.outline.set_region(mask, patch.top, patch.left)
        elif isinstance(result, StagePicture):
            panel.set_stages(result.names, request.index)
            text = f"{result.channels} channels, every {result.stride:g} pixels of the input."
            panel.set_picture(number(result.low), f"norm {number(result.high)}", text)
        else:
            panel.set_picture("0", "probability 1", f"Mean over the image: {share(result.mean)}.")
        self.overlay.set_values(result.levels)
        self._has_map = True
        self._show_map()

    def _clear_map(self, text: str = "") -> None:
        self.overlay.clear()
        self.outline.set_region(None)
        self._has_map = False
        self._panel.clear_picture(text)
        self._show_map()

    def _on_held(self, held: bool) -> None:
        self._held = held
        self._show_map()

    def _show_map(self) -> None:
        """Show the map while its panel is seen, and put the other layers aside for it."""
        seen = self._has_map and self._is_seen() and self._panel.eye.isChecked()
        self._desk.set_aside(seen)
        self.overlay.visible = seen and not self._held
        self.outline.setVisible(self.overlay.visible and self.outline.line_count > 0)


def _parts(found: ModelParts) -> InsideParts:
    return InsideParts(
        found.layers,
        tuple(short_name(name) for name in found.outputs),
        tuple(ClassColor(*pair) for pair in zip(found.indices, found.colors, strict=True)),
        found.no_attention,
        found.no_vectors,
        found.no_stages,
    )


def _attention_words(request: LookRequest, found: AttentionPicture) -> str:
    """Return what the map shows, in words."""
    patch, seen = found.patch, found.seen
    words = f"What the patch of {patch.height} × {patch.width} pixels around row {request.row}, "
    words += f"column {request.column} looks at, on a grid of {found.keys[0]} × {found.keys[1]}."
    if found.elsewhere >= 0.0005:
        words += f" {share(found.elsewhere)} of its attention is on tokens that are no patches."
    whole = (seen.top, seen.left) == (0, 0) and (seen.bottom, seen.right) == found.levels.shape
    if not whole:
        words += f" The pass saw rows {seen.top} to {seen.bottom - 1}, columns {seen.left} to "
        words += f"{seen.right - 1}."
    return words
