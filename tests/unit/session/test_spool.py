"""Layers of huge images lie in files, are the same pixels, and vanish."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segstudio.core.errors import WriteError
from segstudio.core.types import Prediction
from segstudio.inference.bands import RowBand
from segstudio.session import results
from segstudio.session.engines import base, spool
from segstudio.session.engines.base import Layers


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let 1,000 bytes be huge."""
    monkeypatch.setattr(spool, "SPOOL_BYTES", 1000)
    monkeypatch.setattr(results, "SPOOL_BYTES", 1000)
    monkeypatch.setattr(results, "_BAND_PIXELS", 300)


def bands(height: int, width: int) -> list[RowBand]:
    generator = np.random.default_rng(1)
    found = []
    for top in range(0, height, 7):
        size = (min(7, height - top), width)
        prediction = Prediction(
            generator.integers(0, 5, size).astype(np.uint8),
            generator.random(size, np.float32),
            generator.random(size, np.float32),
            generator.integers(0, 5, size).astype(np.uint8),
            5,
        )
        found.append(RowBand(top, prediction))
    return found


def test_a_huge_prediction_is_gathered_in_files_and_written_by_rows(
    small_limit: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = bands(40, 30)
    layers = Layers.from_bands(iter(parts), 40)
    wanted = [Layers.from_prediction(part.prediction).by_name() for part in parts]
    for name, layer in layers.by_name().items():
        assert isinstance(layer, np.memmap)
        np.testing.assert_array_equal(layer, np.concatenate([part[name] for part in wanted]))
    path = tmp_path / "layer.png"
    results._write_by_rows(path, layers.labels)
    with Image.open(path) as file:
        np.testing.assert_array_equal(np.asarray(file), layers.labels)
    assert os.listdir(tmp_path) == ["layer.png"]


def test_a_small_prediction_stays_in_memory() -> None:
    layers = Layers.from_bands(iter(bands(40, 30)), 40)
    assert not any(isinstance(layer, np.memmap) for layer in layers.by_name().values())


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system cannot reserve room")
def test_a_full_disk_is_a_sentence_and_not_a_signal(
    small_limit: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, offset: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(WriteError, match=r"takes 0 MB in .*: No space left on device"):
        spool.empty_layer((40, 30), np.uint8)


def test_a_run_fails_the_huge_image_alone(
    small_limit: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise WriteError("No room.")

    monkeypatch.setattr(base, "empty_layer", full)
    model: Any = SimpleNamespace(predict_rows=lambda source: iter(bands(40, 30)))
    decoded: Any = SimpleNamespace(
        sample="sample", source=SimpleNamespace(height=40, width=30), seconds=0.0, signature=None
    )
    outcome = base.predict_decoded(model, decoded)
    assert outcome.layers is None and outcome.error == "No room."
