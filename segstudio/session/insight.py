"""Answering what is asked about a network's inside: the worker process's side.

Loads torch when the first question comes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segstudio.core.errors import NotACheckpointError, SegStudioError, UsageError
from segstudio.core.palette import Color
from segstudio.core.types import Image, quantise
from segstudio.session.look_values import (
    AttentionPicture,
    Distances,
    Embeddings,
    LookAnswer,
    LookRequest,
    ModelChoice,
    ModelParts,
    ProbabilityPicture,
    StagePicture,
)

if TYPE_CHECKING:
    from segstudio.inference.insight.attention import AttentionReader
    from segstudio.inference.model import Model

__all__ = ["Insight", "answer_look"]

_MAPS_BYTES = 512_000_000
"""Probability maps (float32) of all classes are computed at once up to this size."""
_VOID_COLOR: Color = (128, 128, 128)


def answer_look(insight: Insight, request: LookRequest) -> LookAnswer:
    """Answer a question in the worker process; whatever goes wrong becomes one sentence."""
    from segstudio.session.plugins import load_plugins

    try:
        load_plugins()
        return LookAnswer(request, insight.answer(request))
    except SegStudioError as error:
        return LookAnswer(request, error=str(error))
    except MemoryError:
        what = Path(request.choice.model).name
        return LookAnswer(
            request, error=f"The memory of this machine does not suffice to look into {what}."
        )
    except Exception as error:  # noqa: BLE001 - a bug becomes a sentence, the process lives on
        what = f"{type(error).__name__}: {error}"
        return LookAnswer(request, error=f"An unexpected error stopped the look: {what}")


@dataclass
class _Kept:
    """What was computed of one image with one model."""

    key: tuple[Any, ...]
    image: Image
    reader: AttentionReader | None = None
    distances: Distances | None = None
    stages: list[StagePicture] = field(default_factory=list)
    maps: dict[int, ProbabilityPicture] = field(default_factory=dict)


class Insight:
    """Answers questions about one model and one image at a time, and keeps both for the next."""

    def __init__(self) -> None:
        self._choice: ModelChoice | None = None
        self._model: Model | None = None
        self._kept: _Kept | None = None

    def answer(self, request: LookRequest) -> Any:
        """Return the value that a request's topic asks for; see `LookAnswer`.

        Raises
        ------
        SegStudioError
            When the model cannot be loaded, the image cannot be read, or the network has no such
            thing.
        """
        model = self._load(request.choice)
        if request.topic == "parts":
            return _parts(model)
        if request.topic == "embeddings":
            return _embeddings(model)
        kept = self._image(request)
        if request.topic == "attention":
            return _attention(model, kept, request)
        if request.topic == "distances":
            kept.distances = kept.distances or _distances(model, kept.image)
            return kept.distances
        if request.topic == "probability":
            if request.index not in kept.maps:
                kept.maps.update(_probabilities(model, kept.image, request.index))
            return kept.maps[request.index]
        if request.topic == "stage":
            kept.stages = kept.stages or _stages(model, kept.image)
            if not 0 <= request.index < len(kept.stages):
                raise UsageError(f"The encoder has {len(kept.stages)} stages, counted from 0.")
            return kept.stages[request.index]
        raise UsageError(f"Nothing is known about {request.topic!r}.")

    def _load(self, choice: ModelChoice) -> Model:
        if self._model is None or self._choice != choice:
            self._model = self._choice = self._kept = None  # one model's memory at a time
            self._model = _load(choice)
            self._choice = choice
        return self._model

    def _image(self, request: LookRequest) -> _Kept:
        from segstudio.datasets.images import read_image

        if request.image is None:
            raise UsageError("Show an image first; then the network can be seen at work on it.")
        try:
            stamp = request.image.stat().st_mtime_ns
        except OSError:
            stamp = 0  # reading it says what is wrong
        key = request.image, stamp
        if self._kept is None or self._kept.key != key:
            self._kept = None
            self._kept = _Kept(key, read_image(request.image))
        return self._kept


def _load(choice: ModelChoice) -> Model:
    """Load a model; what the run was told of its outputs counts more than what its file says."""
    from segstudio.inference.model import load_model

    load = partial(
        load_model,
        choice.model,
        device=choice.device,
        window=choice.window,
        refine=choice.refine,
        tta=choice.tta,
    )
    space = choice.label_space
    try:
        model = load()
    except NotACheckpointError:
        if space is None:
            raise
    else:
        if space is None or model.label_space.fingerprint == space.fingerprint:
            return model
    return load(label_space=space)


def _parts(model: Model) -> ModelParts:
    from segstudio.inference.insight.attention import attention_layers, require_attention
    from segstudio.inference.insight.embeddings import class_embeddings, output_names
    from segstudio.inference.insight.features import find_stages
    from segstudio.inference.insight.view import inner_network

    title = f"{model.checkpoint.path.name} ({model.checkpoint.architecture})"
    no_stages = f"{title} shows no feature maps; look at its class probabilities."
    colors = model.label_space.colors
    return ModelParts(
        title,
        tuple((layer.name, layer.heads) for layer in attention_layers(model)),
        _refusal(require_attention, model),
        _refusal(class_embeddings, model),
        None if find_stages(inner_network(model)) else no_stages,
        tuple(output_names(model)),
        tuple(
            colors[index] if index < len(colors) else _VOID_COLOR
            for index in model.checkpoint.output_classes
        ),
        tuple(model.checkpoint.output_classes),
    )


def _refusal(look: Callable[[Model], object], model: Model) -> str | None:
    """Return the sentence with which a look is refused, None when it is not."""
    try:
        look(model)
    except UsageError as error:
        return str(error)
    return None


def _embeddings(model: Model) -> Embeddings:
    from segstudio.inference.insight.embeddings import class_embeddings

    found = class_embeddings(model)
    points = tuple((float(x), float(y)) for x, y in found.points)
    return Embeddings(found.source, points, found.explained)


def _attention(model: Model, kept: _Kept, request: LookRequest) -> AttentionPicture:
    from segstudio.inference.insight.attention import AttentionReader

    if kept.reader is None:
        kept.reader = AttentionReader(model, kept.image)
    found = kept.reader.read(request.row, request.column, layer=request.layer, head=request.head)
    high = float(found.picture.max())
    return AttentionPicture(
        quantise(found.picture / (high or 1.0)),
        high,
        found.patch,
        found.seen,
        found.cell,
        found.grid,
        (int(found.weights.shape[0]), int(found.weights.shape[1])),
        found.elsewhere,
    )


def _distances(model: Model, image: Image) -> Distances:
    from segstudio.inference.insight.distance import attention_distances

    found = attention_distances(model, image)
    layers = tuple(
        (entry.layer.name, tuple(float(value) for value in entry.heads)) for entry in found.layers
    )
    return Distances(layers, found.piece_size, found.pieces)


def _probabilities(model: Model, image: Image, output: int) -> dict[int, ProbabilityPicture]:
    """Return the maps of all outputs where they fit into memory, else of the one asked for."""
    from segstudio.inference.insight.probabilities import class_probabilities

    count = model.checkpoint.classes
    everything = 4 * count * image.shape[0] * image.shape[1] <= _MAPS_BYTES
    outputs = range(count) if everything and 0 <= output < count else (output,)
    found = class_probabilities(model, image, outputs=list(outputs))
    return {
        index: ProbabilityPicture(quantise(one), float(found.means[index]))
        for index, one in zip(found.outputs, found.maps, strict=True)
    }


def _stages(model: Model, image: Image) -> list[StagePicture]:
    from segstudio.inference.insight.features import feature_norms

    found = feature_norms(model, image)
    names = tuple(stage.name for stage in found)
    pictures = []
    for stage in found:
        low, high = float(stage.picture.min()), float(stage.picture.max())
        levels = quantise((stage.picture - low) / ((high - low) or 1.0))
        pictures.append(StagePicture(names, levels, low, high, stage.channels, stage.stride))
    return pictures
