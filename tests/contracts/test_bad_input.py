"""What every format does with files that are missing, damaged, hostile or oddly named."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from segstudio.core.errors import SegStudioError, SizeMismatchError
from segstudio.datasets.base import FORMATS
from segstudio.datasets.containers import find_container
from segstudio.datasets.opening import open_dataset

Maker = Callable[[Path], int]
Exercise = Callable[[Path, str], int]
Case = tuple[str, Path]

PICTURES = {".png", ".jpg", ".avi", ".parquet", ".mat"}


def files_of(folder: Path, suffixes: set[str]) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in suffixes)


def targets_of(name: str, folder: Path) -> list[Path]:
    paths = [s.target_path for s in FORMATS.get(name).open(folder).samples if s.target_path]
    return sorted({found[0] if (found := find_container(p)) else p for p in paths})


def resized(data: bytes, size: tuple[int, int]) -> bytes:
    """Return a picture of (height, width), in the form it has."""
    stream = io.BytesIO()
    with Image.open(io.BytesIO(data)) as picture:
        other = picture.resize((size[1], size[0]), Image.Resampling.NEAREST)
        other.save(stream, format=picture.format)
    return stream.getvalue()


def change_cell(folder: Path, column: str, change: Callable[[bytes], bytes]) -> None:
    """Change the bytes of the first picture in a column of the first Parquet file."""
    path = files_of(folder, {".parquet"})[0]
    table = pyarrow.parquet.read_table(path)
    cells = table[column].to_pylist()
    cells[0]["bytes"] = change(cells[0]["bytes"])
    place = table.schema.get_field_index(column)
    table = table.set_column(
        place, table.field(place), pyarrow.array(cells, table.field(place).type)
    )
    pyarrow.parquet.write_table(table, path)


def damage_frame(path: Path, number: int) -> None:
    """Overwrite one frame of a Motion JPEG, which is a chunk "00dc" in the file."""
    data = path.read_bytes()
    at = [found.start() for found in re.finditer(b"00dc.{4}\xff\xd8", data, re.DOTALL)][number]
    size = int.from_bytes(data[at + 4 : at + 8], "little")
    path.write_bytes(data[: at + 8] + bytes(size) + data[at + 8 + size :])


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "text", "a folder"])
def test_damaged_targets(case: Case, exercise: Exercise, damage: str) -> None:
    name, folder = case
    whole = exercise(folder, name)
    for path in targets_of(name, folder)[:1]:
        data = path.read_bytes()
        path.unlink()
        if damage == "a folder":
            path.mkdir()
        elif damage != "missing":
            kept = {"empty": b"", "cut": data[: len(data) // 2], "text": b"<html>no file</html>"}
            path.write_bytes(kept[damage])
    assert exercise(folder, name) <= whole


@pytest.mark.parametrize("size", [(3, 5), (14, 10), (1, 1)])
def test_targets_of_another_size_fail_alone(
    case: Case, exercise: Exercise, size: tuple[int, int]
) -> None:
    name, folder = case
    whole = exercise(folder, name)
    pictures = [path for path in targets_of(name, folder) if path.suffix == ".png"]
    if not targets_of(name, folder):
        pytest.skip("has no ground truth, so none can be of another size")
    elif name == "parquet":
        change_cell(folder, "label", lambda data: resized(data, size))
    elif pictures:
        pictures[0].write_bytes(resized(pictures[0].read_bytes(), size))
    else:
        # What is drawn or run-length coded has the size of the photograph that it was drawn on.
        path = FORMATS.get(name).open(folder).samples[0].image_path
        path.write_bytes(resized(path.read_bytes(), size))
    # Of all targets the one that was changed cannot be read, and only that.
    assert exercise(folder, name) == whole - 1


def test_small_files_that_unpack_to_gigabytes_are_not_unpacked(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A label picture of another size than its photograph is refused from its header."""
    name, folder = case
    dataset = FORMATS.get(name).open(folder)
    pictures = [path for path in targets_of(name, folder) if path.suffix == ".png"]
    if not pictures:
        pytest.skip("has no label pictures")
    pictures[0].write_bytes(resized(pictures[0].read_bytes(), (300, 500)))

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("its pixels were decoded")

    monkeypatch.setattr(Image.Image, "load", forbidden)
    monkeypatch.setattr(cv2, "imdecode", forbidden)
    target = next(s for s in dataset.samples if s.target_path == pictures[0])
    with pytest.raises(SizeMismatchError, match="is 300 x 500 pixels"):
        dataset.read_target(target)


def with_strange_pixel(data: bytes, known: set[int]) -> bytes:
    """Return a label picture with one pixel of an id, or a colour, that nobody knows."""
    stream = io.BytesIO()
    with Image.open(io.BytesIO(data)) as picture:
        if picture.mode == "RGB":
            picture.putpixel((0, 0), (251, 253, 254))
        else:
            picture.putpixel(
                (0, 0), next(value for value in range(254, 0, -1) if value not in known)
            )
        picture.save(stream, format=picture.format)
    return stream.getvalue()


