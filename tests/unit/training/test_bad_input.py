"""What a training says of data and machines that are not as they should be."""

from __future__ import annotations

import dataclasses
import errno
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from segstudio.core.errors import CancelledError, TrainingError, UsageError, WriteError
from segstudio.core.label_space import LabelMapping, LabelSpace
from segstudio.training import state, trainer
from segstudio.training.data import LabelledImages, Source
from segstudio.training.plan import TrainNotice, TrainPlan
from segstudio.training.record import read_log
from segstudio.training.trainer import train

MakePlan = Callable[..., TrainPlan]
MakeData = Callable[..., LabelledImages]


def test_a_class_that_is_never_there_is_named(make_plan: MakePlan) -> None:
    plan = make_plan(epochs=1)
    for index in range(len(plan.training)):
        label_map = plan.training.read(index)[1]
        label_map[label_map == 1] = 2
    news: list[Any] = []
    train(plan, news.append)
    (notice,) = [entry.text for entry in news if isinstance(entry, TrainNotice)]
    assert notice == "No training mask has a pixel of red: it will not be learned."


def test_one_image_smaller_than_the_crop(make_plan: MakePlan, make_data: MakeData) -> None:
    plan = make_plan(epochs=2, crop_height=96, crop_width=200)
    one = make_data("one", count=1)
    train(dataclasses.replace(plan, training=one), lambda news: None)
    assert (plan.folder / "best.safetensors").exists()


def test_pixels_that_are_not_numbers_are_read_as_black(
    make_plan: MakePlan, make_data: MakeData, tmp_path: Path
) -> None:
    data = make_data("holes", count=2)
    pixels = np.random.default_rng(0).uniform(1, 2, (40, 48)).astype(np.float32)
    pixels[:5] = np.nan
    path = tmp_path / "holes" / "nan.tiff"
    Image.fromarray(pixels).save(path)
    dataset, sample = data._entries[0]
    holed = dataclasses.replace(
        dataset, samples=(dataclasses.replace(sample, image_path=path), *dataset.samples[1:])
    )
    data = LabelledImages([holed], data.label_space)
    assert not data.read(0)[0][:5].any()
    losses: list[float] = []
    plan = dataclasses.replace(make_plan(epochs=1, validation=False), training=data)
    train(plan, lambda news: losses.append(news.loss))  # type: ignore[union-attr]
    assert losses and all(np.isfinite(losses))


