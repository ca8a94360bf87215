"""Kinds of pictures beyond the usual: HEIC, AVIF, JPEG 2000, BigTIFF, turned masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, features

from segstudio.core.errors import UnreadableImageError
from segstudio.datasets import heif
from segstudio.datasets.images import read_image, read_image_size, read_source_map
from segstudio.datasets.opening import open_dataset
from segstudio.datasets.rows import open_id_rows


@pytest.fixture
def photo() -> np.ndarray:
    rows, columns = np.mgrid[0:40, 0:64]
    return np.stack([rows * 4, columns * 3, rows + columns], axis=2).astype(np.uint8)


def close(found: np.ndarray, wanted: np.ndarray) -> bool:
    return bool(np.abs(found.astype(int) - wanted.astype(int)).mean() < 4)


def test_heic_where_its_decoder_is(tmp_path: Path, photo: np.ndarray) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="no HEIF decoder is installed")
    path = tmp_path / "a.heic"
    pillow_heif.from_pillow(Image.fromarray(photo)).save(path, quality=95)
    assert read_image_size(path) == (40, 64) and close(read_image(path), photo)
    assert [s.sample_id for s in open_dataset(tmp_path).samples] == ["a.heic"]


def test_heic_without_its_decoder_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    monkeypatch.setattr("segstudio.datasets.images.register_decoder", lambda: False)
    with pytest.raises(UnreadableImageError, match=r"install segstudio\[heif\]"):
        read_image(path)


def test_damaged_heic_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    with pytest.raises(UnreadableImageError, match=r"a\.heic"):
        read_image(path)


@pytest.mark.parametrize("feature", ["avif", "jpg_2000"])
def test_avif_and_jpeg_2000(tmp_path: Path, photo: np.ndarray, feature: str) -> None:
    if not features.check(feature):
        pytest.skip(f"this Pillow has no {feature}")
    path = tmp_path / ("a.avif" if feature == "avif" else "a.jp2")
    Image.fromarray(photo).save(path, **({"quality": 95} if feature == "avif" else {}))
    assert read_image_size(path) == (40, 64) and close(read_image(path), photo)
    if feature == "jpg_2000":
        assert np.array_equal(read_image(path), photo)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UnreadableImageError):
        read_image(path)


def test_avif_that_pillow_does_not_know_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.avif"
    path.write_bytes(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1" + bytes(60))
    monkeypatch.setattr(heif, "is_heif", lambda stream: False)

    def unknown(stream: object) -> None:
        raise Image.UnidentifiedImageError("cannot identify")

    monkeypatch.setattr(Image, "open", unknown)
    with pytest.raises(UnreadableImageError, match=r"Pillow reads from version 11\.3"):
        read_image(path)


@pytest.mark.parametrize("bits", [8, 16])
def test_big_tiff(tmp_path: Path, photo: np.ndarray, bits: int) -> None:
    path = tmp_path / "a.tif"
    pixels = photo if bits == 8 else photo[:, :, 0].astype(np.uint16) * 257
    tifffile.imwrite(path, pixels, bigtiff=True)
    assert path.read_bytes()[2] == 43  # the version of BigTIFF
    wanted = photo if bits == 8 else np.repeat(photo[:, :, :1], 3, axis=2)
    assert np.array_equal(read_image(path), wanted)
    if bits == 16:
        assert np.array_equal(read_source_map(path), pixels)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_masks_own_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    wanted = {3: pixels[::-1, ::-1], 6: np.rot90(pixels, -1), 8: np.rot90(pixels)}[orientation]
    assert np.array_equal(read_source_map(tmp_path / "a.png"), wanted)
    assert np.array_equal(read_image(tmp_path / "a.png")[:, :, 0], wanted)


@pytest.mark.parametrize("kind", ["grey", "colour", "large", "gif"])
def test_a_label_file_of_several_pages_is_refused(
    tmp_path: Path, photo: np.ndarray, kind: str
) -> None:
    path = tmp_path / ("a.gif" if kind == "gif" else "a.tif")
    pages = [Image.fromarray(photo if kind == "colour" else photo[:, :, n]) for n in range(3)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    with pytest.raises(UnreadableImageError, match=r"a\.\w+ has several pages"):
        if kind == "large":
            open_id_rows(path, whole_pixels=1)
        else:
            read_source_map(path)
    assert close(read_image(path)[:, :, 0], photo[:, :, 0]), "a photograph's first page is shown"


@pytest.mark.parametrize("bits", [8, 16])
def test_overviews_are_no_pages(tmp_path: Path, photo: np.ndarray, bits: int) -> None:
    ids = photo[:, :, 0].astype(f"uint{bits}") + 7
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(ids)
        file.write(ids[::2, ::2], subfiletype=1)
        file.write(ids > 9, subfiletype=4)
    found = read_source_map(tmp_path / "a.tif")
    assert found.dtype == ids.dtype and np.array_equal(found, ids)
