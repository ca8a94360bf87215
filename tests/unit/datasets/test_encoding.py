"""What is written is read back equal, by us and by Pillow."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segstudio.core.errors import UsageError, WriteError
from segstudio.datasets.encoding import encode_color_map, write_gray, write_image, write_label_map
from segstudio.datasets.images import read_image, read_source_map


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 256), (np.uint16, 65536)])
def test_label_maps_round_trip(tmp_path: Path, dtype: type, top: int) -> None:
    label_map = np.random.default_rng(1).integers(0, top, (31, 17)).astype(dtype)
    path = tmp_path / "a" / "b.png"
    write_label_map(path, label_map)
    found = read_source_map(path)
    assert found.dtype == dtype and np.array_equal(found, label_map)
    assert [entry.name for entry in path.parent.iterdir()] == ["b.png"]


def test_a_view_with_strides_is_written_as_it_looks(tmp_path: Path) -> None:
    label_map = np.arange(24, dtype=np.uint8).reshape(4, 6).T[::-1]
    write_label_map(tmp_path / "a.png", label_map)
    assert np.array_equal(read_source_map(tmp_path / "a.png"), label_map)


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((2, 2), np.int64), np.zeros((2, 2), bool), np.zeros((2, 2, 3), np.uint8)],
    ids=["int64", "bool", "3-D"],
)
def test_what_is_no_label_map_is_refused(tmp_path: Path, wrong: np.ndarray) -> None:
    with pytest.raises(UsageError, match="label map is a 2-D array"):
        write_label_map(tmp_path / "a.png", wrong)
    assert not (tmp_path / "a.png").exists()


def test_an_empty_map_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        write_label_map(tmp_path / "a.png", np.zeros((0, 4), np.uint8))


def test_the_old_file_survives_a_failed_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WriteError, match=r"in the way of the folder|not a folder"):
        write_label_map(tmp_path / "file" / "a.png", np.zeros((2, 2), np.uint8))
    assert (tmp_path / "file").read_text() == "x"


def test_gray_maps_and_pictures_round_trip(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    gray = rng.integers(0, 256, (9, 5)).astype(np.uint8)
    write_gray(tmp_path / "gray.png", gray)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "gray.png")), gray)
    picture = rng.integers(0, 256, (9, 5, 3)).astype(np.uint8)
    write_image(tmp_path / "rgb.png", picture)
    assert np.array_equal(read_image(tmp_path / "rgb.png"), picture)


def test_palette_files_show_colours_and_store_indices() -> None:
    label_map = np.array([[0, 1], [255, 2]], np.uint8)
    data = encode_color_map(label_map, [(10, 20, 30), (40, 50, 60), (70, 80, 90)])
    picture = Image.open(io.BytesIO(data))
    assert picture.mode == "P"
    assert np.array_equal(np.asarray(picture), label_map)
    assert np.asarray(picture.convert("RGB")).tolist() == [
        [[10, 20, 30], [40, 50, 60]],
        [[0, 0, 0], [70, 80, 90]],
    ]
    with pytest.raises(UsageError, match="palette"):
        encode_color_map(label_map.astype(np.uint16), [])
