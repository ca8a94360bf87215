"""Kinds of pictures beyond the usual: HEIC, AVIF, JPEG 2000, BigTIFF, turned masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, features

from segstudio.core.errors import LabelValueError, SizeMismatchError, UnreadableImageError
from segstudio.core.label_space import LabelSpace
from segstudio.datasets import heif
from segstudio.datasets.images import read_image, read_image_size, read_source_map
from segstudio.datasets.opening import open_dataset
from segstudio.datasets.rows import open_id_rows, open_rows


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


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_mask_of_the_stored_pixels_turns_with_its_photograph(
    tmp_path: Path, photo: np.ndarray, orientation: int
) -> None:
    """Tools without EXIF draw on photographs that lie on their side; others as they are shown."""
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    exif = Image.Exif()
    exif[274] = orientation
    gray = np.repeat(photo[:, :, :1], 3, axis=2)
    for name in ("stored", "shown"):
        Image.fromarray(gray).save(tmp_path / "images" / f"{name}.png", exif=exif)
    space = LabelSpace.from_json(
        {"name": "levels", "classes": [{"name": str(n), "id": n} for n in range(160)]}
    )
    shown = read_image(tmp_path / "images" / "shown.png")[:, :, 0]
    assert shown.shape == (64, 40)
    Image.fromarray(photo[:, :, 0]).save(tmp_path / "masks" / "stored.png")
    Image.fromarray(shown).save(tmp_path / "masks" / "shown.png")
    dataset = open_dataset(tmp_path, label_space=space)
    for sample in dataset.samples:
        assert np.array_equal(dataset.read_target(sample), shown), sample.sample_id
    Image.fromarray(gray).save(tmp_path / "images" / "stored.png")  # not turned any more
    Image.fromarray(shown).save(tmp_path / "masks" / "stored.png")
    with pytest.raises(SizeMismatchError):
        dataset.read_target(dataset.sample("images/stored.png"))


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


def test_photographs_of_several_pages_show_the_first_and_say_so(
    tmp_path: Path, photo: np.ndarray
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", photo)
    tifffile.imwrite(tmp_path / "b.tif", np.stack([photo, 255 - photo]), photometric="rgb")
    Image.fromarray(photo).save(
        tmp_path / "c.gif", save_all=True, append_images=[Image.fromarray(255 - photo)]
    )
    (tmp_path / "d.tif").write_bytes(b"II*\0 no picture")
    dataset = open_dataset(tmp_path)
    assert np.array_equal(dataset.read_image(dataset.sample("b.tif")), photo)
    assert dataset.notes == (
        "2 photographs of the 4 TIFF or GIF files looked at have several pages, b.tif first; only "
        "the first page is used, so save others as files of their own.",
    )
    assert open_dataset(tmp_path / "a.tif").notes == ()
    assert open_dataset(tmp_path / "b.tif").notes[0].startswith("1 photograph has several pages")


@pytest.mark.parametrize("top", [1.0, 255.0])
@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        ("f4", {}),
        ("f8", {"tile": (16, 16)}),
        ("f2", {}),
        ("f4", {"compression": "deflate"}),
        ("f4", {"planarconfig": "separate"}),
        ("f4", {"bigtiff": True, "byteorder": ">"}),
        ("f4", {"extratags": [(274, 3, 1, 3, True)]}),
        ("f4", {"extratags": [(274, 3, 1, 6, True)]}),
    ],
)
def test_colours_with_fractions(
    tmp_path: Path, photo: np.ndarray, dtype: str, options: dict[str, Any], top: float
) -> None:
    """A TIFF of floating-point RGB, which Pillow refuses, is read where its range is told."""
    path = tmp_path / "a.tif"
    photo[0, 0] = 255
    numbers = (photo / 255 * top).astype(dtype)
    if "planarconfig" in options:
        numbers = np.moveaxis(numbers, 2, 0)
    tifffile.imwrite(path, numbers, photometric="rgb", **options)
    found = read_image(path)
    tags = options.get("extratags", [(0, 0, 0, 1)])
    turned = np.rot90(photo, {1: 0, 3: 2, 6: 3}[tags[0][3]])
    worst = np.abs(found.astype(int) - turned).max()
    assert found.dtype == np.uint8 and worst <= (1 if dtype == "f2" else 0)
    assert read_image_size(path) == found.shape[:2]
    assert np.array_equal(open_rows(path, whole_pixels=1).read_rows(0, 40), found[:40])
    with pytest.raises(LabelValueError, match="is a colour image"):
        read_source_map(path)
    path.write_bytes(path.read_bytes()[: 40 * 64 * 3])
    with pytest.raises(UnreadableImageError, match=r"a\.tif"):
        read_image(path)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 1.7), (0.0, 4000.0)])
def test_fractions_that_nobody_can_tell_are_refused(
    tmp_path: Path, low: float, high: float
) -> None:
    numbers = np.linspace(low, high, 48, dtype=np.float32).reshape(4, 4, 3)
    tifffile.imwrite(tmp_path / "a.tif", numbers, photometric="rgb")
    with pytest.raises(UnreadableImageError, match=r"nobody can say .* scale them to 0\.\.1"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(("channels", "dtype"), [(3, "i2"), (3, "u4"), (8, "u2"), (2, "f4")])
def test_channels_that_are_no_photograph_are_named(
    tmp_path: Path, channels: int, dtype: str
) -> None:
    kind = "rgb" if channels == 3 else "minisblack"
    numbers = np.ones((4, 6, channels), dtype)
    tifffile.imwrite(tmp_path / "a.tif", numbers, photometric=kind, planarconfig="contig")
    words = f"{channels} channels of {np.dtype(dtype)}"
    with pytest.raises(UnreadableImageError, match=words):
        read_image(tmp_path / "a.tif")