def test_ids_and_colours_that_nobody_knows_fail_alone(case: Case, exercise: Exercise) -> None:
    name, folder = case
    dataset = FORMATS.get(name).open(folder)
    whole = exercise(folder, name)
    space = dataset.label_space
    pictures = [path for path in targets_of(name, folder) if path.suffix == ".png"]
    if not pictures and name != "parquet":
        pytest.skip("has no label pictures")
    assert space is not None
    known = {entry.source_id for entry in space.classes} | set(space.ignore_ids)
    if name == "parquet":
        change_cell(folder, "label", lambda data: with_strange_pixel(data, known))
    else:
        pictures[0].write_bytes(with_strange_pixel(pictures[0].read_bytes(), known))
    assert exercise(folder, name) == whole - 1
    found = []
    for sample in FORMATS.get(name).open(folder).samples:
        if sample.target_path is not None:
            try:
                dataset.read_target(sample)
            except SegStudioError as error:
                found.append(str(error))
    assert len(found) == 1 and (name == "parquet" or str(pictures[0]) in found[0])
    if name not in ("ade20k-full", "coco-panoptic"):  # whose sentences say what is wrong otherwise
        assert "251, 253, 254" in found[0] or re.search(r"\b2[0-5]\d\b", found[0])


def test_photographs_that_are_none_fail_alone(case: Case, exercise: Exercise) -> None:
    name, folder = case
    dataset = FORMATS.get(name).open(folder)
    sample = dataset.samples[0]
    whole = exercise(folder, name)
    if name == "parquet":
        change_cell(folder, "image", lambda data: b"no picture")
    elif name == "video":
        damage_frame(folder / "clip.avi", 1)
    else:
        sample.image_path.write_bytes(b"no picture")
    assert exercise(folder, name) == whole - (sample.target_path is not None)
    readable = []
    for number, sample in enumerate(FORMATS.get(name).open(folder).samples):
        with contextlib.suppress(SegStudioError):
            readable.append((number, round(dataset.read_image(sample).mean())))
    assert len(readable) == len(dataset) - 1
    if name == "video":  # and no frame is taken for its neighbour
        assert [number for number, _ in readable] == [0, 2]
        assert np.allclose([value for _, value in readable], [10, 170], atol=3)


def test_links_in_circles_and_out_of_the_folder(
    case: Case, exercise: Exercise, tmp_path: Path
) -> None:
    name, folder = case
    ids = [sample.sample_id for sample in open_dataset(folder).samples]
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    for below in [path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink()]:
        (below / "up").symlink_to(folder, target_is_directory=True)
    (folder / "nowhere.png").symlink_to(tmp_path / "nowhere.png")
    again = [sample.sample_id for sample in FORMATS.get(name).open(folder).samples]
    assert sorted(again) == sorted(ids)
    assert exercise(folder, name) >= 0


@pytest.mark.parametrize(
    "stem",
    ["with blanks and (brackets)", "Grüße-日本語-😀", "CON", "aux", "nul.tar", "-rf", "a%20b",
     "trailing.", "x" * 200, "quote'\"`$(ls)", "semi;colon", "..a", "new\nline"],
)  # fmt: skip
def test_odd_names_are_samples_like_others(
    tmp_path: Path, exercise: Exercise, layouts: dict[str, Maker], stem: str
) -> None:
    for name in ("paired", "voc", "labelme"):
        folder = tmp_path / name
        folder.mkdir()
        layouts[name](folder)
        first = FORMATS.get(name).open(folder).samples[0]
        before = exercise(folder, name)
        shutil.copy(first.image_path, first.image_path.with_name(stem + first.image_path.suffix))
        if first.target_path is not None:
            target = first.target_path
            shutil.copy(target, target.with_name(stem + target.suffix))
        lists = folder / "ImageSets" / "Segmentation" / "train.txt"
        if lists.is_file():
            lists.write_text(f"{lists.read_text()}\n{stem}\n", encoding="utf-8")
        expected = before + (first.target_path is not None)
        listed = name != "voc" or "\n" not in stem
        hidden = stem.startswith(".")
        assert exercise(folder, name) == expected - (hidden or not listed) * (expected - before)
        ids = [sample.sample_id for sample in FORMATS.get(name).open(folder).samples]
        assert any(stem in sample_id for sample_id in ids) == (listed and not hidden)


@pytest.mark.parametrize("name", ["paired", "voc", "camvid", "labelme", "coco", "cvat-xml"])
def test_files_named_in_other_case_belong_to_their_images(
    tmp_path: Path, exercise: Exercise, layouts: dict[str, Maker], name: str
) -> None:
    layouts[name](tmp_path)
    first = FORMATS.get(name).open(tmp_path).samples[0]
    photograph, target = first.image_path, first.target_path
    assert target is not None
    if name == "camvid":
        for listed in files_of(tmp_path, {".txt"}):
            listed.unlink()  # without lists it pairs by name
    whole = exercise(tmp_path, name)
    for listed in files_of(tmp_path, {".txt"} if name == "voc" else {".json", ".xml"}):
        text = listed.read_text(encoding="utf-8")
        known = photograph.stem if name == "voc" else photograph.name
        listed.write_text(text.replace(known, f"X{known}"), encoding="utf-8")
    photograph.rename(photograph.with_name(f"x{photograph.name}".swapcase()))
    if target.suffix == ".png" or name == "labelme":
        target.rename(target.with_name(f"x{target.name}"))
    dataset = FORMATS.get(name).open(tmp_path)
    assert not dataset.notes and exercise(tmp_path, name) == whole


def test_paths_of_more_than_300_characters(tmp_path: Path, exercise: Exercise) -> None:
    deep = Path("images", *["folder-" + "y" * 60] * 5)
    for top in ("images", "masks"):
        place = tmp_path / "set" / top / deep.relative_to("images")
        place.mkdir(parents=True)
        values = np.zeros((4, 6, 3) if top == "images" else (4, 6), np.uint8)
        Image.fromarray(values).save(place / "a.png")
    (tmp_path / "set" / "classes.txt").write_text("one\n")
    dataset = open_dataset(tmp_path / "set")
    assert len(dataset.samples[0].sample_id) > 300
    assert exercise(tmp_path / "set", "paired") == 1
