"""A new architecture by one file in the plugins folder, through the commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segstudio.session.plugins import user_plugin_folder

PIXELWISE = '''\
"""Judges each pixel by its colour."""
from dataclasses import dataclass
from torch import nn
from segstudio.api import ARCHITECTURES, Facts, Recognition, SegmentationNetwork, option

@ARCHITECTURES.register("pixelwise")
class Pixelwise(SegmentationNetwork):
    facts = Facts("Pixelwise", "A plugin of this test", 2024, 1)

    @dataclass(frozen=True)
    class Options:
        width: int = option(4, "Channels in between.", minimum=1)

    def __init__(self, classes, options=None):
        super().__init__(classes, options)
        self.mix = nn.Conv2d(3, self.options.width, 1)
        self.judge = nn.Conv2d(self.options.width, classes, 1)

    def forward(self, image):
        return self.judge(self.mix(image).relu())

    @classmethod
    def recognise(cls, state_dict):
        if set(state_dict) != {"mix.weight", "mix.bias", "judge.weight", "judge.bias"}:
            return None
        classes, width = state_dict["judge.weight"].shape[:2]
        return Recognition("segstudio", cls.Options(width=width), classes)
'''


@pytest.fixture
def _plugin() -> None:
    path = user_plugin_folder() / "pixelwise.py"
    path.parent.mkdir(parents=True)
    path.write_text(PIXELWISE, encoding="utf-8")


@pytest.mark.usefixtures("_plugin")
def test_it_is_listed_trained_inspected_and_run(
    segstudio: Callable[..., Any], dataset_folder: Path, tmp_path: Path
) -> None:
    from segstudio.checkpoints.opening import open_checkpoint
    from segstudio.inference.model import load_model

    entries = segstudio("list", "architectures", "--json").document()
    listed = {entry["name"]: entry for entry in entries}
    assert listed["pixelwise"]["title"] == "Pixelwise"
    assert listed["pixelwise"]["options"] == ["width"]

    recipe = ("--epochs", 1, "--batch", 2, "--crop-height", 32, "--crop-width", 32)
    trained = segstudio(
        "train", dataset_folder, "-o", tmp_path / "run", "-a", "pixelwise", "--set", "width=6",
        *recipe, "--device", "cpu",
    )  # fmt: skip
    assert trained.status == 0, trained.err
    best = Path(trained.out.strip())

    checkpoint = open_checkpoint(best)
    assert (checkpoint.architecture, checkpoint.options.width) == ("pixelwise", 6)
    assert checkpoint.classes == 11 and checkpoint.source == "segstudio"
    image = np.random.default_rng(0).integers(0, 256, (17, 23, 3), np.uint8)
    assert load_model(best, device="cpu").predict(image).label_map.shape == (17, 23)
    assert segstudio("inspect", best, "--json").document()["variant"] == "width=6"

    done = segstudio("run", dataset_folder, "-m", best, "--device", "cpu", "--limit", 2)
    assert done.status == 0, done.err
    (run,) = (dataset_folder / ".segstudio" / "runs").iterdir()
    assert len(list((run / "labels").rglob("*.png"))) == 2


def test_without_the_file_there_is_no_such_architecture(
    segstudio: Callable[..., Any], dataset_folder: Path, tmp_path: Path
) -> None:
    line = segstudio("train", dataset_folder, "-o", tmp_path / "run", "-a", "pixelwise").complaint()
    assert "There is no architecture 'pixelwise'" in line
