"""Runs in bad company: odd images, changed files, a second process, an engine that errs."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage

from segstudio.core.errors import WriteError
from segstudio.core.types import Sample
from segstudio.datasets.base import Dataset
from segstudio.datasets.images import read_source_map
from segstudio.datasets.opening import open_dataset
from segstudio.project.layout import LAYERS, ProjectLayout
from segstudio.project.locks import hold_run
from segstudio.project.store import Store
from segstudio.session import results, runner
from segstudio.session.engines.base import Engine, Layers, Outcome
from segstudio.session.events import (
    PredictionReady,
    RunEvent,
    RunFinished,
    RunNote,
    RunStarted,
    SampleFailed,
)
from segstudio.session.runner import RunRequest, run_models

Run = Callable[..., list[RunEvent]]


@pytest.fixture(scope="module")
def models() -> dict[Any, Any]:
    """Loaded models, kept between the tests."""
    return {}


@pytest.fixture
def project(tmp_path: Path) -> ProjectLayout:
    (tmp_path / "project").mkdir()
    return ProjectLayout(tmp_path / "project")


@pytest.fixture
def run(tiny_model: Path, project: ProjectLayout, models: dict[Any, Any]) -> Run:
    def call(dataset: Dataset | Path, *, cancelled: Any = lambda: False, **options: Any):
        opened = open_dataset(dataset) if isinstance(dataset, Path) else dataset
        events: list[RunEvent] = []
        request = RunRequest(opened, (str(tiny_model),), project.root, **options)
        run_models(request, events.append, cancelled=cancelled, models=models)
        return events

    return call


def of_kind(events: list[RunEvent], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def ready(events: list[RunEvent]) -> set[str]:
    names = [event.sample_id for event in of_kind(events, PredictionReady)]
    assert len(names) == len(set(names))
    return set(names)


def failed(events: list[RunEvent]) -> dict[str, str]:
    return {event.sample_id: event.error for event in of_kind(events, SampleFailed)}


def finished(project: ProjectLayout) -> dict[str, float]:
    store = Store(project.database)
    try:
        found = store.results("tiny")
    finally:
        store.close()
    return {key: entry.finished for key, entry in found.items() if entry.error is None}


# -- odd images ------------------------------------------------------------


@pytest.fixture
def odd_images(tmp_path: Path) -> Path:
    root = tmp_path / "odd"
    root.mkdir()
    generator = np.random.default_rng(5)
    pixels = generator.integers(0, 256, (40, 56, 3)).astype(np.uint8)
    picture = PilImage.fromarray(pixels)
    picture.save(root / "plain.jpg")
    whole = (root / "plain.jpg").read_bytes()
    (root / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "empty.jpg").touch()
    picture.convert("CMYK").save(root / "cmyk.jpg")
    PilImage.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(root / "deep.png")
    picture.convert("RGBA").save(root / "rgba.png")
    picture.quantize(16).save(root / "palette.png")
    exif = PilImage.Exif()
    exif[0x0112] = 6
    picture.save(root / "rotated.jpg", exif=exif)
    for name, (height, width) in SIZES.items():
        PilImage.fromarray(np.full((height, width, 3), 90, np.uint8)).save(root / name)
    (root / "folder.jpg").mkdir()
    return root


SIZES = {
    "one.png": (1, 1),
    "row.png": (1, 10_000),
    "column.png": (10_000, 1),
    "wide.png": (20, 30_000),
}


def test_every_odd_image_is_done_or_named_once(
    run: Run, odd_images: Path, project: ProjectLayout
) -> None:
    events = run(odd_images)
    problems = failed(events)
    assert problems.keys() == {"truncated.jpg", "empty.jpg"}
    assert all(str(odd_images / name) in text for name, text in problems.items())
    names = {path.name for path in odd_images.iterdir() if path.is_file()}
    assert ready(events) == names - problems.keys()
    (end,) = of_kind(events, RunFinished)
    assert (end.done, end.failed, end.cancelled) == (len(names) - 2, 2, False)
    sizes = {name: (40, 56) for name in names} | SIZES | {"rotated.jpg": (56, 40)}
    for name in names - problems.keys():
        for layer in LAYERS:
            assert read_source_map(project.layer("tiny", layer, name)).shape == sizes[name], name
    # Once more: only what failed is tried again.
    again = run(odd_images)
    assert not ready(again) and failed(again) == problems


def test_what_becomes_a_folder_or_goes_during_the_run_fails_alone(
    run: Run, dataset_folder: Path
) -> None:
    dataset = open_dataset(dataset_folder)
    gone, folder = dataset.samples[1].image_path, dataset.samples[4].image_path
    gone.unlink()
    folder.unlink()
    folder.mkdir()
    problems = failed(run(dataset))
    assert problems == {
        "images/1.png": f"{gone} does not exist.",
        "images/4.png": f"{folder} is a folder, not an image.",
    }


# -- images that change ------------------------------------------------------------


def test_changed_images_are_redone_and_named(
    run: Run, dataset_folder: Path, project: ProjectLayout
) -> None:
    images = dataset_folder / "images"
    run(dataset_folder)
    before = finished(project)
    old = read_source_map(project.layer("tiny", "confidence", "images/2.png"))
    # Another size of file; the same size and another content; the same content, another time.
    (images / "2.png").write_bytes((images / "3.png").read_bytes())
    os.utime(images / "4.png", ns=(1, 1))
    PilImage.new("RGB", (64, 48), (1, 2, 3)).save(images / "5.bmp")
    assert ready(run(dataset_folder)) == {"images/2.png", "images/5.bmp"}
    PilImage.new("RGB", (64, 48), (200, 2, 3)).save(images / "5.bmp")
    os.utime(images / "5.bmp", ns=(5, 5))
    (images / "0.png").unlink()
    dataset = open_dataset(dataset_folder)
    events = run(dataset)
    (begun,) = of_kind(events, RunStarted)
    assert ready(events) == {"images/5.bmp"}
    assert "1 image has changed since the last run and will be redone: images/5.bmp." in (
        begun.notes
    )
    after = finished(project)
    same = {key for key in before if before[key] == after[key]}
    assert same == {f"images/{number}.png" for number in (0, 1, 3, 4, 5)}
    store = Store(project.database)
    signature = store.results("tiny")["images/4.png"].signature
    store.close()
    assert signature is not None and signature.mtime_ns == 1, "it need not be read a third time"
    new = read_source_map(project.layer("tiny", "confidence", "images/2.png"))
    assert not np.array_equal(old, new)
    assert not of_kind(run(dataset), PredictionReady)


def test_a_finished_sample_whose_image_is_gone_keeps_its_result(
    run: Run, dataset_folder: Path, project: ProjectLayout
) -> None:
    dataset = open_dataset(dataset_folder)
    run(dataset)
    before = finished(project)
    dataset.samples[0].image_path.unlink()
    assert not of_kind(run(dataset), PredictionReady | SampleFailed)  # type: ignore[arg-type]
    assert finished(project) == before


def test_results_of_an_older_project_are_kept_unless_the_image_is_younger(
    run: Run, dataset_folder: Path, project: ProjectLayout
) -> None:
    run(dataset_folder)
    store = Store(project.database)
    with store._transaction() as connection:
        connection.execute("UPDATE results SET image_size = NULL, image_mtime_ns = NULL")
    store.close()
    assert not ready(run(dataset_folder))
    late = finished(project)["images/1.png"] + 10
    os.utime(dataset_folder / "images" / "1.png", (late, late))
    assert ready(run(dataset_folder)) == {"images/1.png"}


def test_corrections_are_never_touched(
    run: Run, dataset_folder: Path, project: ProjectLayout
) -> None:
    run(dataset_folder)
    path = project.correction("images/1.png")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"a correction")
    dataset = open_dataset(dataset_folder)
    assert dataset.label_space is not None
    store = Store(project.database)
    store.add_correction("images/1.png", dataset.label_space, "tiny")
    store.set_review("images/1.png", "corrected")
    image = dataset_folder / "images" / "1.png"
    image.write_bytes((dataset_folder / "images" / "0.png").read_bytes())
    assert ready(run(dataset)) == {"images/1.png"}
    assert len(ready(run(dataset, restart=True))) == 6
    assert path.read_bytes() == b"a correction"
    assert store.corrected_samples() == {"images/1.png"}
    assert store.reviews() == {"images/1.png": "corrected"}
    store.close()


# -- company ------------------------------------------------------------


def test_a_second_process_is_told_who_works_on_the_run(
    run: Run, dataset_folder: Path, project: ProjectLayout
) -> None:
    dataset = open_dataset(dataset_folder)
    run(dataset.select(limit=2))
    with hold_run(project.locks, "tiny"), pytest.raises(WriteError) as caught:
        run(dataset)
    message = str(caught.value)
    assert message.startswith(f"The run tiny is being worked on by process {os.getpid()} since ")
    assert len(finished(project)) == 2
    # What is finished can be had meanwhile; and when the other is done the run goes on.
    with hold_run(project.locks, "tiny"):
        assert not ready(run(dataset.select(limit=2)))
    assert len(ready(run(dataset))) == 4


def test_cancelling_keeps_what_is_done_and_goes_on_later(
    run: Run, dataset_folder: Path, project: ProjectLayout
) -> None:
    done: list[str] = []

    class Counting(results.ResultWriter):
        def write(self, outcome: Outcome) -> None:
            super().write(outcome)
            done.append(outcome.sample.sample_id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "ResultWriter", Counting)
        patch.setattr(runner, "_PENDING", 1)
        events = run(dataset_folder, cancelled=lambda: len(done) >= 2)
    (end,) = of_kind(events, RunFinished)
    assert end.cancelled and 2 <= end.done < 6 and end.failed == 0
    first = ready(events)
    assert len(first) == end.done == len(finished(project))
    rest = run(dataset_folder)
    assert ready(rest) == {f"images/{number}.png" for number in range(6)} - first
    assert not of_kind(rest, RunFinished)[0].cancelled


# -- engines and writers that err ------------------------------------------------------------


class _Scripted(Engine):
    """Yields what a function makes of the samples."""

    def __init__(self, script: Callable[[list[Sample]], Any]) -> None:
        self.script = script
        self.closed = False

    def outcomes(self, samples: Any, *, early: Any = (), cancelled: Any = lambda: False) -> Any:
        yield from self.script(list(samples))

    def close(self) -> None:
        self.closed = True


def outcome(sample: Sample) -> Outcome:
    layer = np.zeros((48, 64), np.uint8)
    return Outcome(sample, Layers(layer, layer, layer, layer), None, None, 0.0)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], _Scripted]:
    def use(script: Any) -> _Scripted:
        engine = _Scripted(script)
        monkeypatch.setattr(runner, "_build_engine", lambda request, model: engine)
        return engine

    return use


def test_what_an_engine_loses_fails_and_what_it_doubles_is_written_once(
    run: Run, dataset_folder: Path, scripted: Any, project: ProjectLayout
) -> None:
    engine = scripted(lambda samples: map(outcome, [*samples[1:], samples[1], samples[1]]))
    events = run(dataset_folder)
    assert len(ready(events)) == 5 and engine.closed
    assert list(failed(events)) == ["images/0.png"]
    assert "gave no answer" in failed(events)["images/0.png"]
    (end,) = of_kind(events, RunFinished)
    assert (end.done, end.failed, end.cancelled) == (5, 1, False)


def test_an_engine_that_breaks_keeps_what_came_before(
    run: Run, dataset_folder: Path, scripted: Any, project: ProjectLayout
) -> None:
    def script(samples: list[Sample]) -> Any:
        yield from map(outcome, samples[:3])
        raise RuntimeError("CUDA error: lost")

    engine = scripted(script)
    with pytest.raises(RuntimeError, match="lost"):
        run(dataset_folder)
    assert len(finished(project)) == 3 and engine.closed
    with hold_run(project.locks, "tiny"):
        pass  # the run is free again


def test_what_the_model_says_of_itself_is_told_once(
    run: Run, dataset_folder: Path, scripted: Any, models: dict[Any, Any]
) -> None:
    def script(samples: list[Sample]) -> Any:
        (model,) = models.values()
        for sample in samples:
            model.report("It goes through in tiles.")
            yield outcome(sample)

    scripted(script)
    events = run(dataset_folder)
    assert of_kind(events, RunNote) == [RunNote("tiny", "It goes through in tiles.")]
    assert next(iter(models.values())).report is None


def test_outcomes_do_not_pile_up_before_a_slow_disk(
    run: Run, dataset_folder: Path, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = [0, 0]
    lock = threading.Lock()

    def leave() -> None:
        with lock:
            alive[0] -= 1

    def script(samples: list[Sample]) -> Any:
        for sample in samples:
            made = outcome(sample)
            assert made.layers is not None
            with lock:
                alive[0] += 1
                alive[1] = max(alive)
            weakref.finalize(made.layers.labels, leave)
            yield made
            del made

    scripted(script)
    monkeypatch.setattr(results, "encode_png", lambda pixels: b"x")
    dataset = open_dataset(dataset_folder)
    first = replace(dataset.samples[0], target_path=None)
    many = tuple(replace(first, sample_id=f"{number}.png") for number in range(300))
    events = run(replace(dataset, samples=many))
    assert len(ready(events)) == 300
    assert 1 <= alive[1] <= runner._PENDING + runner._WRITERS + 1


@pytest.mark.parametrize("error", [MemoryError(), ValueError])
def test_a_prediction_that_cannot_be_encoded_fails_alone(
    run: Run,
    dataset_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Any,
    project: ProjectLayout,
) -> None:
    plain = results.ResultWriter._write_layers

    def write_layers(self: Any, made: Outcome) -> None:
        if made.sample.sample_id == "images/3.png":
            raise error
        plain(self, made)

    monkeypatch.setattr(results.ResultWriter, "_write_layers", write_layers)
    if isinstance(error, MemoryError):
        problems = failed(run(dataset_folder))
        assert list(problems) == ["images/3.png"]
        assert "memory of this machine does not suffice" in problems["images/3.png"]
        assert len(finished(project)) == 5
    else:  # a bug is no reason to go on writing
        with pytest.raises(ValueError):
            run(dataset_folder)
        assert "images/3.png" not in finished(project)


def test_scores_that_are_missing_are_made(run: Run, dataset_folder: Path, tmp_path: Path) -> None:
    scores = tmp_path / "scores"
    run(dataset_folder)
    assert len(ready(run(dataset_folder, save_scores=scores))) == 6
    (scores / "images" / "2.png.npz").unlink()
    assert ready(run(dataset_folder, save_scores=scores)) == {"images/2.png"}
    with np.load(scores / "images" / "2.png.npz") as file:
        assert file["scores"].shape == (11, 48, 64)
