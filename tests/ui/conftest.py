"""The window, offscreen, on a small dataset; a run is stored without any network."""

from __future__ import annotations

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PySide6.QtCore import QCoreApplication, QEvent
from PySide6.QtWidgets import QApplication

from segstudio.core.label_space import load_label_space
from segstudio.datasets.encoding import write_gray, write_label_map
from segstudio.datasets.opening import open_dataset
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import Store
from segstudio.session.runner import count_prediction
from segstudio.session.settings import Settings
from segstudio.session.targets import build_target_reader
from segstudio.ui.app import Application
from segstudio.ui.theme import ThemeManager

RUN = "stored"
TIMEOUT = 20_000


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGSTUDIO_CONFIG", str(tmp_path / "config"))
    for name in ("CACHE", "DATA", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))


@pytest.fixture
def dataset_folder(tmp_path: Path) -> Path:
    """Four 64 x 96 images, "images/0.png" ..., with masks in CamVid's classes."""
    root = tmp_path / "data"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    generator = np.random.default_rng(7)
    for number in range(4):
        label_map = np.kron(generator.integers(0, 11, (8, 12)), np.ones((8, 8), np.int64)).astype(
            np.uint8
        )
        label_map[:4] = 255
        image = np.stack([label_map * 20, 255 - label_map * 20, label_map * 10], -1)
        cv2.imwrite(str(root / "images" / f"{number}.png"), image)
        cv2.imwrite(str(root / "masks" / f"{number}.png"), label_map)
    data = load_label_space("camvid").to_json()
    data["ignore_ids"] = [255]
    (root / "label_space.json").write_text(json.dumps(data))
    return root


@pytest.fixture
def stored_run(dataset_folder: Path) -> str:
    """A finished run: wrong in a block that grows from image to image."""
    dataset = open_dataset(dataset_folder)
    space = dataset.label_space
    assert space is not None
    folder = dataset_folder / ".segstudio"
    folder.mkdir()
    layout = ProjectLayout(folder)
    reader = build_target_reader(dataset, space)
    assert reader is not None
    store = Store(layout.database)
    run = store.begin_run(RUN, RUN, "identity", space, {})
    for number, sample in enumerate(dataset.samples):
        prediction = dataset.read_target(sample, space).copy()
        prediction[:4] = 0
        prediction[20 : 28 + 8 * number, 10:50] = 3
        levels = np.full(prediction.shape, 128, np.uint8)
        write_label_map(layout.layer(run, "labels", sample.sample_id), prediction)
        write_label_map(layout.layer(run, "runner_up", sample.sample_id), prediction)
        write_gray(layout.layer(run, "entropy", sample.sample_id), levels)
        write_gray(layout.layer(run, "confidence", sample.sample_id), levels)
        key, miou, counts = count_prediction(reader, sample, prediction, levels, levels)
        store.finish_sample(
            run, sample.sample_id, seconds=0.1, counts=(key, miou, counts.to_bytes())
        )
    store.close()
    return run


@pytest.fixture
def start(qtbot, qapp: QApplication) -> Iterator[Callable[..., Application]]:
    """``start(path)`` makes a window, shows it, and opens a path (None: what was open last)."""
    made: list[Application] = []

    def start(path: Path | None, *, shown: bool = True) -> Application:
        themes = ThemeManager(qapp, "dark")
        application = Application(Settings(), themes)
        made.append(application)
        themes.setParent(application)
        application.window.show()
        application.join()
        application.open(path)
        if shown:
            qtbot.waitUntil(lambda: application.desk.shown is not None, timeout=TIMEOUT)
        return application

    yield start
    for application in made:
        application.window.close()
        application.window.deleteLater()
        application.deleteLater()
    # A window that is only closed is styled anew with every later one: the tests become slow.
    qapp.processEvents()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    qapp.processEvents()


@pytest.fixture
def application(start, dataset_folder: Path, stored_run: str, qtbot) -> Application:
    """The window on the dataset with the stored run; the first image and the scores are shown."""
    application = start(dataset_folder)
    qtbot.waitUntil(
        lambda: (
            application.desk.shown.prediction is not None
            and application.window.class_scores.rowCount() == 12
        ),
        timeout=TIMEOUT,
    )
    return application


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
