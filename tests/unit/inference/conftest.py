"""A small network with everything that a model needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from segstudio.architectures.enet import ENet
from segstudio.checkpoints.native import NativeCheckpoint, save_native, state_dict_of
from segstudio.core.label_space import LabelSpace
from segstudio.core.options import options_to_json
from segstudio.core.preprocessing import Preprocessing

SaveModel = Callable[..., Path]


@pytest.fixture
def space() -> LabelSpace:
    return LabelSpace.from_json({"name": "tiny", "classes": ["sky", "road", "car", "tree"]})


@pytest.fixture
def save_model(tmp_path: Path, space: LabelSpace) -> SaveModel:
    """Return a function that writes a seeded ENet of four classes and returns its path."""

    def save(name: str = "tiny.safetensors", **preprocessing: Any) -> Path:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            network = ENet(len(space))
        checkpoint = NativeCheckpoint(
            architecture="enet",
            options=options_to_json(network.options),
            label_space=space,
            preprocessing=Preprocessing(**preprocessing),
            state_dict=state_dict_of(network),
        )
        path = tmp_path / name
        save_native(path, checkpoint)
        return path

    return save
