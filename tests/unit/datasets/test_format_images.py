"""Files of photographs and label maps beyond JPEG and PNG."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, features

from segstudio.datasets.images import read_image, read_image_size, read_source_map
from segstudio.datasets.opening import open_dataset

PIXELS = np.random.default_rng(1).integers(0, 65536, (20, 30, 3)).astype(np.uint16)
EIGHT = (PIXELS >> 8).astype(np.uint8)


def test_tiff_of_sixteen_bits(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "rgb.tif"), PIXELS[:, :, ::-1])
    assert np.array_equal(read_image(tmp_path / "rgb.tif"), EIGHT)
    cv2.imwrite(str(tmp_path / "ids.tiff"), PIXELS[:, :, 0])
    assert np.array_equal(read_source_map(tmp_path / "ids.tiff"), PIXELS[:, :, 0])


def test_big_tiff(tmp_path: Path) -> None:
    path = tmp_path / "big.tif"
    Image.fromarray(EIGHT).save(path, big_tiff=True)
    assert path.read_bytes()[:4] in (b"II+\0", b"MM\0+")
    assert read_image_size(path) == (20, 30)
    assert np.array_equal(read_image(path), EIGHT)
    ids = EIGHT[:, :, 0]
    Image.fromarray(ids).save(path, big_tiff=True)
    assert np.array_equal(read_source_map(path), ids)


@pytest.mark.parametrize(
    ("name", "decoder", "options"),
    [
        ("a.webp", "webp", {"lossless": True}),
        ("a.jp2", "jpg_2000", {"irreversible": False}),
        ("a.bmp", None, {}),
        ("a.avif", "avif", {"quality": 100, "subsampling": "4:4:4"}),
    ],
)
def test_other_photographs_open_by_themselves(
    tmp_path: Path, name: str, decoder: str | None, options: dict[str, object]
) -> None:
    if decoder is not None and not features.check(decoder):
        pytest.skip(f"this Pillow has no decoder for {name}")
    smooth = cv2.GaussianBlur(EIGHT, (0, 0), 5)
    Image.fromarray(smooth).save(tmp_path / name, **options)
    dataset = open_dataset(tmp_path)
    assert [sample.sample_id for sample in dataset.samples] == [name]
    error = np.abs(dataset.read_image(dataset.samples[0]).astype(int) - smooth)
    assert error.max() <= (4 if name == "a.avif" else 0)
