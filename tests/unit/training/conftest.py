"""A tiny dataset whose classes can be told from their colours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segstudio.architectures.enet import ENetOptions
from segstudio.core.label_space import LabelSpace
from segstudio.core.preprocessing import Preprocessing
from segstudio.core.types import Sample
from segstudio.datasets.base import Dataset
from segstudio.training.data import LabelledImages
from segstudio.training.recipe import TrainOptions
from segstudio.training.trainer import TrainPlan

SPACE = LabelSpace.from_json({"name": "tiny", "classes": ["dark", "red", "blue"]})
_COLORS = np.array([(20, 20, 20), (220, 40, 40), (40, 40, 220)], np.uint8)

MakeData = Callable[..., LabelledImages]
MakePlan = Callable[..., TrainPlan]


@pytest.fixture
def make_data(tmp_path: Path) -> MakeData:
    """Return a function that writes seeded images of blocks with their label maps."""

    def make(name: str = "data", count: int = 5) -> LabelledImages:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        samples = []
        for seed in range(count):
            generator = np.random.default_rng(seed)
            blocks = generator.integers(0, 3, (5, 6)).astype(np.uint8)
            label_map = np.kron(blocks, np.ones((8, 8), np.uint8))
            noise = generator.integers(-15, 16, (*label_map.shape, 3))
            image = np.clip(_COLORS[label_map] + noise, 0, 255).astype(np.uint8)
            label_map[:3] = 255
            Image.fromarray(image).save(folder / f"{seed}.png")
            Image.fromarray(label_map).save(folder / f"{seed}_labels.png")
            samples.append(
                Sample(f"{seed}.png", folder / f"{seed}.png", folder / f"{seed}_labels.png")
            )
        samples.append(Sample("unlabelled.png", folder / "0.png"))
        return LabelledImages([Dataset(folder, "paired", tuple(samples), SPACE)], SPACE)

    return make


@pytest.fixture
def make_plan(make_data: MakeData, tmp_path: Path) -> MakePlan:
    """Return a function that plans a training of seconds; recipe options by keyword."""

    def make(folder: str = "run", *, validation: bool = True, **recipe: Any) -> TrainPlan:
        values = {
            "epochs": 3,
            "batch": 2,
            "crop_height": 32,
            "crop_width": 32,
            "precision": "fp32",
            "device": "cpu",
            "validate_every": 1,
            "checkpoint_every": 2,
            "learning_rate": 2e-3,
        }
        data = make_data()
        return TrainPlan(
            architecture="enet",
            architecture_options=ENetOptions(),
            training=data,
            validation=data if validation else None,
            folder=tmp_path / folder,
            options=TrainOptions(**{**values, **recipe}),
            preprocessing=Preprocessing(),
            card={"data": ["blocks"]},
        )

    return make
