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
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import SegStudioError
from segstudio.core.types import Image, LabelMap, Prediction, Sample, quantise, quantise_entropy
from segstudio.datasets.rows import RowSource, open_rows
from segstudio.project.signature import FileSignature, sign_file

if TYPE_CHECKING:
    from segstudio.inference.bands import RowBand
    from segstudio.inference.model import Model
    from segstudio.session.runner import RunRequest

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
    """

    labels: LabelMap
    entropy: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    runner_up: LabelMap

    @classmethod
    def from_bands(cls, bands: Iterable[RowBand], height: int) -> Layers:
        """Gather a prediction that comes by rows, its uncertainty in 8 bits.

        Parameters
        ----------
        bands : iterable of RowBand
            From the top, without gaps.
        height : int
            Rows of the image.
        """
        whole: Layers | None = None
        for band in bands:
            part = cls.from_prediction(band.prediction)
            if whole is None:
                if len(part.labels) == height:
                    return part
                shape = (height, part.labels.shape[1])
                whole = cls(*(np.empty(shape, layer.dtype) for layer in part.all()))
            for into, rows in zip(whole.all(), part.all(), strict=True):
                into[band.top : band.bottom] = rows
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

    def all(self) -> tuple[NDArray[Any], ...]:
        """Return labels, entropy, confidence and runner-up, as `LAYERS` of a project names them."""
        return (self.labels, self.entropy, self.confidence, self.runner_up)


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
        self, samples: Sequence[Sample], *, cancelled: Callable[[], bool] = lambda: False
    ) -> Generator[Outcome, None, None]:
        """Yield what became of each sample, each exactly once, in any order.

        Parameters
        ----------
        samples : sequence of Sample
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


def build_model(request: RunRequest, name: str) -> Model:
    """Load one of a request's models with the request's options.

    Raises
    ------
    SegStudioError
        See `segstudio.inference.model.load_model`.
    """
    from segstudio.inference.model import load_model

    return load_model(
        name,
        device=request.device,
        precision=request.precision,
        window=request.window,
        refine=request.refine,
        tta=request.tta,
        label_space=request.model_label_space,
    )


def run_identity(model: Model, refine: str, tta: str = "none") -> str:
    """Return JSON of everything that decides a run's results."""
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


def predict_sample(model: Model, sample: Sample, *, with_scores: bool = False) -> Outcome:
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


def predict_decoded(model: Model, decoded: Decoded, *, with_scores: bool = False) -> Outcome:
    """Predict one sample whose image is read."""
    started = time.perf_counter()
    scores: NDArray[np.float32] | None = None
    try:
        if with_scores:
            prediction, scores = model.predict_with_scores(decoded.image)
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
