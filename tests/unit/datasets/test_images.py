"""Photographs come out whole, upright and RGB; label files come out as their ids."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from segstudio.core.errors import LabelValueError, UnreadableImageError
from segstudio.datasets import images
from segstudio.datasets.images import (
    read_image,
    read_image_size,
    read_source_map,
    read_thumbnail,
)


@pytest.fixture
def photo() -> np.ndarray:
    rng = np.random.default_rng(7)
    return cv2.GaussianBlur(rng.integers(0, 256, (60, 90, 3), np.uint8), (0, 0), 4)


def jpeg(pixels: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95, **options)
    return stream.getvalue()


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def png_chunks(width: int, height: int, depth: int, kind: int, rows: list[bytes]) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


def test_a_png_is_read_exactly_in_rgb_order(tmp_path: Path, photo: np.ndarray) -> None:
    path = tmp_path / "bild ä.png"
    Image.fromarray(photo).save(path)
    assert np.array_equal(read_image(path), photo)
    assert read_image_size(path) == (60, 90)


def test_a_jpeg_is_read_like_pillow_reads_it(tmp_path: Path, photo: np.ndarray) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(photo))
    expected = np.asarray(Image.open(io.BytesIO(path.read_bytes())))
    assert np.abs(read_image(path).astype(int) - expected).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_exif_orientation_is_applied(
    tmp_path: Path, photo: np.ndarray, orientation: int, name: str
) -> None:
    path = tmp_path / name
    Image.fromarray(photo).save(path, exif=exif(orientation), **_lossless(name))
    upright = {
        1: photo,
        2: photo[:, ::-1],
        3: photo[::-1, ::-1],
        4: photo[::-1],
        5: photo.transpose(1, 0, 2),
        6: np.rot90(photo, -1),
        7: np.rot90(photo, 2).transpose(1, 0, 2),
        8: np.rot90(photo),
    }[orientation]
    found = read_image(path)
    assert found.shape == upright.shape == (*read_image_size(path), 3)
    assert np.abs(found.astype(int) - upright).mean() < 4
    assert read_thumbnail(path, 30).shape[:2] == ((20, 30) if orientation < 5 else (30, 20))


def _lossless(name: str) -> dict[str, object]:
    return {"lossless": True} if name.endswith("webp") else {}


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_becomes_three_channels(tmp_path: Path, photo: np.ndarray, mode: str) -> None:
    picture = Image.fromarray(photo).convert(mode)
    path = tmp_path / ("a.jpg" if mode in {"CMYK", "YCbCr"} else "a.png")
    picture.save(path)
    found = read_image(path)
    assert found.shape == photo.shape and found.dtype == np.uint8
    expected = np.asarray(picture.convert("RGB")).astype(int)
    assert np.abs(found.astype(int) - expected).mean() < 3


def test_alpha_is_dropped_not_blended(tmp_path: Path, photo: np.ndarray) -> None:
    alpha = np.zeros((60, 90, 1), np.uint8)
    Image.fromarray(np.concatenate([photo, alpha], axis=2)).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), photo)


def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path, photo: np.ndarray) -> None:
    deep = photo.astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "color.png"), cv2.cvtColor(deep, cv2.COLOR_RGB2BGR))
    assert np.array_equal(read_image(tmp_path / "color.png"), photo)
    for name in ("gray.png", "gray.tif"):
        cv2.imwrite(str(tmp_path / name), deep[:, :, 0])
        assert np.array_equal(read_image(tmp_path / name), np.repeat(photo[:, :, :1], 3, axis=2))


def test_float_images_keep_their_range(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 11, dtype=np.float32).reshape(1, 11)
    Image.fromarray(ramp).save(tmp_path / "a.tif")
    assert np.array_equal(read_image(tmp_path / "a.tif")[0, :, 0], (ramp[0] * 255).astype(np.uint8))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".bmp", ".gif"])
@pytest.mark.parametrize("share", [0.4, 0.97])
def test_a_cut_file_is_an_error_not_half_a_picture(
    tmp_path: Path, photo: np.ndarray, suffix: str, share: float
) -> None:
    path = tmp_path / f"cut{suffix}"
    Image.fromarray(photo).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    for read in (read_image, lambda p: read_thumbnail(p, 8)):
        with pytest.raises(UnreadableImageError, match=r"cut\.\w+ is "):
            read(path)


def test_a_cut_jpeg_with_a_whole_thumbnail_inside_is_an_error(
    tmp_path: Path, photo: np.ndarray
) -> None:
    whole = jpeg(photo)
    thumbnail = jpeg(photo[:16, :16])
    comment = b"\xff\xe2" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    path = tmp_path / "a.jpg"
    path.write_bytes(whole[:2] + comment + whole[2:])
    assert read_image(path).shape == photo.shape
    path.write_bytes((whole[:2] + comment + whole[2:])[:-300])
    with pytest.raises(UnreadableImageError, match="cut short"):
        read_image(path)


def test_a_jpeg_followed_by_other_bytes_is_read(tmp_path: Path, photo: np.ndarray) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(photo) + b"trailer" * 20)
    assert read_image(path).shape == photo.shape


def test_a_damaged_png_is_an_error(tmp_path: Path, photo: np.ndarray) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(photo).save(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(UnreadableImageError, match=r"a\.png is damaged"):
        read_image(path)


@pytest.mark.parametrize("read", [read_image, read_image_size, read_source_map])
def test_what_is_no_image_is_said_in_one_sentence(tmp_path: Path, read: object) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "folder.png").mkdir()
    for name, reason in {
        "empty.png": "is empty",
        "text.png": "is not an image",
        "folder.png": "is a folder",
        "missing.png": "does not exist",
    }.items():
        with pytest.raises(UnreadableImageError) as caught:
            read(tmp_path / name)  # type: ignore[operator]
        message = str(caught.value)
        assert message.startswith(f"{tmp_path / name} {reason}") and message.endswith(".")
        assert "\n" not in message


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(UnreadableImageError, match=r"a\.png may not be read: permission"):
        read_image(tmp_path / "a.png")


def test_monsters_are_refused_by_their_header(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_chunks(60_000, 60_000, 8, 2, [b"\0"]))
    assert read_image_size(path) == (60_000, 60_000)
    for read in (read_image, read_source_map):
        with pytest.raises(UnreadableImageError, match="60000 x 60000 pixels, more than the 500"):
            read(path)


def test_large_but_allowed_images_raise_no_warning(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(png_chunks(20_000, 20_000, 8, 2, [b"\0"]))
    assert read_image_size(path) == (20_000, 20_000)


def test_no_file_stays_open(tmp_path: Path, photo: np.ndarray) -> None:
    Image.fromarray(photo).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("text")
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(5):
        read_image_size(tmp_path / "a.png")
        read_source_map_or_none(tmp_path / "a.png")
        read_source_map_or_none(tmp_path / "b.png")
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


def read_source_map_or_none(path: Path) -> None:
    with pytest.raises((LabelValueError, UnreadableImageError)):
        read_source_map(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".gif", ".bmp", ".jp2"])
def test_damage_of_any_kind_is_one_error_or_none(
    tmp_path: Path, photo: np.ndarray, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(photo[:20, :30]).save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(5)
    for _ in range(60):
        data = bytearray(whole)
        for position in rng.integers(0, min(len(data), 400), 4):
            data[position] = rng.integers(0, 256)
        path.write_bytes(data)
        for read in (read_image, read_image_size, read_source_map):
            try:
                read(path)
            except (UnreadableImageError, LabelValueError) as error:
                assert str(path) in str(error) and "\n" not in str(error)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("edge", [7, 20, 45, 500])
def test_thumbnails_fit_and_look_like_the_image(tmp_path: Path, suffix: str, edge: int) -> None:
    ramp = np.tile(np.linspace(0, 255, 240).astype(np.uint8)[None, :, None], (120, 1, 3))
    path = tmp_path / f"a{suffix}"
    Image.fromarray(ramp).save(path)
    small = read_thumbnail(path, edge)
    assert max(small.shape[:2]) == min(edge, 240)
    assert small.shape[1] == pytest.approx(2 * small.shape[0], abs=1)
    columns = np.linspace(0, 255, small.shape[1])
    assert np.abs(small.mean(axis=(0, 2)) - columns).max() < 255 / small.shape[1] + 4


def test_palette_indices_are_kept(tmp_path: Path) -> None:
    ids = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = Image.fromarray(ids)
    picture.putpalette([(37 * i) % 256 for i in range(768)])
    picture.save(tmp_path / "a.png")
    assert np.array_equal(read_source_map(tmp_path / "a.png"), ids)
    assert read_source_map(tmp_path / "a.png").dtype == np.uint8


def test_small_palettes_stored_with_few_bits(tmp_path: Path) -> None:
    ids = np.arange(4, dtype=np.uint8).reshape(2, 2)
    picture = Image.fromarray(ids)
    picture.putpalette([0, 0, 0, 9, 9, 9, 200, 0, 0, 0, 200, 0])
    picture.save(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[24] < 8
    assert np.array_equal(read_source_map(tmp_path / "a.png"), ids)


@pytest.mark.parametrize(
    ("depth", "row", "ids"),
    [(1, b"\xa0", [1, 0, 1]), (2, b"\x1b", [0, 1, 2, 3]), (4, b"\x0f\x70", [0, 15, 7])],
)
def test_grey_files_of_few_bits_keep_the_stored_numbers(
    tmp_path: Path, depth: int, row: bytes, ids: list[int]
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_chunks(len(ids), 1, depth, 0, [row]))
    assert read_source_map(path).tolist() == [ids]


def test_sixteen_bit_label_files(tmp_path: Path) -> None:
    ids = np.array([[0, 300], [65535, 12]], np.uint16)
    for name in ("a.png", "a.tif"):
        cv2.imwrite(str(tmp_path / name), ids)
        found = read_source_map(tmp_path / name)
        assert found.dtype == np.uint16 and np.array_equal(found, ids)


def test_32_bit_label_files_keep_negative_ids(tmp_path: Path) -> None:
    ids = np.array([[-1, 70000]], np.int32)
    Image.fromarray(ids).save(tmp_path / "a.tif")
    assert read_source_map(tmp_path / "a.tif").tolist() == [[-1, 70000]]


def test_a_colour_mask_is_refused_by_name(tmp_path: Path, photo: np.ndarray) -> None:
    Image.fromarray(photo).save(tmp_path / "a.png")
    with pytest.raises(LabelValueError, match=r"a\.png is a colour image"):
        read_source_map(tmp_path / "a.png")


def test_everything_announced_is_there() -> None:
    assert all(hasattr(images, name) for name in images.__all__)
