"""Readers: a plugin's file type opens, runs and is refused like any checkpoint."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from segstudio.architectures._base import ARCHITECTURES, Facts, SegmentationNetwork
from segstudio.checkpoints.files import find_checkpoint
from segstudio.checkpoints.opening import build_network, open_checkpoint
from segstudio.checkpoints.readers import (
    CHECKPOINT_SUFFIXES,
    READERS,
    CheckpointReader,
    ReadNetwork,
    checkpoint_suffixes,
    find_reader,
)
from segstudio.core.errors import NotACheckpointError, PluginError, UsageError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.core.preprocessing import Preprocessing
from segstudio.inference.model import Model, load_model

PLAIN = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class Thresholds(SegmentationNetwork):
    """Class 0 where the image is dark, class 1 where it is bright."""

    name = "thresholds"
    facts = Facts("Thresholds", "", 2020, 1)

    @dataclass(frozen=True)
    class Options:
        """None."""

    def __init__(self, classes: int, limit: float) -> None:
        super().__init__(classes)
        self.limit = torch.nn.Parameter(torch.tensor(limit))

    @classmethod
    def recognise(cls, state_dict: Any) -> None:
        return None

    def forward(self, image: Tensor) -> Tensor:
        bright = image.mean(1, keepdim=True) - self.limit
        rest = [torch.full_like(bright, -1000.0)] * (self.classes - 2)
        return torch.cat([-bright, bright, *rest], 1)


def two_classes() -> LabelSpace:
    return LabelSpace.from_json({"name": "light", "classes": ["dark", "bright"]})


class LimitReader(CheckpointReader):
    """Reads a file with a number."""

    suffixes = (".limit",)
    description = "A number."
    space: LabelSpace | None = None

    def read(self, path: Path) -> ReadNetwork:
        network = Thresholds(2, float(path.read_text())).train()
        return ReadNetwork(
            network, type(self).space, PLAIN, notes=("It is simple.",), card={"by": "hand"}
        )


@pytest.fixture
def _reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(LimitReader, "space", two_classes())
    READERS.register("limit")(LimitReader)
    yield
    READERS.withdraw({"limit"})


@pytest.fixture
def limit_file(_reader: None, tmp_path: Path) -> Path:
    path = tmp_path / "half.LIMIT"
    path.write_text("127.5")
    return path


def test_without_plugins_there_are_no_readers_and_that_is_no_error(tmp_path: Path) -> None:
    assert READERS.names() == []
    assert checkpoint_suffixes() == CHECKPOINT_SUFFIXES
    assert find_reader(tmp_path / "model.limit") is None


def test_a_read_network_is_a_checkpoint_like_any_other(limit_file: Path) -> None:
    checkpoint = open_checkpoint(limit_file)
    assert (checkpoint.architecture, checkpoint.source) == ("limit", "limit")
    assert checkpoint.architecture not in ARCHITECTURES
    assert (checkpoint.classes, checkpoint.output_classes) == (2, (0, 1))
    assert checkpoint.label_space == two_classes()
    assert checkpoint.preprocessing == PLAIN
    assert checkpoint.fits and checkpoint.notes == ("It is simple.",)
    assert checkpoint.card == {"by": "hand"} and list(checkpoint.state_dict) == ["limit"]
    network = build_network(checkpoint)
    assert isinstance(network, Thresholds) and not network.training


def test_a_read_network_predicts(limit_file: Path) -> None:
    image = np.zeros((5, 7, 3), np.uint8)
    image[:, 3:] = 255
    prediction = load_model(limit_file, device="cpu").predict(image)
    assert np.array_equal(prediction.label_map, (image[..., 0] > 127).astype(np.uint8))


def test_the_user_may_say_what_the_outputs_mean(limit_file: Path) -> None:
    space = LabelSpace.from_json({"name": "other", "classes": ["a", "b"]})
    assert open_checkpoint(limit_file, label_space=space).label_space is space
    with pytest.raises(UsageError, match="has 2 outputs, but the label space camvid has 11"):
        open_checkpoint(limit_file, label_space=load_label_space("camvid"))


def test_without_a_label_space_it_opens_but_does_not_run(
    limit_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LimitReader, "space", None)
    checkpoint = open_checkpoint(limit_file)
    assert checkpoint.label_space is None and checkpoint.output_classes == (0, 1)
    with pytest.raises(NotACheckpointError, match="nothing says what they are"):
        Model(checkpoint, device="cpu")
    named = replace(checkpoint, label_space=two_classes())
    assert Model(named, device="cpu").label_space == two_classes()


def test_outputs_and_label_space_that_differ_are_refused(
    limit_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LimitReader, "space", load_label_space("camvid"))
    with pytest.raises(NotACheckpointError) as caught:
        open_checkpoint(limit_file)
    assert str(caught.value) == (
        f"{limit_file} has 2 outputs, but its label space camvid has 11 classes."
    )


def test_a_folder_with_a_single_such_file_will_do(limit_file: Path) -> None:
    small = limit_file.with_suffix(".limit")
    limit_file.rename(small)
    assert find_checkpoint(small.parent) == small
    (small.parent / "model.pth").write_bytes(b"")
    with pytest.raises(NotACheckpointError, match="holds 2 checkpoints"):
        find_checkpoint(small.parent)


def test_whatever_a_reader_raises_is_one_sentence(limit_file: Path) -> None:
    limit_file.write_text("no number\nat all")
    with pytest.raises(NotACheckpointError) as caught:
        open_checkpoint(limit_file)
    sentence = str(caught.value)
    assert str(limit_file) in sentence and "\n" not in sentence and sentence.endswith(").")
    assert "the plugin for limit files (ValueError: could not convert" in sentence


@pytest.mark.parametrize("suffix", CHECKPOINT_SUFFIXES)
def test_a_reader_cannot_take_over_tables_of_tensors(
    _reader: None, monkeypatch: pytest.MonkeyPatch, suffix: str, tmp_path: Path
) -> None:
    monkeypatch.setattr(LimitReader, "suffixes", (suffix,))
    path = tmp_path / f"model{suffix}"
    path.write_text("127.5")
    assert find_reader(path) is None and checkpoint_suffixes() == CHECKPOINT_SUFFIXES
    with pytest.raises(NotACheckpointError):
        open_checkpoint(path)


def test_two_readers_of_one_type_are_refused(limit_file: Path) -> None:
    class Second(LimitReader):
        pass

    READERS.register("second")(Second)
    try:
        with pytest.raises(NotACheckpointError, match="can be read by limit and second; remove"):
            open_checkpoint(limit_file)
    finally:
        READERS.withdraw({"second"})


def test_a_name_is_taken_once(_reader: None) -> None:
    with pytest.raises(PluginError, match="checkpoint reader 'limit'"):
        READERS.register("limit")(Thresholds)


def test_readers_load_no_torch() -> None:
    code = "import sys; from segstudio.api import READERS; READERS.names(); print(*sys.modules)"
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert "torch" not in done.stdout.split()
