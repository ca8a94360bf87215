"""What the exporters' tests share: label maps like real ones, items, and exporting them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from segstudio.core.label_space import LabelSpace
from segstudio.core.types import Sample
from segstudio.exporters.base import EXPORTERS, ExportItem


def blobs(seed: int, classes: int, height: int = 24, width: int = 31) -> np.ndarray:
    """Return a label map of smooth regions, some pixels of it ignored."""
    rng = np.random.default_rng(seed)
    fields = [
        cv2.resize(rng.random((6, 7), dtype=np.float32), (width, height)) for _ in range(classes)
    ]
    label_map = np.argmax(fields, axis=0).astype(np.uint8)
    label_map[rng.random((height, width)) < 0.03] = 255
    return label_map


def item(
    name: str,
    label_map: np.ndarray,
    *,
    image: np.ndarray | None = None,
    folder: Path = Path("/data"),
    split: str | None = None,
    **more: Any,
) -> ExportItem:
    """Return an item whose photograph is black unless given."""
    photograph = np.zeros((*label_map.shape, 3), np.uint8) if image is None else image
    sample = Sample(name, folder / name, split=split)
    return ExportItem(sample, lambda: label_map, lambda: photograph, **more)


class Exported:
    """The outcome of an export."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths: list[Path] = []
        self.notes: list[str] = []

    def places(self) -> list[str]:
        found = (p for p in self.folder.rglob("*") if not p.is_dir() or p.is_symlink())
        return sorted(p.relative_to(self.folder).as_posix() for p in found)


@pytest.fixture
def make_item() -> Callable[..., ExportItem]:
    return item


@pytest.fixture
def make_map() -> Callable[..., np.ndarray]:
    return blobs


@pytest.fixture
def run_export(tmp_path: Path) -> Callable[..., Exported]:
    def run(
        name: str,
        items: list[ExportItem],
        space: LabelSpace,
        *,
        to: Path | None = None,
        existing: str = "refuse",
        on_written: Any = None,
        on_failed: Any = None,
        **options: Any,
    ) -> Exported:
        entry = EXPORTERS.get(name)
        outcome = Exported(to or tmp_path / "out")
        exporter = entry()
        outcome.paths = exporter.write(
            items,
            outcome.folder,
            label_space=space,
            options=entry.Options(**options),
            existing=existing,
            on_written=on_written,
            on_failed=on_failed,
        )
        outcome.notes = list(exporter.notes)
        return outcome

    return run
