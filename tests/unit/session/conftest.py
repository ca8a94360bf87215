"""A small dataset and a small untrained model for the session's tests."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from segstudio.core.label_space import load_label_space


@pytest.fixture
def dataset_folder(tmp_path: Path) -> Path:
    """Six 48 x 64 images with masks in CamVid's classes, in the paired layout."""
    root = tmp_path / "data"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    generator = np.random.default_rng(7)
    for number in range(6):
        label_map = np.kron(generator.integers(0, 11, (6, 8)), np.ones((8, 8), np.int64)).astype(
            np.uint8
        )
        label_map[:4] = 255
        image = np.stack([label_map * 20, 255 - label_map * 20, label_map * 10], -1)
        cv2.imwrite(str(root / "images" / f"{number}.png"), image)
        cv2.imwrite(str(root / "masks" / f"{number}.png"), label_map)
    space = load_label_space("camvid")
    import json

    data = space.to_json()
    data["ignore_ids"] = [255]
    (root / "label_space.json").write_text(json.dumps(data))
    return root


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ENet with random weights, saved as a checkpoint."""
    import torch

    from segstudio.architectures.enet import ENet, ENetOptions
    from segstudio.checkpoints.native import NativeCheckpoint, save_native, state_dict_of
    from segstudio.core.preprocessing import Preprocessing

    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    network = ENet(11, ENetOptions())
    save_native(
        path,
        NativeCheckpoint(
            "enet", {}, load_label_space("camvid"), Preprocessing(), state_dict_of(network)
        ),
    )
    return path
