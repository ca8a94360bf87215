"""Huge JPEG and PNG files by rows: the pixels of the whole image, in any order, within memory."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from segstudio.core.errors import UnreadableImageError
from segstudio.datasets import stream_rows
from segstudio.datasets.images import read_image
from segstudio.datasets.rows import ArrayRows, open_rows
from segstudio.datasets.stream_rows import StreamRows, can_stream

pytest.importorskip("pyvips", reason="pip install segstudio[huge]")


@pytest.fixture
def picture() -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    return cv2.resize(coarse, (301, 403), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize(
    ("name", "grey", "options"),
    [
        ("a.jpg", False, {"quality": 85}),
        ("b.jpg", False, {"quality": 90, "subsampling": 0, "progressive": True}),
        ("c.jpg", True, {}),
        ("d.png", False, {}),
        ("e.png", True, {}),
        ("f.webp", False, {"lossless": True}),
    ],
)
def test_the_rows_are_those_of_the_whole_image(
    tmp_path: Path, picture: np.ndarray, name: str, grey: bool, options: dict
) -> None:
    path = tmp_path / name
    Image.fromarray(picture[..., 0] if grey else picture).save(path, **options)
    whole = read_image(path)
    source = open_rows(path, whole_pixels=1)
    assert isinstance(source, StreamRows) and (source.height, source.width) == (403, 301)
    for top, bottom in ((0, 10), (5, 130), (100, 200), (390, 403), (0, 403), (250, 251)):
        np.testing.assert_array_equal(source.read_rows(top, bottom), whole[top:bottom])


def test_what_was_read_long_ago_is_let_go_and_read_anew(
    tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_rows, "_KEPT_BYTES", 301 * 3 * 100)
    path = tmp_path / "a.png"
    Image.fromarray(picture).save(path)
    source = open_rows(path, whole_pixels=1)
    assert isinstance(source, StreamRows)
    for top in range(0, 400, 40):
        source.read_rows(top, min(top + 80, 403))
        assert sum(map(len, source._held)) <= 100 + 80 + 2 * stream_rows._STEP
    assert source._first > 0
    np.testing.assert_array_equal(source.read_rows(3, 9), picture[3:9])


def test_a_file_that_is_cut_short_is_a_sentence(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(picture).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = open_rows(path, whole_pixels=1)
    with pytest.raises(UnreadableImageError, match=r"a\.jpg is damaged or cut short"):
        source.read_rows(300, 403)


def test_what_has_to_be_whole(
    tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned, palette = tmp_path / "turned.jpg", tmp_path / "palette.png"
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(picture).save(turned, exif=exif.tobytes())
    Image.fromarray(picture).quantize(8).save(palette)
    for path in (turned, palette):
        assert isinstance(open_rows(path, whole_pixels=1), ArrayRows)
    assert can_stream("JPEG", "RGB", 1) and not can_stream("JPEG", "CMYK", 1)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not can_stream("JPEG", "RGB", 1)
