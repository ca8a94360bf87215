"""Fine-tuning on corrections: what is learned, what judges, what is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from segstudio.architectures.enet import ENetOptions
from segstudio.architectures.unet import UNet
from segstudio.checkpoints.native import NativeCheckpoint, load_native, save_native, state_dict_of
from segstudio.core.errors import CancelledError, TrainingError, UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.core.options import build_options, options_to_json
from segstudio.core.preprocessing import Preprocessing
from segstudio.datasets.encoding import write_gray, write_label_map
from segstudio.datasets.opening import open_dataset
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import Store
from segstudio.session import finetuning
from segstudio.session.finetune_jobs import _STAGES
from segstudio.session.finetuning import FinetuneReport, FinetuneRequest, finetune
from segstudio.training.finetune import (
    CorrectedImages,
    CorrectedSample,
    frozen_parts,
    split_held_out,
)
from segstudio.training.finetune_options import FinetuneOptions, is_held_out

SPACE = LabelSpace.from_json({"name": "tiny", "classes": ["dark", "red", "blue"]})
COLORS = np.array([(20, 20, 20), (220, 40, 40), (40, 40, 220)], np.uint8)
OPTIONS = FinetuneOptions(
    epochs=1, batch=2, crop_height=32, crop_width=32, device="cpu", precision="fp32"
)
Make = Callable[..., FinetuneRequest]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an untrained U-Net as a checkpoint file."""
    torch.manual_seed(0)
    network = UNet(3, build_options(UNet.Options, UNet.smallest))
    path = tmp_path_factory.mktemp("model") / "base.safetensors"
    save_native(
        path,
        NativeCheckpoint(
            "unet",
            options_to_json(network.options),
            SPACE,
            Preprocessing(),
            state_dict_of(network),
            {"title": "Base"},
        ),
    )
    return path


@pytest.fixture
def make(tmp_path: Path, model: Path) -> Make:
    """Return a function that makes a project with corrections and a request for it."""

    def build(count: int = 12, space: LabelSpace = SPACE, **values: Any) -> FinetuneRequest:
        folder, layout = tmp_path / "images", ProjectLayout(tmp_path / "project")
        for path in (folder, layout.root):
            path.mkdir()
        store = Store(layout.database)
        for seed in range(count):
            generator = np.random.default_rng(seed)
            label_map = np.kron(
                generator.integers(0, 3, (4, 5)).astype(np.uint8), np.ones((8, 8), np.uint8)
            )
            name = f"{seed}.png"
            Image.fromarray(COLORS[label_map]).save(folder / name)
            write_label_map(layout.correction(name), label_map)
            store.add_correction(name, space, None)
        store.close()
        request = FinetuneRequest(
            open_dataset(folder), layout.root, str(model), tmp_path / "tuned.safetensors", OPTIONS
        )
        return dataclasses.replace(request, **values)

    return build


def quiet(*_: Any) -> None:
    """Hear nothing."""


def test_a_sample_never_moves_between_the_parts() -> None:
    names = [f"a/{index}.jpg" for index in range(2000)]
    held = {name for name in names if is_held_out(name, 0.25)}
    assert 0.22 < len(held) / len(names) < 0.28
    assert held <= {name for name in names if is_held_out(name, 0.5)}
    samples = [CorrectedSample(name, Path(name), Path(name)) for name in names[:40]]
    learned, judges = split_held_out(samples, 0.25)
    more = split_held_out(samples[:39], 0.25)
    assert {s.sample_id for s in more[0]} <= {s.sample_id for s in learned}
    assert {s.sample_id for s in judges} == held & {s.sample_id for s in samples}


def test_too_few_corrections_are_one_sentence(make: Make) -> None:
    with pytest.raises(TrainingError, match="There are 3 corrected or checked images"):
        finetune(make(3), quiet)


