"""Very large images: what is read by bands of rows into files is what reading them whole gives."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segstudio.core.errors import LabelValueError, UnreadableImageError, WriteError
from segstudio.core.label_space import load_label_space
from segstudio.datasets import large, scratch
from segstudio.datasets.images import read_image, read_source_map
from segstudio.datasets.large import read_ids, read_label_map, read_levels, source_to_label_map
from segstudio.datasets.levels import build_levels, level_count
from segstudio.datasets.png_reading import open_png_bands
from segstudio.datasets.scratch import (
    is_mapped,
    new_array,
    private_copy,
    release_pages,
    row_bands,
)

HEIGHT, WIDTH = 301, 1037


@pytest.fixture
def small_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images of more than 10,000 pixels count as large; return the scratch folder."""
    folder = tmp_path / "scratch"
    monkeypatch.setenv("SEGSTUDIO_SCRATCH", str(folder))
    monkeypatch.setattr(scratch, "LARGE_PIXELS", 10_000)
    monkeypatch.setattr(large, "LARGE_PIXELS", 10_000)
    monkeypatch.setattr(scratch, "_RELEASE_BYTES", 1 << 16)
    monkeypatch.setattr("segstudio.datasets.png_reading._AT_ONCE", 20_000)
    return folder


@pytest.fixture
def photo() -> NDArray[np.uint8]:
    """Smooth and noisy parts, so that an encoder uses all kinds of filters."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    smooth = np.stack([rows % 256, columns % 256, (rows + columns) // 2 % 256], -1)
    noise = rng.integers(0, 256, (HEIGHT, WIDTH, 3))
    return np.where((columns < WIDTH // 2)[..., None], smooth, noise).astype(np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"])
def test_a_png_read_by_bands_is_the_png(
    mode: str, photo: NDArray[np.uint8], tmp_path: Path, small_limit: Path
) -> None:
    path = tmp_path / "photo.png"
    if mode == "I;16":
        Image.fromarray(photo[..., 0].astype(np.uint16) * 257).save(path)
    else:
        Image.fromarray(photo).convert(mode).save(path)
    bands = open_png_bands(path)
    assert bands is not None and (bands.height, bands.width) == (HEIGHT, WIDTH)
    levels = read_levels(path)
    assert is_mapped(levels[0])
    np.testing.assert_array_equal(levels[0], read_image(path))


@pytest.mark.parametrize("filter_type", range(5))
def test_every_filter_is_taken_off_across_bands(
    filter_type: int, photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    path = tmp_path / "filtered.png"
    path.write_bytes(_filtered_png(photo, filter_type))
    np.testing.assert_array_equal(np.asarray(Image.open(path)), photo)
    bands = open_png_bands(path)
    assert bands is not None
    for rows in (1, 7, 128, 1000):
        np.testing.assert_array_equal(np.concatenate(list(bands.bands(rows))), photo)


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_levels_are_those_of_the_whole_image(
    kind: str, photo: NDArray[np.uint8], tmp_path: Path, small_limit: Path
) -> None:
    path = tmp_path / f"photo.{kind}"
    Image.fromarray(photo).save(path, **({"tiffinfo": {278: 16}} if kind == "tif" else {}))
    shares: list[float] = []
    found, expected = read_levels(path, shares.append), build_levels(photo)
    assert len(found) == len(expected) == level_count(HEIGHT, WIDTH) > 1
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert shares[-1] == 1.0 and shares == sorted(shares)
    with pytest.raises(ValueError, match="read-only"):
        found[0][0, 0] = 0


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16, "palette", "tif"])
def test_ids_are_those_of_the_whole_file(
    bits: int | str, tmp_path: Path, small_limit: Path
) -> None:
    rng = np.random.default_rng(1)
    most = {1: 2, 2: 4, 4: 16, 16: 60_000}.get(bits if isinstance(bits, int) else 8, 200)
    ids = rng.integers(0, most, (HEIGHT, WIDTH)).astype(np.uint16 if bits == 16 else np.uint8)
    path = tmp_path / f"ids.{'tif' if bits == 'tif' else 'png'}"
    if bits in (1, 2, 4):
        path.write_bytes(_packed_png(ids, int(bits)))
    elif bits == "palette":
        picture = Image.fromarray(ids, "L")
        picture.putpalette(rng.integers(0, 256, 768).astype(np.uint8).tobytes())
        picture.save(path)
    else:
        Image.fromarray(ids).save(path, **({"tiffinfo": {278: 16}} if bits == "tif" else {}))
    found = read_ids(path)
    assert is_mapped(found)
    np.testing.assert_array_equal(found, ids)
    np.testing.assert_array_equal(found, read_source_map(path))


def test_a_file_is_unpacked_once_and_again_when_it_changed(
    tmp_path: Path, small_limit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ids.png"
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    Image.fromarray(ids).save(path)
    read_ids(path)
    filled: list[object] = []
    fill = large._fill
    monkeypatch.setattr(large, "_fill", lambda *arguments: (filled.append(1), fill(*arguments))[1])
    read_ids(path)
    assert not filled
    ids[5:90, 7] = 3
    Image.fromarray(ids).save(path)
    np.testing.assert_array_equal(read_ids(path), ids)
    assert len(filled) == 1


def test_what_was_not_finished_is_not_taken_for_whole(
    photo: NDArray[np.uint8], tmp_path: Path, small_limit: Path
) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableImageError, match="damaged or cut short"):
        read_levels(path)
    assert not list(small_limit.iterdir())
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    path.write_bytes(flipped)
    with pytest.raises(UnreadableImageError, match=r"damaged or cut short"):
        read_levels(path)

    def stop(_share: float) -> None:
        raise KeyboardInterrupt

    path.write_bytes(whole)
    with pytest.raises(KeyboardInterrupt):
        read_levels(path, stop)
    assert not list(small_limit.iterdir())
    np.testing.assert_array_equal(read_levels(path)[0], photo)


def test_what_was_not_used_for_longest_makes_room(
    tmp_path: Path, small_limit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for number, path in enumerate(paths):
        Image.fromarray(np.full((HEIGHT, WIDTH), number, np.uint8)).save(path)
    monkeypatch.setattr(large, "_MAX_BYTES", 2 * HEIGHT * WIDTH + 1000)
    maps = [read_ids(path) for path in paths]
    assert len(list(small_limit.iterdir())) == 2
    # What is gone from the folder is still there for those who have it open.
    assert [int(one[3, 3]) for one in maps] == [0, 1, 2, 3]


def test_a_label_map_comes_in_its_label_spaces_type(tmp_path: Path, small_limit: Path) -> None:
    space = load_label_space("camvid")
    rng = np.random.default_rng(2)
    ids = rng.integers(0, len(space), (HEIGHT, WIDTH)).astype(np.uint8)
    path = tmp_path / "labels.png"
    Image.fromarray(ids).save(path)
    np.testing.assert_array_equal(read_label_map(path, space), ids)
    found = source_to_label_map(read_ids(path), path, space)
    assert is_mapped(found)
    np.testing.assert_array_equal(found, space.from_source_ids(ids, path))
    ids[-1, -1] = 200
    Image.fromarray(ids).save(path)
    with pytest.raises(LabelValueError, match="200"):
        read_label_map(path, space)


def test_copies_of_the_largest_maps_live_in_files_that_vanish(
    small_limit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH)
    in_memory = private_copy(values)
    assert not is_mapped(in_memory)
    np.testing.assert_array_equal(in_memory, values)
    monkeypatch.setattr(scratch, "IN_MEMORY_BYTES", 1000)
    copy = private_copy(values)
    assert is_mapped(copy) and not list(small_limit.iterdir())
    copy[3:200, 5] = 9
    before = copy.copy()
    release_pages(copy)
    release_pages(copy[10:20].view()[:, 3:])
    release_pages(copy, slice(3, 190))
    release_pages(copy[20:], slice(0, 5000))
    release_pages(in_memory, slice(0, 5))
    np.testing.assert_array_equal(copy, before)
    np.testing.assert_array_equal(np.concatenate(list(row_bands(copy, 37))), before)
    assert values[3, 5] != 9


def test_a_full_disk_is_a_sentence_not_a_crash(
    small_limit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scratch, "reserve", full)
    with pytest.raises(WriteError, match=r"disk is full|No space left"):
        new_array((100, 100), np.dtype(np.uint8))


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def _png(shape: tuple[int, int], depth: int, color: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", shape[1], shape[0], depth, color, 0, 0, 0)
    packed = zlib.compress(rows)
    middle = len(packed) // 3
    parts = (packed[:middle], packed[middle:])
    chunks = b"".join(_chunk(b"IDAT", part) for part in parts)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + chunks + _chunk(b"IEND", b"")


def _packed_png(ids: NDArray[np.uint8], depth: int) -> bytes:
    bits = (ids[..., None] >> np.arange(depth - 1, -1, -1)) & 1
    packed = np.packbits(bits.reshape(len(ids), -1).astype(np.uint8), axis=1)
    return _png(ids.shape, depth, 0, b"".join(b"\0" + row.tobytes() for row in packed))


def _filtered_png(image: NDArray[np.uint8], kind: int) -> bytes:
    """Encode an RGB image with one filter, as sections 9.2 to 9.4 of the specification say."""
    rows = image.reshape(len(image), -1).astype(np.int64)
    above = np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
    left = np.hstack([np.zeros_like(rows[:, :3]), rows[:, :-3]])
    corner = np.hstack([np.zeros_like(rows[:, :3]), above[:, :-3]])
    guess = left + above - corner
    distances = np.abs(guess - left), np.abs(guess - above), np.abs(guess - corner)
    nearest = np.where(distances[1] <= distances[2], above, corner)
    paeth = np.where((distances[0] <= distances[1]) & (distances[0] <= distances[2]), left, nearest)
    predicted = (np.zeros_like(rows), left, above, (left + above) // 2, paeth)[kind]
    filtered = ((rows - predicted) % 256).astype(np.uint8)
    lines = b"".join(bytes([kind]) + row.tobytes() for row in filtered)
    return _png(image.shape[:2], 8, 2, lines)
