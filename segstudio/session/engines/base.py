"""What every engine is, and the parts of it that can run on another machine.

An engine turns samples into outcomes and writes nothing: files and the store are the runner's.
`build_model` and `predict_sample` need nothing but their arguments, so a worker elsewhere that
sees the image files can do the same work with the same result.
"""

from __future__ import annotations

import abc
import hashlib
import json
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import SegStudioError, UsageError
from segstudio.core.types import Image, LabelMap, Prediction, Sample, quantise, quantise_entropy
from segstudio.datasets.rows import RowSource, open_rows
from segstudio.project.layout import LAYERS
from segstudio.project.signature import FileSignature, sign_file
from segstudio.session.engines.spool import empty_layer, let_go

if TYPE_CHECKING:
    from segstudio.inference.bands import RowBand
    from segstudio.inference.ensemble import Ensemble
    from segstudio.inference.model import Model
    from segstudio.session.runner import RunRequest

    Predictor = Model | Ensemble

__all__ = [
    "Decoded",
    "Engine",
    "Layers",
    "Outcome",
    "build_model",
    "fail",
    "predict_decoded",
    "predict_sample",
    "read_sample",
    "run_identity",
    "wanted_precision",
]


@dataclass(frozen=True, slots=True, eq=False)
class Layers:
    """What a run keeps of a prediction, as it is stored.

    Attributes
    ----------
    labels, runner_up : ndarray of shape (H, W), uint8 or uint16
        Most and second most probable class index, or the label space's ignore index.
    entropy : ndarray of shape (H, W), uint8
        ``round(255 * entropy / log C)``.
    confidence : ndarray of shape (H, W), uint8
        ``round(255 * max p)``.
    more : mapping of str to ndarray of shape (H, W), uint8
        What only some models give, by name; see `segstudio.inference.ensemble`.
    """

    labels: LabelMap
    entropy: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    runner_up: LabelMap
    more: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)

    @classmethod
    def from_bands(cls, bands: Iterable[RowBand], height: int) -> Layers:
        """Gather a prediction that comes by rows, its uncertainty in 8 bits.

        That of a huge image lies in files, see `segstudio.session.engines.spool`.

        Parameters
        ----------
        bands : iterable of RowBand
            From the top, without gaps.
        height : int
            Rows of the image.
        """
        whole: Layers | None = None
        for band in bands:
            part = replace(cls.from_prediction(band.prediction), more=band.more)
            if whole is None:
                if len(part.labels) == height:
                    return part
                shape = (height, part.labels.shape[1])
                whole = part.like(partial(_empty_like, shape))
            for name, rows in part.by_name().items():
                into = whole.by_name()[name]
                into[band.top : band.bottom] = rows
                let_go(into)
        assert whole is not None
        return whole

    @classmethod
    def from_prediction(cls, prediction: Prediction) -> Layers:
        """Return a prediction with its uncertainty in 8 bits."""
        return cls(
            prediction.label_map,
            quantise_entropy(prediction.entropy, prediction.classes),
            quantise(prediction.confidence),
            prediction.runner_up,
        )

    def by_name(self) -> dict[str, NDArray[Any]]:
        """Return all layers by the names that `segstudio.project.layout` has for them."""
        plain = (self.labels, self.entropy, self.confidence, self.runner_up)
        return {**dict(zip(LAYERS, plain, strict=True)), **self.more}

    def like(self, make: Callable[[NDArray[Any]], NDArray[Any]]) -> Layers:
        """Return the layers with each replaced by what a function makes of it."""
        labels, entropy, confidence, runner_up = (make(self.by_name()[name]) for name in LAYERS)
        more = {name: make(layer) for name, layer in self.more.items()}
        return Layers(labels, entropy, confidence, runner_up, more)


def _empty_like(shape: tuple[int, int], layer: NDArray[Any]) -> NDArray[Any]:
    return empty_layer(shape, layer.dtype)


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of one sample: its layers, or why there are none.

    Attributes
    ----------
    sample : Sample
    layers : Layers or None
        None when it failed.
    scores : ndarray of shape (C, H, W), float32, or None
        What the argmax was taken of, where that is wanted.
    error : str or None
        One plain sentence when it failed.
    seconds : float
        Of reading and computing, waiting left out.
    signature : FileSignature or None
        The image file, None when it could not be read.
    """

    sample: Sample
    layers: Layers | None
    scores: NDArray[np.float32] | None
    error: str | None
    seconds: float
    signature: FileSignature | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A sample with its image.

    Attributes
    ----------
    sample : Sample
    source : RowSource
        Large files are read when their rows are needed, where the format allows.
    signature : FileSignature
    seconds : float
        Of reading.
    """

    sample: Sample
    source: RowSource
    signature: FileSignature
    seconds: float

    @property
    def image(self) -> Image:
        """All of the image, (H, W, 3) uint8."""
        return self.source.read_rows(0, self.source.height)


