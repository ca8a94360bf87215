"""A PNG written by bands of rows reads as one written at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segstudio.core.errors import UsageError, WriteError
from segstudio.datasets import png_rows
from segstudio.datasets.images import read_source_map
from segstudio.datasets.png_rows import writing_png_rows


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(1, 1), (1, 70), (70, 1), (100, 33)])
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_what_is_written_is_read(
    tmp_path: Path, dtype: type[np.generic], size: tuple[int, int], step: int
) -> None:
    values = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, size).astype(dtype)
    path = tmp_path / "folder" / "map.png"
    with writing_png_rows(path, size, dtype) as file:
        for top in range(0, size[0], step):
            file.write(values[top : top + step])
    found = read_source_map(path)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, values)
    with Image.open(path) as picture:  # Pillow checks every chunk's sum
        picture.verify()
    assert [entry.name for entry in path.parent.iterdir()] == ["map.png"]


def test_rows_may_be_views(tmp_path: Path) -> None:
    values = np.arange(60 * 40, dtype=np.uint16).reshape(60, 40)
    path = tmp_path / "map.png"
    with writing_png_rows(path, (40, 60), np.uint16) as file:
        file.write(values.T[:25])
        file.write(values.T[25:])
    np.testing.assert_array_equal(read_source_map(path), values.T)


def test_data_in_several_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png_rows, "_LARGEST", 1000)
    values = np.random.default_rng(2).integers(0, 256, (90, 80)).astype(np.uint8)
    path = tmp_path / "map.png"
    with writing_png_rows(path, (90, 80), np.uint8) as file:
        file.write(values)
    assert path.read_bytes().count(b"IDAT") > 3
    np.testing.assert_array_equal(read_source_map(path), values)


def test_half_a_map_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "map.png"
    path.write_bytes(b"what was there before")
    rows = np.zeros((5, 8), np.uint8)
    with (
        pytest.raises(UsageError, match="lacks its last 5 rows"),
        writing_png_rows(path, (10, 8), np.uint8) as file,
    ):
        file.write(rows)
    with pytest.raises(KeyError), writing_png_rows(path, (10, 8), np.uint8) as file:
        file.write(rows)
        raise KeyError
    assert path.read_bytes() == b"what was there before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["map.png"]


def test_wrong_rows_are_refused(tmp_path: Path) -> None:
    good = np.zeros((3, 8), np.uint8)
    for wrong in (good[:, :7], good.astype(np.uint16), good[0], np.zeros((11, 8), np.uint8)):
        with (
            pytest.raises(UsageError),
            writing_png_rows(tmp_path / "map.png", (10, 8), np.uint8) as file,
        ):
            file.write(wrong)
    for size, dtype in (((0, 8), np.uint8), ((8, 8), np.float32), ((8, 2**31), np.uint8)):
        with (
            pytest.raises(UsageError, match="cannot be written"),
            writing_png_rows(tmp_path / "map.png", size, dtype),
        ):
            pass
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(WriteError, match="Cannot write"),
        writing_png_rows(tmp_path / "file" / "map.png", (2, 2), np.uint8),
    ):
        pass
