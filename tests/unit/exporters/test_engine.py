"""How exports are written: resumed, refused, in order, without growing, nothing left behind."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segstudio.core.errors import SegStudioError, UsageError, WriteError
from segstudio.core.label_space import load_label_space
from segstudio.core.types import Sample
from segstudio.exporters._names import flat_names
from segstudio.exporters._writing import in_order
from segstudio.exporters.base import EXPORTERS, ExportItem

SPACE = load_label_space("camvid")
MANY_FILES = ["voc", "coco-panoptic", "labelme"]


@pytest.fixture
def items(make_item: Callable, make_map: Callable) -> list[ExportItem]:
    return [make_item(f"a/{n}.png", make_map(n, 11)) for n in range(12)]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


class StopHere(Exception):
    pass


def stop_after(count: int) -> Callable[[ExportItem], None]:
    seen: list[str] = []

    def on_written(item: ExportItem) -> None:
        seen.append(item.sample.sample_id)
        if len(seen) == count:
            raise StopHere

    return on_written


@pytest.mark.parametrize("name", EXPORTERS.names())
def test_a_stopped_export_goes_on_where_it_was(
    name: str, items: list[ExportItem], run_export: Callable, tmp_path: Path
) -> None:
    whole = run_export(name, items, SPACE, to=tmp_path / "whole")
    with pytest.raises(StopHere):
        run_export(name, items, SPACE, on_written=stop_after(5))
    with pytest.raises(UsageError, match="exist"):
        run_export(name, items, SPACE)

    def refuse_to_read() -> np.ndarray:
        raise AssertionError("a finished sample is read again")

    finished = [
        ExportItem(entry.sample, refuse_to_read, refuse_to_read) if place < 5 else entry
        for place, entry in enumerate(items)
    ]
    written: list[str] = []
    again = run_export(
        name,
        finished,
        SPACE,
        existing="keep",
        on_written=lambda item: written.append(item.sample.sample_id),
    )
    assert written == [entry.sample.sample_id for entry in items]
    assert contents(again.folder) == contents(whole.folder)
    assert [path.relative_to(again.folder) for path in again.paths] == [
        path.relative_to(whole.folder) for path in whole.paths
    ]


def test_a_torn_last_line_of_an_unfinished_document_is_made_again(
    items: list[ExportItem], run_export: Callable, tmp_path: Path
) -> None:
    whole = run_export("coco-rle", items, SPACE, to=tmp_path / "whole")
    with pytest.raises(StopHere):
        run_export("coco-rle", items, SPACE, on_written=stop_after(5))
    spool = tmp_path / "out" / ".coco-rle.unfinished"
    spool.write_bytes(spool.read_bytes()[:-7])
    again = run_export("coco-rle", items, SPACE, existing="keep")
    assert contents(again.folder) == contents(whole.folder)


@pytest.mark.parametrize("spoiled", [b"[1", b"", b"\x00\xff\n"])
def test_an_unfinished_document_of_another_export_is_not_taken_over(
    items: list[ExportItem], run_export: Callable, tmp_path: Path, spoiled: bytes
) -> None:
    whole = run_export("coco-rle", items, SPACE, to=tmp_path / "whole", regions="component")
    with pytest.raises(StopHere):
        run_export("coco-rle", items, SPACE, on_written=stop_after(5))
    spool = tmp_path / "out" / ".coco-rle.unfinished"
    if spoiled:
        header = spool.read_bytes().splitlines(keepends=True)[0]
        spool.write_bytes(header + spoiled + b"\n" + b"3\n")
        whole = run_export("coco-rle", items, SPACE, to=tmp_path / "class")
        again = run_export("coco-rle", items, SPACE, existing="keep")
    else:
        again = run_export("coco-rle", items, SPACE, existing="keep", regions="component")
    assert contents(again.folder) == contents(whole.folder)


def test_a_document_is_not_made_about_files_that_hold_something_else(
    items: list[ExportItem], run_export: Callable, tmp_path: Path
) -> None:
    run_export("coco-panoptic", items, SPACE)
    (tmp_path / "out" / "panoptic.json").unlink()
    (tmp_path / "out" / "panoptic" / "3.png").write_bytes(b"mine")
    failed: list[str] = []
    run_export(
        "coco-panoptic",
        items,
        SPACE,
        existing="keep",
        on_failed=lambda item, error: failed.append(f"{item.sample.sample_id}: {error}"),
    )
    assert (tmp_path / "out" / "panoptic" / "3.png").read_bytes() == b"mine"
    assert len(failed) == 1 and failed[0].startswith("a/3.png: ") and "replace" in failed[0]
    document = json.loads((tmp_path / "out" / "panoptic.json").read_text(encoding="utf-8"))
    assert len(document["annotations"]) == 11


def test_nothing_is_left_when_the_first_sample_fails(
    items: list[ExportItem], run_export: Callable, tmp_path: Path
) -> None:
    def fail() -> np.ndarray:
        raise SegStudioError("The disk fell out.")

    bad = ExportItem(items[0].sample, fail, fail)
    with pytest.raises(SegStudioError, match="fell out"):
        run_export("coco-rle", [bad, *items], SPACE)
    assert not contents(tmp_path / "out")


@pytest.mark.parametrize("name", EXPORTERS.names())
def test_a_destination_that_cannot_be_written_is_named(
    name: str, items: list[ExportItem], run_export: Callable, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    failed: list[ExportItem] = []
    with pytest.raises(WriteError, match=r"file.*folder"):
        run_export(
            name, items, SPACE, to=tmp_path / "file", on_failed=lambda item, _: failed.append(item)
        )
    assert not failed, "it is said once, not for every sample"


@pytest.mark.parametrize("name", MANY_FILES)
def test_photographs_are_copied_linked_or_made(
    name: str, make_item: Callable, make_map: Callable, run_export: Callable, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (24, 31, 3)).astype(np.uint8)
    Image.fromarray(image).save(data / "plain.jpg")
    Image.fromarray(image).save(data / "loss.png")
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(image).save(data / "turned.jpg", exif=exif)
    shown = image[::-1, ::-1]
    items = [
        make_item(n, make_map(1, 11), image=i, folder=data)
        for n, i in (("plain.jpg", image), ("loss.png", image), ("turned.jpg", shown))
    ]
    for images in ("copy", "link"):
        out = run_export(name, items, SPACE, to=tmp_path / images, images=images)
        by_stem = {
            p.stem: p
            for p in out.paths
            if p.suffix in {".jpg", ".png"} and p.parent.name in {"JPEGImages", "images", images}
        }
        assert by_stem["plain"].read_bytes() == (data / "plain.jpg").read_bytes()
        assert by_stem["plain"].is_symlink() is (images == "link")
        assert not by_stem["turned"].is_symlink()
        with Image.open(by_stem["turned"]) as picture:
            assert picture.getexif().get(0x0112, 1) == 1
            assert np.abs(np.asarray(picture).astype(int) - shown).mean() < 8
        assert any("encoded again" in note for note in out.notes)
    assert os.stat(data / "plain.jpg").st_size, "the original stays"


def test_replacing_a_link_leaves_what_it_points_to(
    make_item: Callable, make_map: Callable, run_export: Callable, tmp_path: Path
) -> None:
    path = tmp_path / "1.jpg"
    Image.fromarray(np.zeros((24, 31, 3), np.uint8)).save(path)
    before, mode = path.read_bytes(), path.stat().st_mode
    items = [make_item("1.jpg", make_map(0, 11), folder=tmp_path)]
    run_export("voc", items, SPACE, images="link")
    run_export("voc", items, SPACE, images="link", existing="replace")
    out = run_export("voc", items, SPACE, images="copy", existing="replace")
    assert not (out.folder / "JPEGImages" / "1.jpg").is_symlink()
    assert path.read_bytes() == before and path.stat().st_mode == mode


def test_flat_names_keep_folders_only_where_samples_would_meet() -> None:
    def flat(*ids: str) -> list[str]:
        return list(flat_names([Sample(name, Path(name)) for name in ids]).values())

    assert flat("a/1.jpg", "b/2.jpg") == ["1", "2"]
    assert flat("a/1.jpg", "b/1.jpg") == ["a_1", "b_1"]
    assert flat("a/x.jpg", "b/X.jpg") == ["a_x", "b_X"]
    with pytest.raises(UsageError, match="to one file"):
        flat("a_b/1.jpg", "a/b_1.jpg", "c/1.jpg")


def test_work_ahead_is_bounded_and_in_order() -> None:
    started: list[int] = []
    lock = threading.Lock()

    def work(number: int) -> int:
        with lock:
            started.append(number)
        return number * number

    for number, result in in_order(range(100), work):
        assert result() == number * number
        assert len(started) <= number + 10
    assert sorted(started) == list(range(100))


def test_an_error_in_a_thread_comes_at_its_turn() -> None:
    def work(number: int) -> int:
        if number == 2:
            raise SegStudioError("no")
        return number

    found = []
    for number, result in in_order(range(4), work):
        try:
            found.append(result())
        except SegStudioError as error:
            found.append((number, str(error)))
    assert found == [0, 1, (2, "no"), 3]


def test_records_are_not_held_in_memory(
    make_item: Callable, make_map: Callable, run_export: Callable
) -> None:
    import tracemalloc

    label_map = make_map(1, 11, 60, 80)
    peaks = []
    for count in (20, 400):
        items = [make_item(f"{n}.png", label_map) for n in range(count)]
        tracemalloc.start()
        out = run_export("coco-rle", items, SPACE, existing="replace")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    size = (out.folder / "annotations.json").stat().st_size
    assert peaks[1] - peaks[0] < size / 4, (peaks, size)
