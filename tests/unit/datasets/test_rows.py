"""Images by bands of rows hold the pixels that they hold whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segstudio.core.errors import UnreadableImageError, UsageError
from segstudio.datasets import rows as rows_module
from segstudio.datasets.images import read_image
from segstudio.datasets.rows import ArrayRows, RowSource, TiffRows, open_rows


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    coarse = np.random.default_rng(0).integers(0, 256, (30, 40, 3))
    return np.kron(coarse, np.ones((10, 9, 1))).astype(np.uint8)


def read_all(source: RowSource, step: int) -> NDArray[np.uint8]:
    tops = range(0, source.height, step)
    return np.concatenate([source.read_rows(top, min(top + step, source.height)) for top in tops])


def assert_same(path: Path, kind: type) -> None:
    source = open_rows(path, whole_pixels=100)
    whole = read_image(path)
    assert isinstance(source, kind)
    assert (source.height, source.width) == whole.shape[:2]
    for step in (1, 37, 64, 1000):
        np.testing.assert_array_equal(read_all(source, step), whole)
    # Not only from the top.
    np.testing.assert_array_equal(source.read_rows(150, 171), whole[150:171])
    np.testing.assert_array_equal(source.read_rows(3, 4), whole[3:4])


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "jpeg", "packbits"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_strips(pixels: NDArray[np.uint8], tmp_path: Path, compression: str, mode: str) -> None:
    path = tmp_path / "image.tif"
    image = Image.fromarray(pixels).convert(mode)
    image.save(path, compression=compression, tiffinfo={278: 32})
    assert_same(path, TiffRows)


@pytest.mark.parametrize(
    ("mode", "compression"),
    [("CMYK", "tiff_lzw"), ("P", "tiff_lzw"), ("RGBA", "tiff_lzw"), ("1", "group4"), ("LA", "raw")],
)
def test_what_else_pixels_can_be(
    pixels: NDArray[np.uint8], tmp_path: Path, mode: str, compression: str
) -> None:
    path = tmp_path / "image.tiff"
    image = Image.fromarray(pixels).convert(mode)
    image.save(path, compression=compression, tiffinfo={278: 32})
    assert_same(path, TiffRows)


WRITTEN: dict[str, tuple[dict[str, Any], type]] = {
    "tiles": ({"tile": (64, 128)}, TiffRows),
    "compressed tiles": ({"tile": (64, 128), "compression": "zlib"}, TiffRows),
    "predicted": ({"tile": (64, 64), "compression": "zlib", "predictor": True}, TiffRows),
    "BigTIFF": ({"tile": (64, 64), "bigtiff": True, "compression": "zlib"}, TiffRows),
    "one strip of BigTIFF": ({"bigtiff": True}, TiffRows),
    "big-endian": ({"byteorder": ">", "rowsperstrip": 32}, TiffRows),
    "one big-endian strip": ({"byteorder": ">"}, TiffRows),
    "one compressed strip": ({"compression": "zlib", "rowsperstrip": 300}, ArrayRows),
    "separate planes": ({"planarconfig": "separate"}, ArrayRows),
}


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("bits", [8, 16])
def test_layouts(pixels: NDArray[np.uint8], tmp_path: Path, name: str, bits: int) -> None:
    tifffile = pytest.importorskip("tifffile")
    options, kind = WRITTEN[name]
    path = tmp_path / "image.tif"
    values = pixels if bits == 8 else pixels.astype(np.uint16) * 257
    if "planarconfig" in options:
        if bits == 16:
            pytest.skip("Pillow does not read 16 bits in separate planes")
        values = np.moveaxis(values, 2, 0)
    tifffile.imwrite(path, values, photometric="rgb", **options)
    assert_same(path, kind)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_sixteen_bit_grey(pixels: NDArray[np.uint8], tmp_path: Path, byteorder: str) -> None:
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "image.tif"
    values = pixels[..., 0].astype(np.uint16) * 257
    tifffile.imwrite(path, values, rowsperstrip=32, byteorder=byteorder)
    assert_same(path, TiffRows)


def test_what_depends_on_the_whole_image_is_decoded_whole(
    pixels: NDArray[np.uint8], tmp_path: Path
) -> None:
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "float.tif"
    tifffile.imwrite(path, pixels[..., 0].astype(np.float32) / 255, rowsperstrip=32)
    assert_same(path, ArrayRows)
    path = tmp_path / "turned.tif"
    Image.fromarray(pixels).save(path, tiffinfo={278: 32, 274: 6})
    assert_same(path, ArrayRows)


@pytest.mark.parametrize("name", ["image.png", "image.jpg"])
def test_without_libvips_other_formats_are_decoded_once(
    pixels: NDArray[np.uint8], tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segstudio.datasets.rows.can_stream", lambda *_: False)
    path = tmp_path / name
    Image.fromarray(pixels).save(path)
    assert_same(path, ArrayRows)


def test_small_files_are_decoded_at_once(pixels: NDArray[np.uint8], tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    Image.fromarray(pixels).save(path, tiffinfo={278: 32})
    assert isinstance(open_rows(path), ArrayRows)
    assert isinstance(open_rows(path, whole_pixels=300 * 360 - 1), TiffRows)
    assert isinstance(open_rows(path, whole_pixels=300 * 360), ArrayRows)


def test_a_strip_is_decoded_once_while_it_is_needed(
    pixels: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "image.tif"
    Image.fromarray(pixels).save(path, compression="tiff_lzw", tiffinfo={278: 32})
    decoded: list[int] = []
    original = TiffRows._decoded

    def counting(self: TiffRows, data: bytes, height: int) -> Any:
        decoded.append(height)
        return original(self, data, height)

    monkeypatch.setattr(TiffRows, "_decoded", counting)
    read_all(open_rows(path, whole_pixels=1), 5)
    assert decoded == [32] * 9 + [12]
    # Little memory: two strips are kept, and what windows overlap by is still decoded once.
    monkeypatch.setattr(rows_module, "_CACHE_BYTES", 1)
    decoded.clear()
    source = open_rows(path, whole_pixels=1)
    for top in range(0, 280, 20):
        source.read_rows(top, top + 20)
    assert len(decoded) == 9
    assert len(source._cache) == 2  # type: ignore[attr-defined]


def test_images_larger_than_what_is_read_at_once_can_be_read_by_rows(
    pixels: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segstudio.datasets.images.MAX_PIXELS", 1000)
    path = tmp_path / "image.tif"
    Image.fromarray(pixels).save(path, tiffinfo={278: 32})
    with pytest.raises(UnreadableImageError, match="more than the"):
        read_image(path)
    source = open_rows(path, whole_pixels=1000)
    np.testing.assert_array_equal(read_all(source, 100), pixels)


def test_damage_is_found_where_it_is(pixels: NDArray[np.uint8], tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    Image.fromarray(pixels).save(path, compression="tiff_deflate", tiffinfo={278: 32})
    source = open_rows(path, whole_pixels=1)
    assert isinstance(source, TiffRows)
    data = bytearray(path.read_bytes())
    start = source._layout.offsets[5]
    data[start : start + source._layout.sizes[5]] = bytes(source._layout.sizes[5])
    path.write_bytes(data)
    np.testing.assert_array_equal(source.read_rows(0, 150), pixels[:150])
    with pytest.raises(UnreadableImageError, match="damaged or cut short") as caught:
        source.read_rows(150, 200)
    assert str(path) in str(caught.value)
    path.write_bytes(data[:start])
    with pytest.raises(UnreadableImageError, match="damaged or cut short"):
        open_rows_again = TiffRows(path, (300, 360), source._layout, source._tags, source._order)
        open_rows_again.read_rows(290, 300)
    path.unlink()
    np.testing.assert_array_equal(source.read_rows(0, 32), pixels[:32])  # decoded before
    with pytest.raises(UnreadableImageError, match="cannot be read"):
        source.read_rows(290, 300)


@pytest.mark.parametrize("content", [b"", b"no image", b"II*\0\x08\0\0\0"])
def test_no_images(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "image.tif"
    path.write_bytes(content)
    with pytest.raises(UnreadableImageError):
        open_rows(path)
    with pytest.raises(UnreadableImageError, match="does not exist"):
        open_rows(tmp_path / "nothing.tif")


def test_an_array_is_a_source(pixels: NDArray[np.uint8]) -> None:
    source = ArrayRows(pixels)
    assert (source.height, source.width) == (300, 360)
    np.testing.assert_array_equal(source.read_rows(10, 20), pixels[10:20])
    for wrong in (pixels[..., 0], pixels.astype(np.float32), pixels[:0], pixels[..., :2]):
        with pytest.raises(UsageError, match="RGB array"):
            ArrayRows(wrong)