def test_pixels_weigh_what_the_option_says(tmp_path: Path) -> None:
    label_map = np.zeros((4, 6), np.uint8)
    label_map[0] = 2
    predicted = np.zeros((4, 6), np.uint8)
    entropy = np.full((4, 6), 51, np.uint8)
    Image.fromarray(COLORS[label_map]).save(tmp_path / "a.png")
    for name, pixels in (("label", label_map), ("run", predicted)):
        write_label_map(tmp_path / f"{name}.png", pixels)
    write_gray(tmp_path / "entropy.png", entropy)
    sample = CorrectedSample(
        "a", tmp_path / "a.png", *(tmp_path / f"{n}.png" for n in ("label", "run", "entropy"))
    )
    for pixels, other in (("weighted", 204), ("corrected", 0), ("all", 255)):
        _, target, weights = CorrectedImages([sample], SPACE, pixels=pixels).read(0)
        assert (weights[0] == 255).all() and (weights[1:] == other).all(), pixels
        np.testing.assert_array_equal(target, label_map)
    resized = dataclasses.replace(sample, size=(8, 12))
    image, target, weights = CorrectedImages([resized], SPACE, pixels="weighted").read(0)
    assert image.shape == (8, 12, 3) and target.shape == weights.shape == (8, 12)
    vouched = dataclasses.replace(sample, predicted_path=None)
    assert (CorrectedImages([vouched], SPACE, pixels="weighted").read(0)[2] == 255).all()


def test_a_better_model_is_written_with_its_provenance(make: Make, model: Path) -> None:
    request = make(options=dataclasses.replace(OPTIONS, epochs=8, learning_rate=1e-2))
    stages: list[str] = []
    report = finetune(request, lambda stage, *_: stages.append(stage))
    assert report.output == request.output
    assert report.mean.before is not None and report.mean.after is not None
    assert report.mean.after > report.mean.before + 0.02
    assert report.mean.interval is not None and report.mean.interval[0] < report.mean.interval[1]
    assert not set(report.learned) & set(report.held_out)
    assert len(report.learned) + len(report.held_out) == 12
    there = "Judging the model that is there"
    assert list(dict.fromkeys(stages)) == [stage for stage in _STAGES if stage != there]
    tuned, base = load_native(request.output), load_native(model)
    assert tuned is not None and base is not None
    assert tuned.label_space == SPACE and tuned.card["fine_tuned_from"] == "base.safetensors"
    assert tuned.card["base_card"] == {"title": "Base"}
    assert tuned.card["fine_tuning"]["miou"]["after"] == report.mean.after
    statistics = [key for key in tuned.state_dict if "running_mean" in key]
    assert statistics
    assert all(torch.equal(tuned.state_dict[key], base.state_dict[key]) for key in statistics)
    assert [path.name for path in request.output.parent.iterdir() if "tuning" in path.name] == []


def test_a_better_model_is_not_replaced_by_a_worse_one(make: Make, model: Path) -> None:
    request = make(output=model, options=dataclasses.replace(OPTIONS, learning_rate=0.0))
    before = model.read_bytes()
    report = finetune(request, quiet)
    assert report.output is None and "is not better" in report.reason
    assert model.read_bytes() == before
    other = model.with_name("forced.safetensors")
    forced = dataclasses.replace(request, replace_better=True, output=other)
    assert finetune(forced, quiet).output == other and other.exists()


def test_corrections_in_other_classes_are_refused(make: Make) -> None:
    other = LabelSpace.from_json({"name": "other", "classes": ["a", "b", "c"]})
    with pytest.raises(TrainingError, match=r"is in the label space other, but the model"):
        finetune(make(space=other), quiet)


def test_an_encoder_that_is_not_there_cannot_be_frozen() -> None:
    with pytest.raises(TrainingError, match="choose --freeze norms"):
        frozen_parts("enet", ENetOptions(), 3, "encoder")
    unet = UNet.Options(**UNet.smallest)
    assert frozen_parts("unet", unet, 3, "encoder") == ("encoder",)
    assert frozen_parts("unet", unet, 3, "norms") == ()


