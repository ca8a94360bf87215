"""Helpers to lay out small datasets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Put = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Return a function that writes a small image or label map below ``tmp_path``."""

    def write(relative: str, pixels: object = None) -> Path:
        path = tmp_path / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        array = np.zeros((6, 8, 3), np.uint8) if pixels is None else np.asarray(pixels)
        Image.fromarray(array).save(path)
        return path

    return write


@pytest.fixture
def image(put: Put) -> Callable[[str], Path]:
    """Return a function that writes a black photograph, 30 pixels high and 40 wide."""
    return lambda name: put(name, np.zeros((30, 40, 3), np.uint8))
