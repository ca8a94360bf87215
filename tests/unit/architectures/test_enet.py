"""ENet against the published file of davidtvs/PyTorch-ENet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segstudio.architectures.enet import ENet, ENetOptions


def test_parameter_count_is_that_of_the_published_code() -> None:
    assert ENet(12, ENetOptions(pool=3)).parameter_count() == 359_780


def test_dropout_of_the_first_stage_is_a_tenth() -> None:
    network = ENet(3, ENetOptions(dropout=0.5))
    assert network.stage1[0].drop.p == pytest.approx(0.05)
    assert network.stage2[0].drop.p == pytest.approx(0.5)


def test_unknown_layout_is_left_alone() -> None:
    tensors = {"conv.weight": torch.zeros(3, 3)}
    assert ENet.rename_keys(tensors) == tensors
    assert ENet.recognise(tensors) is None


def test_published_file_scores_what_its_authors_code_scores(shared: Path) -> None:
    path = shared / "data" / "weights" / "enet_camvid_pytorch-enet.pth"
    tensors = torch.load(path, weights_only=True, map_location="cpu")
    recognition = ENet.recognise(tensors)
    assert recognition is not None
    assert (recognition.source, recognition.classes, recognition.label_space) == (
        "pytorch-enet",
        12,
        "camvid",
    )
    network = ENet(recognition.classes, recognition.options).eval()
    missing, unexpected = network.load_state_dict(ENet.rename_keys(tensors), strict=False)
    assert [key for key in missing if not key.endswith("num_batches_tracked")] == []
    assert unexpected == []

    preprocessing = recognition.preprocessing
    assert preprocessing is not None
    folder = shared / "data" / "camvid"
    classes = 11
    assert len(json.loads((folder / "classes.json").read_text())) > 0
    confusion = np.zeros((classes, classes + 1), np.int64)
    for image_path in sorted((folder / "test").iterdir())[::12]:
        pixels = np.asarray(Image.open(image_path).convert("RGB"), np.float32)
        target = np.asarray(Image.open(folder / "testannot" / image_path.name)).astype(np.int64)
        scaled = (pixels - np.float32(preprocessing.mean)) / np.float32(preprocessing.std)
        with torch.inference_mode():
            logits = network(torch.as_tensor(scaled).permute(2, 0, 1)[None])
        prediction = logits[0].argmax(0).numpy()
        labelled = target < classes
        joint = target[labelled] * (classes + 1) + prediction[labelled]
        confusion += np.bincount(joint, minlength=confusion.size).reshape(confusion.shape)
    hit = np.diag(confusion)
    # Void predicted on a labelled pixel is a miss of its class and no class's false positive.
    union = confusion.sum(1) + confusion[:, :classes].sum(0) - hit
    assert (hit / union).mean() == pytest.approx(0.535, abs=0.0005)