def test_a_better_model_that_is_there_stays(make: Make, model: Path) -> None:
    learning = dataclasses.replace(OPTIONS, epochs=8, learning_rate=1e-2)
    request = make(options=learning)
    better = finetune(request, quiet)
    assert better.output is not None
    before = request.output.read_bytes()
    little = dataclasses.replace(
        request, options=dataclasses.replace(OPTIONS, learning_rate=1e-4, epochs=2)
    )
    stages: list[str] = []
    report = finetune(little, lambda stage, *_: stages.append(stage))
    assert "Judging the model that is there" in stages
    assert better.mean.after is not None
    assert report.output is None and request.output.read_bytes() == before
    assert f"{100 * better.mean.after:.2f} of the model that was there" in report.reason
    assert finetune(dataclasses.replace(little, replace_better=True), quiet).output is not None
    request.output.write_bytes(b"something else")
    with pytest.raises(UsageError, match="exists and is no model of tiny"):
        finetune(request, quiet)
    assert request.output.read_bytes() == b"something else"


LONGER = dataclasses.replace(OPTIONS, epochs=4, learning_rate=1e-2)


def stopped_at(request: FinetuneRequest, step: int) -> list[int]:
    """Fine-tune up to a step, and return the steps that were told."""
    told = [0]

    def report(stage: str, done: int, *_: Any) -> None:
        if stage == "Fine-tuning":
            told.append(done)

    with pytest.raises(CancelledError, match="start it again with the same choices to go on"):
        finetune(request, report, cancelled=lambda: told[-1] >= step)
    return told[1:]


def steps_of(request: FinetuneRequest) -> tuple[FinetuneReport, list[int]]:
    told: list[int] = []
    report = finetune(
        request, lambda stage, done, *_: told.append(done) if stage == "Fine-tuning" else None
    )
    return report, told


def test_a_stopped_one_goes_on_and_comes_to_the_same(make: Make, tmp_path: Path) -> None:
    request = make(options=LONGER)
    assert stopped_at(request, 5) == [1, 2, 3, 4, 5]
    assert not request.output.exists()
    report, told = steps_of(request)
    assert told[0] == 6 and report.output is not None
    unbroken, whole = steps_of(
        dataclasses.replace(request, output=tmp_path / "elsewhere" / "x.safetensors")
    )
    assert whole[0] == 1 and whole[-1] == told[-1] and unbroken.mean == report.mean
    one, two = load_native(request.output), load_native(tmp_path / "elsewhere" / "x.safetensors")
    assert one is not None and two is not None
    assert all(torch.equal(value, two.state_dict[key]) for key, value in one.state_dict.items())
    assert {path.name for path in (tmp_path / "elsewhere").iterdir()} == {"x.safetensors"}


def test_other_options_or_corrections_start_again(make: Make) -> None:
    request = make(options=LONGER)
    stopped_at(request, 3)
    other = dataclasses.replace(request, options=dataclasses.replace(LONGER, learning_rate=1e-3))
    assert stopped_at(other, 2) == [1, 2]
    assert stopped_at(other, 3) == [3]
    layout = ProjectLayout(request.project)
    changed = next(f"{seed}.png" for seed in range(12) if not is_held_out(f"{seed}.png", 0.25))
    write_label_map(layout.correction(changed), np.ones((32, 40), np.uint8))
    assert steps_of(other)[1][0] == 1


def test_a_folder_in_the_way_and_a_second_one_are_sentences(make: Make) -> None:
    from filelock import FileLock

    request = make()
    folder = request.output.with_name("tuned.safetensors.fine-tuning")
    folder.mkdir()
    (folder / "precious.txt").write_text("x")
    with pytest.raises(UsageError, match="is in the way"):
        finetune(request, quiet)
    assert (folder / "precious.txt").exists()
    (folder / "precious.txt").unlink()
    lock = FileLock(request.output.with_name(".tuned.safetensors.lock"))
    with lock, pytest.raises(UsageError, match="Another fine-tuning that will write"):
        finetune(request, quiet)
    assert len(finetune(request, quiet).learned) > 0


def test_the_file_has_to_be_called_as_what_it_is(make: Make, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is called otherwise"):
        finetune(make(output=tmp_path / "model.pth"), quiet)


def test_a_report_is_json() -> None:
    import json

    change = finetuning.ClassChange("mean IoU", 0.5, None, None)
    report = FinetuneReport(None, ("a",), ("b",), change)
    assert json.loads(json.dumps(report.to_json()))["miou"]["before"] == 0.5
