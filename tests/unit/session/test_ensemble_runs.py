"""Several models as one run: their mean is the prediction, their disagreement a layer more."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from segstudio.architectures.enet import ENet, ENetOptions
from segstudio.checkpoints.native import NativeCheckpoint, save_native, state_dict_of
from segstudio.core.errors import UsageError
from segstudio.core.label_space import load_label_space
from segstudio.core.preprocessing import Preprocessing
from segstudio.core.types import quantise, quantise_entropy
from segstudio.datasets.images import read_image
from segstudio.datasets.opening import open_dataset
from segstudio.inference.catalogue import member_names
from segstudio.inference.ensemble import Ensemble
from segstudio.inference.model import load_model
from segstudio.project.layout import LAYERS, MORE_LAYERS, ProjectLayout
from segstudio.project.store import Store
from segstudio.session.runner import RunRequest, run_models


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another ENet than ``tiny_model``."""
    torch.manual_seed(2)
    path = tmp_path_factory.mktemp("models") / "other.safetensors"
    weights = state_dict_of(ENet(11, ENetOptions()))
    space = load_label_space("camvid")
    save_native(path, NativeCheckpoint("enet", {}, space, Preprocessing(), weights))
    return path


def run(dataset: Path, names: tuple[str, ...], project: Path, **options: Any) -> list[str]:
    project.mkdir(exist_ok=True)
    request = RunRequest(open_dataset(dataset), names, project, device="cpu", **options)
    return run_models(request, lambda event: None)


def test_an_ensemble_is_a_run_with_two_layers_more(
    dataset_folder: Path, tiny_model: Path, other_model: Path, tmp_path: Path
) -> None:
    name, project = f"{tiny_model}+{other_model}", tmp_path / "project"
    (found,) = run(dataset_folder, (name,), project)
    assert found == "tiny+other"
    layout = ProjectLayout(project)
    dataset = open_dataset(dataset_folder)
    ensemble = Ensemble([load_model(path, device="cpu") for path in (tiny_model, other_model)])

    for sample in dataset.samples:
        expected = ensemble.predict(read_image(sample.image_path))
        layers = {
            "labels": expected.prediction.label_map,
            "entropy": quantise_entropy(expected.prediction.entropy, 11),
            "mutual_information": quantise_entropy(expected.mutual_information, 11),
            "variation_ratio": quantise(expected.variation_ratio),
        }
        for layer, pixels in layers.items():
            stored = np.asarray(Image.open(layout.layer(found, layer, sample.sample_id)))
            np.testing.assert_array_equal(stored, pixels, err_msg=layer)
        assert expected.variation_ratio.max() == 0.5
    with closing(Store(layout.database)) as store:
        members = json.loads(store.run(found).identity)["ensemble"]
        assert len({member["weights"] for member in members}) == 2
        assert store.finished_count(found) == len(dataset)
        assert len(store.mious(found)) == len(dataset)
    # The same two are the same run, the other way round another.
    assert run(dataset_folder, (name,), project) == [found]
    assert run(dataset_folder, (f"{other_model}+{tiny_model}",), project) != [found]


def test_a_model_alone_has_no_layer_of_disagreement(
    dataset_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    (found,) = run(dataset_folder, (str(tiny_model),), tmp_path / "project")
    folder = ProjectLayout(tmp_path / "project").run_folder(found)
    assert {entry.name for entry in folder.iterdir()} == set(LAYERS)
    assert not set(LAYERS) & set(MORE_LAYERS)


def test_what_an_ensemble_cannot_do_is_said(
    dataset_folder: Path, tiny_model: Path, other_model: Path, tmp_path: Path
) -> None:
    name = f"{tiny_model}+{other_model}"
    with pytest.raises(UsageError, match="scores of an ensemble cannot be saved"):
        run(dataset_folder, (name,), tmp_path / "p", save_scores=tmp_path / "scores")
    with pytest.raises(UsageError, match="on this machine only"):
        run(dataset_folder, (name,), tmp_path / "p", engine="ray")


def test_a_plus_in_the_name_of_a_file_is_no_ensemble(tmp_path: Path) -> None:
    path = tmp_path / "a+b.pth"
    assert member_names(str(path)) == [str(tmp_path / "a"), "b.pth"]
    path.write_bytes(b"")
    assert member_names(str(path)) == [str(path)]
    assert member_names("one + two") == ["one", "two"] and member_names("one") == ["one"]