class Engine(abc.ABC):
    """Computes one model's predictions."""

    @abc.abstractmethod
    def outcomes(
        self,
        samples: Sequence[Sample],
        *,
        early: Collection[str] = (),
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Generator[Outcome, None, None]:
        """Yield what became of each sample, each exactly once, in any order.

        Parameters
        ----------
        samples : sequence of Sample
        early : collection of str
            Ids of samples that are predicted as if nothing were compiled: the first results of a
            run do not wait for the compiler, nor do they depend on how long it takes.
        cancelled : callable
            Asked several times a second; once it says True nothing is begun any more, and the
            iterator ends after the outcomes of what was being computed.

        Raises
        ------
        SegStudioError
            When the engine itself cannot go on; what fails for one sample is its outcome.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Give back what the engine holds; it is of no use afterwards."""


def build_model(request: RunRequest, name: str) -> Predictor:
    """Load one of a request's models, or several as an ensemble, with the request's options.

    Raises
    ------
    SegStudioError
        See `segstudio.inference.model.load_model` and `segstudio.inference.ensemble.Ensemble`.
    """
    from segstudio.inference.catalogue import member_names
    from segstudio.inference.ensemble import Ensemble
    from segstudio.inference.model import load_model

    models = [
        load_model(
            member,
            device=request.device,
            precision=wanted_precision(request),
            window=request.window,
            refine=request.refine,
            tta=request.tta,
            label_space=request.model_label_space,
        )
        for member in member_names(name)
    ]
    if len(models) == 1:
        return models[0]
    if request.save_scores is not None:
        raise UsageError(f"The scores of an ensemble cannot be saved; name {name} model by model.")
    return Ensemble(models)


def wanted_precision(request: RunRequest) -> str:
    """Return the precision of a request; scores that are to be saved are exact under "auto"."""
    if request.precision == "auto" and request.save_scores is not None:
        return "fp32"
    return request.precision


def run_identity(model: Predictor, refine: str, tta: str = "none") -> str:
    """Return JSON of everything that decides a run's results."""
    members = getattr(model, "models", None)
    if members is not None:
        each = [json.loads(run_identity(member, refine, tta)) for member in members]
        return json.dumps({"ensemble": each}, sort_keys=True)
    model = cast("Model", model)
    digest = hashlib.sha256()
    with model.checkpoint.path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    parts = {
        "weights": digest.hexdigest(),
        "label_space": model.label_space.fingerprint,
        "preprocessing": model.preprocessing.to_json(),
        "precision": model.precision,
        "window": model.window,
        "refine": refine,
    }
    # Runs of before there was a choice keep their identity.
    if tta != "none":
        parts["tta"] = tta
    if model.backend.compiles:
        parts["backend"] = model.backend.name
    return json.dumps(parts, sort_keys=True)


def predict_sample(model: Predictor, sample: Sample, *, with_scores: bool = False) -> Outcome:
    """Read and predict one sample; what goes wrong with it is its outcome."""
    decoded = read_sample(sample)
    if isinstance(decoded, Outcome):
        return decoded
    return predict_decoded(model, decoded, with_scores=with_scores)


def read_sample(sample: Sample) -> Decoded | Outcome:
    """Read a sample's image, or return the outcome that it cannot be read."""
    started = time.perf_counter()
    try:
        # Signed before it is decoded; see `sign_file`.
        signature = sign_file(sample.image_path)
        source = open_rows(sample.image_path)
    except Exception as error:  # noqa: BLE001 - one image that fails is told, not the run's end
        return fail(sample, error, time.perf_counter() - started)
    return Decoded(sample, source, signature, time.perf_counter() - started)


def predict_decoded(model: Predictor, decoded: Decoded, *, with_scores: bool = False) -> Outcome:
    """Predict one sample whose image is read."""
    started = time.perf_counter()
    scores: NDArray[np.float32] | None = None
    try:
        if with_scores:
            exact = cast("Model", model)  # ensembles are refused before
            prediction, scores = exact.predict_with_scores(decoded.image)
            layers = Layers.from_prediction(prediction)
        else:
            bands = model.predict_rows(decoded.source)
            layers = Layers.from_bands(bands, decoded.source.height)
    except Exception as error:  # noqa: BLE001 - one image that fails is told, not the run's end
        seconds = decoded.seconds + time.perf_counter() - started
        return fail(decoded.sample, error, seconds, (decoded.source.height, decoded.source.width))
    seconds = decoded.seconds + time.perf_counter() - started
    return Outcome(decoded.sample, layers, scores, None, seconds, decoded.signature)


def fail(
    sample: Sample, error: Exception, seconds: float, size: tuple[int, int] | None = None
) -> Outcome:
    """Return the outcome of a sample that failed.

    Parameters
    ----------
    size : (int, int), optional
        Height and width of an image that was read.

    Raises
    ------
    Exception
        The error itself when it says that the device is lost: no sample after it could do better.
    """
    if isinstance(error, SegStudioError):
        sentence = str(error)
    elif "CUDA error" in str(error):
        raise error
    elif _is_out_of_memory(error):
        pixels = "" if size is None else f" of {size[0]} x {size[1]} pixels"
        sentence = (
            f"{sample.image_path}{pixels} does not fit into the memory that is free; choose "
            "another device, a window or a smaller model."
        )
    else:
        text = " ".join(str(error).split()).rstrip(".")
        sentence = (
            f"{sample.image_path} cannot be predicted: {type(error).__name__}"
            f"{': ' if text else ''}{text}."
        )
    return Outcome(sample, None, None, sentence, seconds)


def _is_out_of_memory(error: Any) -> bool:
    """Return whether numpy, torch or OpenCV ran out of memory."""
    import cv2

    if isinstance(error, cv2.error):
        return bool(getattr(error, "code", None) == cv2.Error.StsNoMem)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and "memory" in str(error).lower()
    )
