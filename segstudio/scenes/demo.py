"""The demo's dataset, and scenes for training, written in the paired layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2

from segstudio.core.atomic import write_bytes, write_text
from segstudio.core.label_space import load_label_space
from segstudio.core.types import IGNORE_INDEX, Image, LabelMap
from segstudio.scenes.out_of_distribution import OUT_OF_DISTRIBUTION, load_out_of_distribution
from segstudio.scenes.street import render_scene

__all__ = ["DEMO_SEED", "render_training_set", "write_demo"]

DEMO_SEED = 2026

_TRAINING_OFFSET = 1_000_000
"""Training scenes have seeds from here on, so that no demo scene was ever trained on."""


def write_demo(
    folder: Path,
    *,
    scenes: int = 12,
    seed: int = DEMO_SEED,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write the demo's dataset; files that are there already stay.

    Street scenes have masks (``images/scene_000.jpg``, ``masks/scene_000.png``), the photographs
    of something else have none (``images/unseen_cat.jpg``).

    Parameters
    ----------
    folder : Path
    scenes : int
        Number of street scenes.
    seed : int
        Seed of the first scene; the others follow.
    progress : callable
        Receives (files done, files in all).

    Returns
    -------
    Path
        ``folder``.

    Raises
    ------
    WriteError
        When a file cannot be written.
    """
    total = scenes + len(OUT_OF_DISTRIBUTION)
    for number in range(scenes):
        progress(number, total)
        _write_scene(folder, f"scene_{number:03}", seed + number)
    for number, name in enumerate(OUT_OF_DISTRIBUTION):
        progress(scenes + number, total)
        path = folder / "images" / f"unseen_{name}.jpg"
        if not path.exists():
            _write_photograph(path, load_out_of_distribution(name))
    _write_label_space(folder)
    progress(total, total)
    return folder


def render_training_set(folder: Path, *, count: int, seed: int) -> Path:
    """Write ``count`` scenes for training, with seeds that the demo never uses.

    Raises
    ------
    WriteError
        When a file cannot be written.
    """
    for number in range(count):
        _write_scene(folder, f"training_{number:04}", _TRAINING_OFFSET + seed + number)
    _write_label_space(folder)
    return folder


def _write_scene(folder: Path, name: str, seed: int) -> None:
    image_path = folder / "images" / f"{name}.jpg"
    mask_path = folder / "masks" / f"{name}.png"
    if image_path.exists() and mask_path.exists():
        return
    image, label_map = render_scene(seed)
    _write_mask(mask_path, label_map)
    _write_photograph(image_path, image)


def _write_photograph(path: Path, image: Image) -> None:
    _, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    write_bytes(path, data.tobytes(), durable=False)


def _write_mask(path: Path, label_map: LabelMap) -> None:
    _, data = cv2.imencode(".png", label_map)
    write_bytes(path, data.tobytes(), durable=False)


def _write_label_space(folder: Path) -> None:
    space = load_label_space("camvid").to_json()
    space["ignore_ids"] = [IGNORE_INDEX]
    write_text(folder / "label_space.json", json.dumps(space, indent=1))
