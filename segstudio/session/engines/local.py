"""The engine of this machine: threads that read ahead, compute, and hand on.

On a CPU several images are computed side by side, each by its own thread with its share of the
cores: the parts of a network that only one core can do, the fused post-processing among them, then
never leave the others idle, and no time goes into waking threads for small operations.  On a GPU
inputs of equal size go through the network together.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from segstudio.core.errors import CancelledError, SegStudioError, UsageError
from segstudio.core.types import Sample
from segstudio.datasets.images import read_image_size
from segstudio.session.engines.base import (
    Decoded,
    Engine,
    Layers,
    Outcome,
    fail,
    predict_decoded,
    read_sample,
)
from segstudio.session.pipeline import Limits, Loaded, stream

if TYPE_CHECKING:
    from segstudio.inference.model import Model, Prepared
    from segstudio.session.engines.base import Predictor

__all__ = ["LocalEngine", "image_sizes", "parse_batch"]

_MOST_WORKERS = 8
"""More images side by side cost more memory than the last cores are worth."""
_GPU_BATCH = 8
_GPU_WORKERS = 2
"""One batch is computed while the host still works on the one before."""


def parse_batch(text: str) -> int | None:
    """Return the images per pass of "N", None for "auto".

    Raises
    ------
    UsageError
        When it is neither.
    """
    if text == "auto":
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UsageError(f"A batch is auto or a number of images from 1, not {text!r}.")
    return int(text)


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """A sample that is read and, where several may go together, ready for the network."""

    decoded: Decoded
    prepared: Prepared | None


class LocalEngine(Engine):
    """Computes in threads of this process.

    Parameters
    ----------
    model : Model
    batch : str
        See `parse_batch`.  "auto" is 1 on a CPU, where more only cost memory, and 8 on a GPU.
    with_scores : bool
        Whether outcomes carry their scores; one image at a time then, they are large.
    counts : mapping of (int, int) to int, optional
        Inputs of each shape that the whole run makes; the model is compiled for these, where it
        compiles.  None leaves it as it is.
    """

    def __init__(
        self,
        model: Predictor,
        *,
        batch: str = "auto",
        with_scores: bool = False,
        counts: Mapping[tuple[int, int], int] | None = None,
    ) -> None:
        from segstudio.inference.sharing import usable_threads

        self._model = model
        self._with_scores = with_scores
        self._counts = counts
        self._on_cpu = model.device.type == "cpu"
        self._threads = usable_threads()
        self._batch = parse_batch(batch) or (1 if self._on_cpu else _GPU_BATCH)
        if with_scores:
            self._batch = 1

    def outcomes(
        self,
        samples: Sequence[Sample],
        *,
        early: Collection[str] = (),
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Generator[Outcome, None, None]:
        """See `Engine.outcomes`."""
        from segstudio.inference.sharing import set_threads

        try:
            if self._counts and self._model.backend.compiles:
                self._model.backend.start(self._counts)
                first = [sample for sample in samples if sample.sample_id in early]
                yield from self._stream(first, early, cancelled)
                self._model.backend.wait_ready(self._counts, cancelled=cancelled)
                samples = [sample for sample in samples if sample.sample_id not in early]
            yield from self._stream(samples, early, cancelled)
        except CancelledError:
            return  # while the rest waited for the compiler
        finally:
            if self._on_cpu:
                set_threads(self._threads)

    def _stream(
        self, samples: Sequence[Sample], early: Collection[str], cancelled: Callable[[], bool]
    ) -> Iterator[Outcome]:
        from segstudio.inference.sharing import set_threads

        def compute(batch: list[_Work], beside: int) -> list[Outcome]:
            if self._on_cpu:
                set_threads(max(1, self._threads // beside))
            if batch[0].decoded.sample.sample_id not in early:
                return self._predict(batch)
            with self._model.backend.uncompiled():
                return self._predict(batch)

        def load(sample: Sample) -> Loaded[_Work] | Outcome:
            return self._load(sample, sample.sample_id in early)

        yield from stream(samples, load, compute, self.limits(len(samples)), cancelled=cancelled)

    def limits(self, count: int) -> Limits:
        """Return the bounds of the pipeline for so many samples."""
        from segstudio.inference.sharing import pixels_at_once

        if self._with_scores:
            workers = 1
        elif self._on_cpu:
            batches = max(1, -(-count // self._batch))
            workers = min(self._threads, _MOST_WORKERS, batches)
        else:
            workers = _GPU_WORKERS
        loaders = max(1, min(4, self._threads // 2))
        ahead = max(workers + loaders, 2 * self._batch)
        return Limits(loaders, workers, self._batch, ahead, pixels_at_once(self._model.device))

    def close(self) -> None:
        """See `Engine.close`; the model stays usable."""

    def _load(self, sample: Sample, early: bool) -> Loaded[_Work] | Outcome:
        """Read a sample and, for batches, bring it to the network's input size."""
        from segstudio.inference.sharing import pass_pixels

        decoded = read_sample(sample)
        if isinstance(decoded, Outcome):
            return decoded
        weight = pass_pixels(self._model, decoded.source)
        prepared = None
        if self._batch > 1:
            try:
                prepared = self._model.prepare(decoded.image)
            except Exception as error:  # noqa: BLE001 - one image that fails is told
                size = (decoded.source.height, decoded.source.width)
                return fail(sample, error, decoded.seconds, size)
        input_size = None if prepared is None else prepared.input_size
        return Loaded(_Work(decoded, prepared), (early, input_size), weight)

    def _predict(self, batch: list[_Work]) -> list[Outcome]:
        """Predict inputs of one size; a batch that fails is tried again in halves."""
        ready = [(work.decoded, work.prepared) for work in batch]
        prepared = [entry for _, entry in ready if entry is not None]
        if len(batch) > 1 and len(prepared) == len(batch):
            try:
                return self._predict_together([work.decoded for work in batch], prepared)
            except Exception as error:  # noqa: BLE001 - told by the image that fails alone
                fail(batch[0].decoded.sample, error, 0.0)  # raises when the device is lost
            half = len(batch) // 2
            return [*self._predict(batch[:half]), *self._predict(batch[half:])]
        # One image alone, or images that go through in windows or tiles.
        return [
            predict_decoded(self._model, decoded, with_scores=self._with_scores)
            for decoded, _ in ready
        ]

    def _predict_together(
        self, decoded: Sequence[Decoded], prepared: Sequence[Prepared]
    ) -> list[Outcome]:
        started = time.perf_counter()
        model = cast("Model", self._model)  # an ensemble prepares nothing
        logits = model.run(prepared)
        layers = [
            Layers.from_prediction(model.finish(*pair))
            for pair in zip(prepared, logits, strict=True)
        ]
        each = (time.perf_counter() - started) / len(decoded)
        return [
            Outcome(entry.sample, found, None, None, entry.seconds + each, entry.signature)
            for entry, found in zip(decoded, layers, strict=True)
        ]


def image_sizes(samples: Sequence[Sample]) -> Iterator[tuple[int, int]]:
    """Yield the (H, W) of the images that can be read; the others fail when their turn comes."""
    for sample in samples:
        with contextlib.suppress(SegStudioError, OSError):
            yield read_image_size(sample.image_path)
