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
    assert list(dict.fromkeys(stages)) == list(_STAGES)
    tuned, base = load_native(request.output), load_native(model)
    assert tuned is not None and base is not None
    assert tuned.label_space == SPACE and tuned.card["fine_tuned_from"] == "base.safetensors"
    assert tuned.card["base_card"] == {"title": "Base"}
    assert tuned.card["fine_tuning"]["miou"]["after"] == report.mean.after
    statistics = [key for key in tuned.state_dict if "running_mean" in key]
    assert statistics
    assert all(torch.equal(tuned.state_dict[key], base.state_dict[key]) for key in statistics)
    assert [path.name for path in request.output.parent.iterdir() if "finetune" in path.name] == []


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


def test_stopping_writes_nothing(make: Make) -> None:
    request = make()
    asked: list[str] = []

    def report(stage: str, *_: Any) -> None:
        asked.append(stage)

    with pytest.raises(CancelledError, match="nothing was written"):
        finetune(request, report, cancelled=lambda: asked[-1] == "Fine-tuning")
    assert not request.output.exists()
    assert [path.name for path in request.output.parent.iterdir() if "finetune" in path.name] == []


def test_the_file_has_to_be_called_as_what_it_is(make: Make, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is called otherwise"):
        finetune(make(output=tmp_path / "model.pth"), quiet)


def test_a_report_is_json() -> None:
    import json

    change = finetuning.ClassChange("mean IoU", 0.5, None, None)
    report = FinetuneReport(None, ("a",), ("b",), change)
    assert json.loads(json.dumps(report.to_json()))["miou"]["before"] == 0.5
