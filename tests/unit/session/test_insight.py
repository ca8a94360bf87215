"""What the worker process answers about a network's inside, against the functions it asks."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from segstudio.architectures._base import ARCHITECTURES
from segstudio.checkpoints.native import NativeCheckpoint, save_native, state_dict_of
from segstudio.core.label_space import ClassInfo, LabelSpace
from segstudio.core.options import options_to_json
from segstudio.core.preprocessing import Preprocessing
from segstudio.core.types import BBox
from segstudio.inference.insight.attention import attention_map
from segstudio.inference.insight.distance import attention_distances
from segstudio.inference.insight.embeddings import class_embeddings
from segstudio.inference.insight.features import feature_norms
from segstudio.inference.insight.probabilities import class_probabilities
from segstudio.inference.model import Model, load_model
from segstudio.session import insight as insight_module
from segstudio.session.insight import Insight, answer_look
from segstudio.session.look_values import LookRequest, ModelChoice

NAMES = ("road", "car", "tree", "sky")
COLORS = ((9, 9, 9), (200, 0, 0), (0, 200, 0), (0, 0, 200))
SPACE = LabelSpace("four", tuple(ClassInfo(k, NAMES[k], COLORS[k], k) for k in range(4)), (255,))
SEGMENTER = {"variant": "tiny", "crop": 64, "layers": 2, "head_layers": 1, "drop_path": 0.0}


def save_model(folder: Path, architecture: str, options: dict[str, Any]) -> Path:
    import torch

    page = ARCHITECTURES.get(architecture)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = page(len(SPACE), page.Options(**options))
        for name, entry in network.named_parameters():
            if name.endswith("qkv.weight"):
                torch.nn.init.normal_(entry, std=0.15)
    path = folder / f"{architecture}.safetensors"
    save_native(
        path,
        NativeCheckpoint(
            architecture,
            options_to_json(network.options),
            SPACE,
            Preprocessing(),
            state_dict_of(network),
        ),
    )
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def segmenter(folder: Path) -> Path:
    return save_model(folder, "segmenter", SEGMENTER)


@pytest.fixture(scope="module")
def enet(folder: Path) -> Path:
    return save_model(folder, "enet", {})


@pytest.fixture(scope="module")
def image(folder: Path) -> Path:
    path = folder / "photograph.png"
    pixels = np.random.default_rng(3).integers(0, 256, (77, 101, 3)).astype(np.uint8)
    cv2.imwrite(str(path), pixels[..., ::-1])
    return path


def ask(insight: Insight, topic: str, model: Path, image: Path | None = None, **more: Any) -> Any:
    request = LookRequest(topic, ModelChoice(str(model), "cpu"), image, **more)
    answer = answer_look(insight, pickle.loads(pickle.dumps(request)))
    assert answer.request == request
    assert answer.error is None, answer.error
    return pickle.loads(pickle.dumps(answer.result))


def directly(path: Path, image: Path) -> tuple[Model, np.ndarray]:
    return load_model(path, device="cpu"), cv2.imread(str(image))[..., ::-1].copy()


def test_what_a_model_has(segmenter: Path, enet: Path) -> None:
    parts = ask(Insight(), "parts", segmenter)
    assert parts.layers == (
        ("encoder.blocks.0", 3),
        ("encoder.blocks.1", 3),
        ("head.blocks.0", 3),
    )
    assert parts.outputs == NAMES and parts.colors == COLORS
    assert (parts.no_attention, parts.no_vectors) == (None, None)
    parts = ask(Insight(), "parts", enet)
    assert parts.layers == () and parts.no_stages is None
    assert parts.no_attention == (
        "enet.safetensors (enet) has no attention layers that can be read; look at its class "
        "probabilities and feature norms."
    )
    assert parts.no_vectors is not None and "no vector for each class" in parts.no_vectors


def test_pictures_are_the_maps_in_256_levels(segmenter: Path, enet: Path, image: Path) -> None:
    model, pixels = directly(segmenter, image)
    insight = Insight()
    found = ask(insight, "attention", segmenter, image, row=70, column=3, layer=1, head=2)
    expected = attention_map(model, pixels, row=70, column=3, layer=1, head=2)
    assert found.high == pytest.approx(expected.picture.max(), rel=1e-6)
    assert found.levels.dtype == np.uint8 and found.levels.shape == (77, 101)
    step = expected.picture.max() / 255
    np.testing.assert_allclose(found.levels * step, expected.picture, atol=0.51 * step)
    assert (found.patch, found.seen) == (expected.patch, BBox(0, 0, 77, 101))
    assert (found.cell, found.grid, found.keys) == (expected.cell, expected.grid, expected.grid)
    assert found.elsewhere == pytest.approx(expected.elsewhere, rel=1e-5)

    maps = class_probabilities(model, pixels, outputs=[2])
    found = ask(insight, "probability", segmenter, image, index=2)
    np.testing.assert_allclose(found.levels / 255, maps.maps[0], atol=0.51 / 255)
    assert found.mean == pytest.approx(maps.means[2], rel=1e-6)

    model, pixels = directly(enet, image)
    stages = feature_norms(model, pixels)
    found = ask(insight, "stage", enet, image, index=1)
    assert found.names == tuple(stage.name for stage in stages)
    step = (found.high - found.low) / 255
    np.testing.assert_allclose(found.low + found.levels * step, stages[1].picture, atol=0.51 * step)
    assert (found.channels, found.stride) == (stages[1].channels, stages[1].stride)


def test_distances_and_embeddings(segmenter: Path, image: Path) -> None:
    model, pixels = directly(segmenter, image)
    insight = Insight()
    found = ask(insight, "distances", segmenter, image)
    expected = attention_distances(model, pixels)
    assert [name for name, _ in found.layers] == [entry.layer.name for entry in expected.layers]
    for (_, heads), entry in zip(found.layers, expected.layers, strict=True):
        np.testing.assert_allclose(heads, entry.heads, rtol=1e-6)
    assert (found.piece_size, found.passes) == (expected.piece_size, expected.pieces)
    vectors = class_embeddings(model)
    found = ask(insight, "embeddings", segmenter)
    np.testing.assert_allclose(found.points, vectors.points)
    assert (found.source, found.explained) == ("mask transformer", vectors.explained)


def test_a_second_click_costs_no_pass(
    segmenter: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segstudio.inference.insight.view import NetworkView

    runs: list[object] = []
    run = NetworkView.run
    monkeypatch.setattr(
        NetworkView, "run", lambda view, piece: (runs.append(piece), run(view, piece))[1]
    )
    insight = Insight()
    first = ask(insight, "attention", segmenter, image, row=5, column=5)
    second = ask(insight, "attention", segmenter, image, row=70, column=90)
    assert len(runs) == 1
    assert first.cell != second.cell and not np.array_equal(first.levels, second.levels)
    ask(insight, "probability", segmenter, image, index=0)
    kept = insight._model
    ask(insight, "probability", segmenter, image, index=3)
    assert insight._model is kept and insight._kept is not None
    assert sorted(insight._kept.maps) == [0, 1, 2, 3]


def test_an_image_that_changed_is_read_again(segmenter: Path, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), np.zeros((64, 64, 3), np.uint8))
    insight = Insight()
    assert ask(insight, "attention", segmenter, path).levels.shape == (64, 64)
    cv2.imwrite(str(path), np.zeros((48, 80, 3), np.uint8))
    assert ask(insight, "attention", segmenter, path).levels.shape == (48, 80)


def test_many_classes_are_predicted_one_map_at_a_time(
    segmenter: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(insight_module, "_MAPS_BYTES", 1000)
    insight = Insight()
    ask(insight, "probability", segmenter, image, index=1)
    assert insight._kept is not None and list(insight._kept.maps) == [1]


def test_names_given_to_a_run_count_more_than_the_files(segmenter: Path) -> None:
    other = LabelSpace(
        "other", tuple(ClassInfo(k, f"class {k}", COLORS[k], k) for k in range(4)), ()
    )
    for space, names in ((other, ("class 0", "class 1", "class 2", "class 3")), (SPACE, NAMES)):
        choice = ModelChoice(str(segmenter), "cpu", label_space=space)
        assert Insight().answer(LookRequest("parts", choice)).outputs == names


@pytest.mark.parametrize(
    ("topic", "more", "part"),
    [
        ("attention", {"row": 77, "column": 0}, "outside the image of 77 x 101 pixels"),
        ("attention", {"layer": 3}, "There is no attention layer 3; the model has 3"),
        ("attention", {"head": 3}, "There is no head 3"),
        ("probability", {"index": 4}, "There is no output 4; the network has 4"),
        ("probability", {"index": -1}, "There is no output -1"),
        ("stage", {"index": 99}, "stages, counted from 0"),
    ],
)
def test_what_is_not_there_is_a_sentence(
    segmenter: Path, image: Path, topic: str, more: dict[str, int], part: str
) -> None:
    request = LookRequest(topic, ModelChoice(str(segmenter), "cpu"), image, **more)
    answer = answer_look(Insight(), request)
    assert answer.result is None and answer.error is not None
    assert part in answer.error and "\n" not in answer.error


def test_no_image_no_model_and_a_bug_are_sentences(
    segmenter: Path, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = ModelChoice(str(segmenter), "cpu")
    answer = answer_look(Insight(), LookRequest("attention", choice))
    assert answer.error == "Show an image first; then the network can be seen at work on it."
    missing = tmp_path / "gone.png"
    answer = answer_look(Insight(), LookRequest("attention", choice, missing))
    assert answer.error is not None and str(missing) in answer.error
    answer = answer_look(Insight(), LookRequest("parts", ModelChoice("no-such-model")))
    assert answer.error is not None and "no-such-model" in answer.error

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(insight_module, "_attention", fail)
    answer = answer_look(Insight(), LookRequest("attention", choice, image))
    assert answer.error == "An unexpected error stopped the look: RuntimeError: planted"
