"""The command line in this process, a small dataset, and a small untrained model."""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from segstudio.core.label_space import load_label_space

HEIGHT, WIDTH = 48, 64


@dataclass(frozen=True)
class Outcome:
    """What a command left: exit status, stdout, stderr."""

    status: int
    out: str
    err: str

    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    def complaint(self) -> str:
        """The only line on stderr, of a command that refused its input."""
        assert self.status == 2, self
        assert self.out == ""
        assert "Traceback" not in self.err
        (line,) = self.err.splitlines()
        assert line.startswith("segstudio: ")
        assert line[-1] in ".?"
        assert "unexpected error" not in line
        return line


Command = Callable[..., Outcome]


@pytest.fixture(scope="session")
def segstudio() -> Command:
    """Run a command in this process."""
    from segstudio.cli.app import main

    def call(*arguments: object) -> Outcome:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main([str(argument) for argument in arguments])
        return Outcome(status, out.getvalue(), err.getvalue())

    return call


@pytest.fixture(scope="session")
def make_dataset() -> Callable[..., Path]:
    """Write images with masks in CamVid's classes, in the paired layout.

    The masks lack the last two classes, and their first four rows are ignored.
    """

    def make(root: Path, count: int = 6) -> Path:
        for folder in ("images", "masks"):
            (root / folder).mkdir(parents=True)
        generator = np.random.default_rng(7)
        for number in range(count):
            blocks = generator.integers(0, 9, (HEIGHT // 8, WIDTH // 8))
            label_map = np.kron(blocks, np.ones((8, 8), np.int64)).astype(np.uint8)
            label_map[:4] = 255
            image = np.stack([label_map * 20, 255 - label_map * 20, label_map * 10], -1)
            cv2.imwrite(str(root / "images" / f"{number:02}.png"), image)
            cv2.imwrite(str(root / "masks" / f"{number:02}.png"), label_map)
        space = load_label_space("camvid").to_json()
        space["ignore_ids"] = [255]
        (root / "label_space.json").write_text(json.dumps(space))
        return root

    return make


@pytest.fixture
def dataset_folder(tmp_path: Path, make_dataset: Callable[..., Path]) -> Path:
    """Six 48 x 64 images with masks."""
    return make_dataset(tmp_path / "data")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ENet with random weights, saved as a checkpoint."""
    import torch

    from segstudio.architectures.enet import ENet, ENetOptions
    from segstudio.checkpoints.native import NativeCheckpoint, save_native, state_dict_of
    from segstudio.core.preprocessing import Preprocessing

    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    weights = state_dict_of(ENet(11, ENetOptions()))
    space = load_label_space("camvid")
    save_native(path, NativeCheckpoint("enet", {}, space, Preprocessing(), weights))
    return path


@pytest.fixture(scope="session")
def results() -> Callable[[Path], dict[str, tuple[str | None, float]]]:
    """Read (error, time of finishing) by sample from a dataset's project."""

    def read(dataset: Path) -> dict[str, tuple[str | None, float]]:
        database = dataset / ".segstudio" / "project.sqlite"
        with contextlib.closing(sqlite3.connect(database)) as connection:
            rows = connection.execute("SELECT sample_id, error, finished FROM results").fetchall()
        return {sample_id: (error, finished) for sample_id, error, finished in rows}

    return read