def test_a_full_disk_keeps_the_last_checkpoint(
    make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(epochs=2, checkpoint_every=2, validation=False)
    real, limits = trainer.save_state, resource.getrlimit(resource.RLIMIT_FSIZE)

    def save(path: Path, *rest: Any, **more: Any) -> None:
        if path.exists():  # from the second checkpoint on there is no room
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            real(path, *rest, **more)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    monkeypatch.setattr(trainer, "save_state", save)
    with pytest.raises(WriteError, match="Cannot write") as caught:
        train(plan, lambda news: None)
    assert str(plan.folder / "state.pt") in str(caught.value) and "\n" not in str(caught.value)
    assert torch.load(plan.folder / "state.pt", weights_only=True)["step"] == 2
    assert [path.name for path in plan.folder.iterdir() if "part" in path.name] == []
    monkeypatch.undo()
    train(plan, lambda news: None)
    assert torch.load(plan.folder / "state.pt", weights_only=True)["step"] == 6


def test_a_disk_too_full_for_the_plot_too_names_the_checkpoint(
    make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segstudio.training.record import Record

    def refuse(*_: Any, **__: Any) -> None:
        raise WriteError("Cannot write progress.png: the disk is full.")

    plan = make_plan(epochs=1, validation=False)
    monkeypatch.setattr(Record, "plot", refuse)
    with pytest.raises(WriteError, match="progress"):  # alone it is told
        train(plan, lambda news: None)

    class Full:
        def write(self, data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def flush(self) -> None:
            """There is nothing to flush."""

    real = state._Errors
    monkeypatch.setattr(state, "_Errors", lambda file: real(Full()))  # type: ignore[arg-type]
    second = dataclasses.replace(plan, folder=plan.folder.parent / "second")
    with pytest.raises(WriteError, match=r"state\.pt: the disk is full; free some .* to go on"):
        train(second, lambda news: None)
    assert not (second.folder / "state.pt").exists()


def test_a_resume_with_other_options_says_which(make_plan: MakePlan) -> None:
    plan = make_plan(epochs=1, validation=False)
    train(plan, lambda news: None)
    other = dataclasses.replace(plan.options, learning_rate=0.5, hue=0.1)
    with pytest.raises(UsageError) as caught:
        train(dataclasses.replace(plan, options=other), lambda news: None)
    assert "(hue was the default, is 0.1; learning_rate was 0.002, is 0.5)" in str(caught.value)


def test_a_state_from_before_an_option_existed_is_taken_up(make_plan: MakePlan) -> None:
    from segstudio.training.state import identity_of

    recipe = identity_of(make_plan())["recipe"]
    assert "schedule" not in recipe and "ohem" not in recipe and recipe["optimizer"] == "adamw"
    assert identity_of(make_plan(schedule="cosine"))["recipe"]["schedule"] == "cosine"
    assert {"mode", "epoch_length", "frozen"}.isdisjoint(identity_of(make_plan()))
    plan = make_plan("old", epochs=1, validation=False)
    train(plan, lambda news: None)
    path = plan.folder / "state.pt"
    values = torch.load(path, weights_only=True)
    for key in ("stale", "losses", "scaler", "objective"):
        del values[key]
    torch.save(values, path)
    assert train(plan, lambda news: None).exists()


def test_batch_normalisation_over_one_value_is_one_sentence(make_plan: MakePlan) -> None:
    plan = make_plan(epochs=1, batch=1, validation=False)
    run = trainer._Training(plan, lambda news: None)
    run.network.encoder.append(torch.nn.AdaptiveAvgPool2d(1))  # type: ignore[union-attr,operator]
    run.network.encoder.append(torch.nn.BatchNorm2d(8))  # type: ignore[union-attr,operator]
    with pytest.raises(TrainingError, match="use --batch 2 or more"):
        run.loop(lambda: False)


@pytest.mark.parametrize(
    "error", [RuntimeError("DefaultCPUAllocator: can't allocate memory"), torch.OutOfMemoryError()]
)
def test_too_little_memory_is_one_sentence(
    make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    plan = make_plan(epochs=1, validation=False)
    run = trainer._Training(plan, lambda news: None)

    def backward(*_: Any) -> None:
        raise error

    monkeypatch.setattr(run.objective, "backward", backward)
    with pytest.raises(TrainingError, match=r"memory of cpu does not suffice .* smaller --batch"):
        run.loop(lambda: False)


def test_it_stops_early_and_stays_stopped(make_plan: MakePlan) -> None:
    plan = make_plan(epochs=9, patience=2, learning_rate=0.0, ema=0.0)
    news: list[Any] = []
    train(plan, news.append)
    assert news[-1].text.startswith("Stopped early: 2 validations in a row")
    step = torch.load(plan.folder / "state.pt", weights_only=True)["step"]
    assert step < 27
    again: list[Any] = []
    train(plan, again.append)
    assert again == []


def test_log_and_plot_tell_the_training(make_plan: MakePlan) -> None:
    plan = make_plan(epochs=2)
    train(plan, lambda news: None)
    log = plan.folder / "log.jsonl"
    entries = read_log(log)
    assert [entry["step"] for entry in entries] == [3, 3, 6, 6]
    assert all(np.isfinite(entry["mean_loss"]) for entry in entries if "loss" in entry)
    assert cv2.imread(str(plan.folder / "progress.png")).shape[1] > 400
    # A killed training repeats steps, and its last line may be cut off.
    text = log.read_text()
    log.write_text(text + text + '{"epoch": 3, "st')
    assert read_log(log) == entries


def test_datasets_are_mixed_by_weights_and_mappings(make_data: MakeData) -> None:
    here = make_data("here", count=4)
    there = make_data("there", count=3)._entries[0][0]
    space = LabelSpace.from_json({"name": "other", "classes": ["night", "sky"]})
    mapping = LabelMapping("m", "tiny", "other", (("dark", ("night",)), ("blue", ("sky",))))
    first = here._entries[0][0]
    with pytest.raises(UsageError, match=r"has the label space tiny, but the training other"):
        LabelledImages([Source(first)], space)
    wrong = dataclasses.replace(mapping, target="elsewhere")
    with pytest.raises(UsageError, match="leads from tiny to elsewhere"):
        LabelledImages([Source(first, wrong)], space)
    mixed = LabelledImages([Source(first, mapping, 0.5), Source(there, mapping, 2.0)], space)
    assert (len(mixed), mixed.epoch_length) == (7, 2 + 6)
    order = mixed.epoch(np.random.default_rng(0))
    counts = np.bincount(order, minlength=7)
    assert counts[:4].sum() == 2 and counts[4:].tolist() == [2, 2, 2]
    source = here.read(1)[1]
    wanted = np.full_like(source, 255)
    wanted[source == 0], wanted[source == 2] = 0, 1
    np.testing.assert_array_equal(mixed.read(1)[1], wanted)
    with pytest.raises(TrainingError, match="No image with ground truth"):
        empty = dataclasses.replace(there, samples=())
        LabelledImages([Source(first, mapping), Source(empty, mapping)], space)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside TensorBoard and protobuf
def test_tensorboard_is_told_the_same_as_the_log(make_plan: MakePlan) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    plan = make_plan(epochs=3, checkpoint_every=100)
    last = plan.folder / "state.pt"
    for stop in (2, 8):  # killed behind step 8 with the state of step 2
        kept = last.read_bytes() if last.exists() else b""
        seen: list[Any] = []
        with pytest.raises(CancelledError):
            train(plan, seen.append, cancelled=lambda seen=seen, stop=stop: seen[-1].step >= stop)
    last.write_bytes(kept)
    train(plan, lambda news: None)
    events = EventAccumulator(str(plan.folder / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {
        "loss",
        "mean_loss",
        "learning_rate",
        "validation_miou",
    }
    entries = read_log(plan.folder / "log.jsonl")
    for name in ("mean_loss", "validation_miou"):
        told = [(event.step, event.value) for event in events.Scalars(name)]
        wanted = [(entry["step"], entry[name]) for entry in entries if name in entry]
        assert [step for step, _ in told] == [step for step, _ in wanted] == [3, 6, 9]
        assert [value for _, value in told] == pytest.approx([value for _, value in wanted])
