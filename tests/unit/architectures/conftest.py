"""The reference figures, where they are at hand."""

from __future__ import annotations

import importlib.util
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from segstudio.core.preprocessing import Preprocessing


@dataclass(frozen=True)
class Reference:
    """A synthetic checkpoint of a manifest and what the reference computed with it."""

    manifest: dict[str, Any]
    state_dict: dict[str, Tensor]
    expected: dict[str, NDArray[Any]]

    def network_input(self, preprocessing: Preprocessing, rows: int | None = None) -> Tensor:
        """Normalise the top left ``rows`` x ``rows`` of the image that the reference resized."""
        pixels = torch.as_tensor(self.expected["resized"][:rows, :rows]).float()
        scaled = (pixels - torch.tensor(preprocessing.mean)) / torch.tensor(preprocessing.std)
        return scaled.permute(2, 0, 1)[None]

    def distance(self, values: Tensor, name: str) -> float:
        """Return the largest difference from the reference in its standard deviations."""
        step = int(self.expected[f"{name}_stride"])
        found = values[0, :, ::step, ::step]
        wanted = torch.as_tensor(self.expected[name])[:, : found.shape[1], : found.shape[2]]
        assert found.shape == wanted.shape
        return float((found - wanted).abs().max() / wanted.std())


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of reference data, which is no part of the repository."""
    path = Path(__file__).resolve().parents[4] / "shared"
    if not (path / "reference").is_dir():
        pytest.skip("the reference data (../shared) is not at hand")
    return path


@pytest.fixture(scope="session")
def synthetic(shared: Path) -> types.ModuleType:
    """Return the module that rebuilds weights from a manifest."""
    path = shared / "reference" / "synthetic.py"
    spec = importlib.util.spec_from_file_location("segstudio_reference_synthetic", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def reference(shared: Path, synthetic: types.ModuleType) -> Callable[[str], Reference]:
    """Return a function that loads a case of the reference."""

    def load(name: str) -> Reference:
        folder = shared / "reference"
        manifest = synthetic.load_manifest(folder / "manifests" / f"{name}.json")
        tensors = {
            key: torch.as_tensor(value) for key, value in synthetic.state_dict(manifest).items()
        }
        expected = dict(np.load(folder / "expected" / f"{name}.npz"))
        return Reference(manifest, tensors, expected)

    return load
