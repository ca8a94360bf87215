"""A tiny dataset whose classes can be told from their colours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import Tensor, nn

from segstudio.architectures._base import (
    ARCHITECTURES,
    Facts,
    Recognition,
    SegmentationNetwork,
    StateDict,
)
from segstudio.core.label_space import LabelSpace
from segstudio.core.options import option
from segstudio.core.preprocessing import Preprocessing
from segstudio.core.types import Sample
from segstudio.datasets.base import Dataset
from segstudio.training.data import LabelledImages
from segstudio.training.recipe import TrainOptions
from segstudio.training.trainer import TrainPlan

SPACE = LabelSpace.from_json({"name": "tiny", "classes": ["dark", "red", "blue"]})
_COLORS = np.array([(20, 20, 20), (220, 40, 40), (40, 40, 220)], np.uint8)

NAME = "tiny-of-the-tests"


@dataclass(frozen=True)
class TinyOptions:
    """Variant of the tiny network."""

    norm: bool = option(True, "Batch normalisation.")
    dropout: float = option(0.1, "Dropout before the classifier.")


class TinyNet(SegmentationNetwork):
    """Three layers, so that a test spends its time on the training around them."""

    name = NAME
    Options = TinyOptions
    facts = Facts("Tiny", "none", 2026, output_stride=2)
    classifier = "classify"

    def __init__(self, classes: int, options: TinyOptions | None = None) -> None:
        super().__init__(classes, options)
        norm = nn.BatchNorm2d(8) if self.options.norm else nn.Identity()
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, 2, padding=1), norm, nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
        self.dropout = nn.Dropout2d(self.options.dropout)
        self.classify = nn.Conv2d(8, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.classify(self.dropout(self.second(self.encoder(image))))

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        if "second.0.weight" not in state_dict or "classify.weight" not in state_dict:
            return None
        options = TinyOptions(norm="encoder.1.weight" in state_dict)
        return Recognition("segstudio", options, int(state_dict["classify.weight"].shape[0]))


@pytest.fixture(autouse=True)
def tiny_net() -> Iterator[type[SegmentationNetwork]]:
    """Enter the tiny network in the registry while a test runs."""
    ARCHITECTURES.register(NAME)(TinyNet)
    yield TinyNet
    ARCHITECTURES.withdraw({NAME})


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
            "optimizer": "adamw",
            "weight_decay": 0.01,
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
            architecture=NAME,
            architecture_options=TinyOptions(),
            training=data,
            validation=data if validation else None,
            folder=tmp_path / folder,
            options=TrainOptions(**{**values, **recipe}),
            preprocessing=Preprocessing(),
            card={"data": ["blocks"]},
        )

    return make
