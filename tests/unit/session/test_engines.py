"""The local engine: what the model says, each sample once, one failure alone, bounded memory."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from segstudio.core.errors import CancelledError, SegStudioError, UsageError
from segstudio.core.preprocessing import Preprocessing
from segstudio.core.types import Prediction, Sample, quantise, quantise_entropy
from segstudio.datasets.images import read_image
from segstudio.datasets.opening import open_dataset
from segstudio.datasets.rows import ArrayRows
from segstudio.inference.bands import RowBand
from segstudio.session.engines import base
from segstudio.session.engines.base import Layers, Outcome, build_model, predict_sample
from segstudio.session.engines.local import LocalEngine, parse_batch
from segstudio.session.runner import RunRequest


@pytest.fixture
def samples(dataset_folder: Path) -> tuple[Sample, ...]:
    return open_dataset(dataset_folder).samples


@pytest.fixture
def model(tiny_model: Path, dataset_folder: Path) -> Any:
    request = RunRequest(open_dataset(dataset_folder), (str(tiny_model),), dataset_folder)
    return build_model(request, str(tiny_model))


def run(engine: LocalEngine, samples: Any, **options: Any) -> list[Outcome]:
    with closing(engine), closing(engine.outcomes(samples, **options)) as outcomes:
        return list(outcomes)


def assert_same(found: Layers, other: Layers) -> None:
    assert found.by_name().keys() == other.by_name().keys()
    for one, two in zip(found.by_name().values(), other.by_name().values(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("batch", ["auto", "1", "4"])
def test_outcomes_are_what_the_model_says(model: Any, samples: Any, batch: str) -> None:
    outcomes = {entry.sample: entry for entry in run(LocalEngine(model, batch=batch), samples)}
    assert outcomes.keys() == set(samples)
    for sample, outcome in outcomes.items():
        prediction = model.predict(read_image(sample.image_path))
        layers = outcome.layers
        assert outcome.error is None and layers is not None and outcome.scores is None
        assert (layers.labels == prediction.label_map).mean() > 0.999
        entropy = quantise_entropy(prediction.entropy, prediction.classes).astype(int)
        assert np.abs(layers.entropy - entropy).max() <= 1
        assert np.abs(layers.confidence - quantise(prediction.confidence).astype(int)).max() <= 1
        assert layers.entropy.dtype == layers.confidence.dtype == np.uint8
        assert outcome.seconds > 0
        assert outcome.signature is not None
        assert outcome.signature.size == sample.image_path.stat().st_size
        if batch == "auto":  # what a worker elsewhere would answer
            again = predict_sample(model, sample)
            assert again.layers is not None
            assert_same(layers, again.layers)


def test_equal_inputs_go_through_the_network_together(model: Any, samples: Any) -> None:
    sizes: list[int] = []
    plain = model.run

    def run_counted(prepared: Any) -> Any:
        sizes.append(len(prepared))
        return plain(prepared)

    model.run = run_counted
    assert len(run(LocalEngine(model, batch="3"), samples)) == 6
    assert sizes == [3, 3]


def test_a_batch_that_does_not_fit_is_halved(model: Any, samples: Any) -> None:
    tried: list[int] = []

    def run_short(prepared: Any) -> Any:
        tried.append(len(prepared))
        raise MemoryError

    model.run = run_short
    outcomes = run(LocalEngine(model, batch="6"), samples)
    assert {entry.sample for entry in outcomes} == set(samples)
    assert all(entry.error is None for entry in outcomes), "one by one they fit"
    assert tried == [6, 3, 2, 3, 2]


OUT_OF_MEMORY = [
    MemoryError(),
    RuntimeError("[enforce fail] not enough memory: you tried to allocate 1 TB"),
    SegStudioError("An image of 48 x 64 pixels does not fit into the memory of cpu."),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("batch", ["1", "3"])
def test_one_image_that_does_not_fit_fails_alone(
    model: Any, samples: Any, error: Exception, batch: str
) -> None:
    bad = read_image(samples[2].image_path)
    plain, plain_run = model.predict_rows, model.run

    def predict_rows(source: Any) -> Any:
        if np.array_equal(source.read_rows(0, source.height), bad):
            raise error
        return plain(source)

    def run_checked(prepared: Any) -> Any:
        if any(np.array_equal(entry.image, bad) for entry in prepared):
            raise MemoryError
        return plain_run(prepared)

    model.predict_rows, model.run = predict_rows, run_checked
    outcomes = run(LocalEngine(model, batch=batch), samples)
    assert Counter(entry.sample for entry in outcomes) == Counter(samples)
    (failed,) = (entry for entry in outcomes if entry.error is not None)
    assert failed.sample == samples[2] and failed.layers is None
    assert "does not fit into the memory" in str(failed.error)


def test_opencv_out_of_memory_is_told_as_such(samples: Any) -> None:
    error = cv2.error("Insufficient memory")
    error.code = cv2.Error.StsNoMem  # type: ignore[attr-defined]
    outcome = base.fail(samples[0], error, 0.0, (5, 6))
    assert "of 5 x 6 pixels does not fit into the memory" in str(outcome.error)


def test_what_nobody_foresaw_fails_one_image_in_one_sentence(model: Any, samples: Any) -> None:
    def predict_rows(source: Any) -> Any:
        raise ValueError("Kernel size can't be\ngreater than input.")

    model.predict_rows = predict_rows
    outcome = predict_sample(model, samples[0])
    assert outcome.error == (
        f"{samples[0].image_path} cannot be predicted: ValueError: Kernel size can't be greater "
        "than input."
    )


@pytest.mark.parametrize("batch", ["1", "3"])
def test_a_lost_device_ends_the_run(model: Any, samples: Any, batch: str) -> None:
    def lose(_: Any) -> Any:
        raise RuntimeError("CUDA error: device-side assert triggered")

    model.predict_rows = model.run = lose
    with pytest.raises(RuntimeError, match="device-side assert"):
        run(LocalEngine(model, batch=batch), samples)


def test_scores_are_kept_when_wanted(model: Any, samples: Any) -> None:
    for outcome in run(LocalEngine(model, with_scores=True, batch="4"), samples):
        assert outcome.scores is not None and outcome.layers is not None
        assert outcome.scores.shape == (11, 48, 64) and outcome.scores.dtype == np.float32
        assert (outcome.scores.argmax(0) == outcome.layers.labels).mean() > 0.999


def test_bands_are_joined_in_their_places() -> None:
    generator = np.random.default_rng(1)

    def prediction(rows: slice) -> Prediction:
        return Prediction(labels[rows], values[rows], values[rows], labels[rows] + 1, 11)

    labels = generator.integers(0, 9, (20, 6)).astype(np.uint16)
    values = generator.random((20, 6), np.float32)
    parts = [slice(0, 7), slice(7, 8), slice(8, 20)]
    bands = [RowBand(p.start, prediction(p)) for p in parts]
    whole = Layers.from_prediction(prediction(slice(None)))
    assert_same(Layers.from_bands(bands, 20), whole)  # type: ignore[arg-type]


# -- memory and stopping, with a model that only pretends ----------------------------


class _Pretender:
    """Answers at once; counts the images that are alive."""

    def __init__(self) -> None:
        self.device = SimpleNamespace(type="cpu")
        self.backend = SimpleNamespace(compiles=False)
        self.preprocessing, self.views, self.window = Preprocessing(), (), None
        self.alive = self.most = 0
        self.threads: list[int] = []
        self.lock = threading.Lock()

    def open_rows(self, path: Path) -> ArrayRows:
        image = np.zeros((4, 4, 3), np.uint8)
        weakref.finalize(image, self._leave)
        with self.lock:
            self.alive += 1
            self.most = max(self.most, self.alive)
        return ArrayRows(image)

    def _leave(self) -> None:
        with self.lock:
            self.alive -= 1

    def predict_rows(self, source: ArrayRows) -> Iterator[Any]:
        zeros, halves = np.zeros((4, 4), np.uint8), np.full((4, 4), 0.5, np.float32)
        prediction = Prediction(zeros, halves, halves, zeros, 11)
        yield RowBand(0, prediction)


@pytest.fixture
def pretender(monkeypatch: pytest.MonkeyPatch) -> _Pretender:
    from segstudio.inference import sharing

    pretender = _Pretender()
    monkeypatch.setattr(base, "open_rows", pretender.open_rows)
    monkeypatch.setattr(sharing, "pass_pixels", lambda model, source: 16)
    monkeypatch.setattr(sharing, "pixels_at_once", lambda device: 1000)
    monkeypatch.setattr(sharing, "usable_threads", lambda: 6)
    monkeypatch.setattr(sharing, "set_threads", pretender.threads.append)
    return pretender


def test_ten_thousand_images_take_no_more_memory_than_twenty(pretender: Any, tmp_path: Path):
    file = tmp_path / "a.png"
    file.write_bytes(b"x")
    most = {}
    for count in (20, 10_000):
        pretender.most = 0
        engine = LocalEngine(pretender)
        samples = [Sample(f"{number}.png", file) for number in range(count)]
        seen = 0
        with closing(engine.outcomes(samples)) as outcomes:
            for outcome in outcomes:
                assert outcome.error is None
                seen += 1
        assert seen == count and pretender.alive == 0
        most[count] = pretender.most
    assert most[10_000] <= engine.limits(10_000).alive <= 20


@pytest.mark.parametrize(
    ("images", "weight", "workers", "threads"),
    [(100, 16, 6, 1), (2, 16, 2, 3), (1, 16, 1, 6), (100, 400, 6, 3), (100, 5000, 6, 6)],
)
def test_cores_are_shared_and_given_back(
    pretender: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    images: int,
    weight: int,
    workers: int,
    threads: int,
) -> None:
    from segstudio.inference import sharing

    monkeypatch.setattr(sharing, "pass_pixels", lambda model, source: weight)
    file = tmp_path / "a.png"
    file.write_bytes(b"x")
    engine = LocalEngine(pretender)
    assert engine.limits(images).workers == workers
    assert len(run(engine, [Sample(str(number), file) for number in range(images)])) == images
    assert pretender.threads == [threads] * images + [6]


def test_nothing_is_begun_after_cancelling(pretender: Any, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"x")
    stop = threading.Event()
    begun: list[int] = []
    plain = pretender.predict_rows

    def predict_rows(source: Any) -> Any:
        begun.append(1)
        if len(begun) == 10:
            stop.set()
        return plain(source)

    pretender.predict_rows = predict_rows
    samples = [Sample(f"{number}.png", file) for number in range(1000)]
    engine = LocalEngine(pretender)
    outcomes = run(engine, samples, cancelled=stop.is_set)
    assert 10 <= len(begun) == len(outcomes) <= 10 + engine.limits(1000).workers + 1


# -- words ------------------------------------------------------------


def test_batches_are_auto_or_a_number() -> None:
    assert parse_batch("auto") is None and parse_batch("16") == 16
    for wrong in ("0", "-1", "many", "", "²"):
        with pytest.raises(UsageError, match="auto or a number of images from 1"):
            parse_batch(wrong)


@pytest.mark.parametrize("stopped", [False, True])
def test_the_first_images_of_a_run_do_not_wait_for_the_compiler(
    model: Any, samples: Any, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    calls: list[Any] = []
    early = {sample.sample_id for sample in samples[:2]}

    def wait_ready(self: Any, counts: Any, *, cancelled: Any) -> None:
        calls.append(("waited", counts))
        if stopped:
            raise CancelledError("Stopped.")

    @contextlib.contextmanager
    def uncompiled(self: Any) -> Iterator[None]:
        calls.append("uncompiled")
        yield

    backend = type(model.backend)
    monkeypatch.setattr(backend, "compiles", True)
    monkeypatch.setattr(backend, "start", lambda self, counts: calls.append(("began", counts)))
    monkeypatch.setattr(backend, "wait_ready", wait_ready)
    monkeypatch.setattr(backend, "uncompiled", uncompiled)
    counts = {(8, 8): 9}
    outcomes = list(LocalEngine(model, counts=counts).outcomes(samples, early=early))
    assert calls == [("began", counts), "uncompiled", "uncompiled", ("waited", counts)]
    done = [outcome.sample.sample_id for outcome in outcomes]
    assert set(done[:2]) == early and len(set(done)) == (2 if stopped else len(samples))
    # A run that goes on after the compiler keeps to it.
    calls.clear()
    again = list(LocalEngine(model).outcomes(samples[1:], early=early))
    assert calls == ["uncompiled"] and len(again) == len(samples) - 1
