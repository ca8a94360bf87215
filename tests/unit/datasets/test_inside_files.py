"""Samples inside files: frames of videos, cells of Parquet files."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from segstudio.core.errors import NoDatasetError, UnreadableImageError, UsageError
from segstudio.datasets import parquet_files, video_files
from segstudio.datasets.containers import find_container, stat_source
from segstudio.datasets.images import (
    read_image,
    read_image_size,
    read_source_map,
    read_thumbnail,
)
from segstudio.datasets.opening import open_dataset
from segstudio.datasets.rows import open_rows
from segstudio.project.signature import look_again, sign_file

PICTURE = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])


def film(path: Path, frames: int = 40, rate: float = 20, codec: str = "MJPG") -> Path:
    """Write a film whose frame n is a flat grey of about 5 n."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, (48, 32))
    for number in range(frames):
        writer.write(np.full((32, 48, 3), 5 * number, np.uint8))
    writer.release()
    return path


def damaged(path: Path, *numbers: int) -> Path:
    """Overwrite frames of a Motion JPEG, each of which is a chunk "00dc" in the file."""
    data = path.read_bytes()
    frames = [found.start() for found in re.finditer(b"00dc.{4}\xff\xd8", data, re.DOTALL)]
    for at in (frames[number] for number in numbers):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        data = data[: at + 8] + bytes(size) + data[at + 8 + size :]
    path.write_bytes(data)
    return path


def level(path: Path, number: int) -> float:
    return float(read_image(path / f"{number:06}").mean()) / 5


def png(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, format="PNG")
    return stream.getvalue()


def cell(number: int) -> dict[str, object]:
    return {"bytes": png(np.full((4, 6, 3), number, np.uint8)), "path": None}


def parquet(path: Path, rows: int = 10, group: int = 3) -> Path:
    table = {
        "image": [cell(row) for row in range(rows)],
        "label": [{"bytes": png(np.full((4, 6), row % 4, np.uint8))} for row in range(rows)],
        "id": list(range(rows)),
    }
    schema = pyarrow.schema([("image", PICTURE), ("label", PICTURE), ("id", pyarrow.int64())])
    pyarrow.parquet.write_table(pyarrow.table(table, schema), path, row_group_size=group)
    return path


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "MJPG"), ("a.mp4", "mp4v")])
def test_frames_are_the_same_in_any_order(tmp_path: Path, name: str, codec: str) -> None:
    path = film(tmp_path / name, codec=codec)
    order = [0, 1, 2, 30, 5, 4, 39, 3, 20, 19]
    for number in order:
        assert abs(level(path, number) - number) < 1
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda number: level(path, number), range(40)))
    assert all(abs(value - number) < 1 for number, value in enumerate(found))
    assert len(video_files._videos[path].idle) <= video_files._DECODERS


def test_a_frame_is_an_image_in_every_way(tmp_path: Path) -> None:
    frame = film(tmp_path / "a.avi") / "000007"
    assert read_image_size(frame) == (32, 48)
    assert read_thumbnail(frame, 24).shape == (16, 24, 3)
    assert np.array_equal(open_rows(frame).read_rows(0, 32), read_image(frame))
    assert find_container(frame) == (tmp_path / "a.avi", "000007")
    assert stat_source(frame).st_size == (tmp_path / "a.avi").stat().st_size


def test_in_order_each_frame_is_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = film(tmp_path / "a.avi")
    opened: list[Path] = []
    plain = video_files._opened
    monkeypatch.setattr(video_files, "_opened", lambda p: opened.append(p) or plain(p))
    for number in range(0, 40, 3):
        read_image(path / f"{number:06}")
    assert len(opened) == 1


def test_which_frames_is_an_option_of_the_format(tmp_path: Path) -> None:
    film(tmp_path / "a.avi")
    assert len(open_dataset(tmp_path)) == 40
    ids = [s.sample_id for s in open_dataset(tmp_path, format="video:every=15").samples]
    assert ids == ["a.avi/000000", "a.avi/000015", "a.avi/000030"]
    assert len(open_dataset(tmp_path / "a.avi", format="video:seconds=0.5")) == 4
    with pytest.raises(UsageError, match="every"):
        open_dataset(tmp_path, format="video:every=0")
    with pytest.raises(UsageError, match="no options"):
        open_dataset(tmp_path, format="folder:every=2")


def test_broken_videos_are_named_and_the_rest_opens(tmp_path: Path) -> None:
    film(tmp_path / "good.avi")
    (tmp_path / "bad.mp4").write_bytes(b"no video at all" * 100)
    (tmp_path / "empty.mkv").write_bytes(b"")
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 40 and len(dataset.notes) == 2
    assert all("no video that can be decoded" in note for note in dataset.notes)
    (tmp_path / "good.avi").unlink()
    with pytest.raises(NoDatasetError, match="no video that can be read"):
        open_dataset(tmp_path)


def test_a_cut_video_fails_where_it_is_cut(tmp_path: Path) -> None:
    path = film(tmp_path / "a.avi")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert abs(level(path, 3) - 3) < 1
    with pytest.raises(UnreadableImageError, match="frame 39"):
        level(path, 39)
    assert abs(level(path, 4) - 4) < 1  # and goes on serving


@pytest.mark.parametrize("ahead", [3, 250])
def test_behind_damaged_frames_no_frame_is_taken_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    path = damaged(film(tmp_path / "a.avi"), 9, 10, 30)
    monkeypatch.setattr(video_files, "_AHEAD", ahead)
    for number in (11, 12, 31, 8, 39, 9, 13, 20, 30, 10, 14, 0):
        if number in (9, 10, 30):
            with pytest.raises(UnreadableImageError, match=f"no frame {number} that can be"):
                level(path, number)
        else:
            assert abs(level(path, number) - number) < 1, number


def test_damaged_frames_at_the_beginning_are_said_and_left_out(tmp_path: Path) -> None:
    path = damaged(film(tmp_path / "a.avi"), 0, 1, 2)
    dataset = open_dataset(tmp_path)
    assert [sample.sample_id for sample in dataset.samples[:2]] == ["a.avi/000003", "a.avi/000004"]
    assert len(dataset) == 37
    assert dataset.notes == (
        f"The first 3 frames of {path} cannot be decoded, perhaps damaged; left out.",
    )
    assert read_image_size(path / "000005") == (32, 48)
    assert abs(level(path, 3) - 3) < 1 and abs(level(path, 39) - 39) < 1
    assert [s.sample_id for s in open_dataset(path, format="video:every=20").samples] == [
        "a.avi/000003",
        "a.avi/000023",
    ]
    # FFmpeg's own words would come beside ours; a new process, for here it is loaded already.
    code = (
        "import pathlib, sys; from segstudio.datasets.video_files import read_facts; "
        "print(read_facts(pathlib.Path(sys.argv[1])).first)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("3\n", "")


def test_a_video_of_damaged_frames_alone_is_refused(tmp_path: Path) -> None:
    damaged(film(tmp_path / "a.avi", frames=5), *range(5))
    with pytest.raises(NoDatasetError, match="no frame that can be decoded among its first"):
        open_dataset(tmp_path / "a.avi")


class Skipping:
    """A decoder that lands two frames too far where it is told to go to a frame."""

    def __init__(self) -> None:
        self.at = 0

    def get(self, what: int) -> float:
        return 20.0 if what == cv2.CAP_PROP_FPS else 50.0 * (self.at - 1)

    def set(self, what: int, number: int) -> None:
        self.at = number and number + 2

    def grab(self) -> bool:
        self.at += 1
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.full((4, 6, 3), self.at - 1, np.uint8)


def test_a_seek_that_goes_too_far_is_not_believed() -> None:
    decoder = video_files._Decoder(Skipping())  # type: ignore[arg-type]
    for number in (251, 7, 8, 0):
        assert (video_files._decoded(decoder, Path("a.avi"), number) == number).all()


def test_what_is_no_frame_is_said(tmp_path: Path) -> None:
    path = film(tmp_path / "a.avi")
    for place in ("x.png", "000041", "-1"):
        with pytest.raises(UnreadableImageError, match="frame"):
            read_image(path / place)
    with pytest.raises(UnreadableImageError, match="does not exist"):
        read_image(tmp_path / "b.avi" / "000001")


def test_a_replaced_video_is_read_anew(tmp_path: Path) -> None:
    path = film(tmp_path / "a.avi")
    assert abs(level(path, 2) - 2) < 1
    signature = sign_file(path / "000002")
    assert look_again(path / "000002", signature, 0) == (False, signature)
    film(path, frames=3, rate=5)
    with pytest.raises(UnreadableImageError):
        level(path, 20)
    assert look_again(path / "000002", signature, 0)[0]
    assert sign_file(path / "000002").digest != sign_file(path / "000001").digest


@pytest.mark.parametrize("kept", [1 << 27, 0])
def test_cells_are_the_same_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """Whether a row group is kept whole or read in batches."""
    monkeypatch.setattr(parquet_files, "_GROUP_BYTES", kept)
    monkeypatch.setattr(parquet_files, "_BATCH", 2)
    path = parquet(tmp_path / "a.parquet")
    for row in (0, 1, 2, 9, 3, 2, 8, 5, 4):
        assert read_image(path / "image" / f"{row:06}")[0, 0].tolist() == [row] * 3
        assert read_source_map(path / "label" / f"{row:06}")[0, 0] == row % 4


def test_a_large_row_group_is_read_once_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_files, "_GROUP_BYTES", 0)
    monkeypatch.setattr(parquet_files, "_BATCH", 4)
    path = parquet(tmp_path / "a.parquet", rows=40, group=40)
    started = []
    plain = pyarrow.parquet.ParquetFile.iter_batches
    monkeypatch.setattr(
        pyarrow.parquet.ParquetFile,
        "iter_batches",
        lambda self, *a, **k: started.append(1) or plain(self, *a, **k),
    )
    for row in range(40):
        read_image(path / "image" / f"{row:06}")
    assert len(started) == 1


def test_rows_have_splits_labels_and_classes(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    parquet(tmp_path / "data" / "train-00000-of-00001.parquet")
    parquet(tmp_path / "data" / "validation-00000-of-00001.parquet", rows=2)
    (tmp_path / "id2label.json").write_text('{"0": "a", "1": "b", "2": "c", "3": "d"}')
    dataset = open_dataset(tmp_path)
    assert dataset.splits == ("train", "val") and len(dataset) == 12
    sample = dataset.samples[5]
    assert sample.sample_id == "data/train-00000-of-00001.parquet/image/000005"
    assert dataset.read_target(sample).tolist() == np.full((4, 6), 1).tolist()
    assert dataset.label_space is not None and list(dataset.label_space.names) == list("abcd")


def test_parquet_without_pictures_or_damaged(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"image": [1, 2]}), tmp_path / "numbers.parquet")
    with pytest.raises(NoDatasetError, match="column of images"):
        open_dataset(tmp_path, format="parquet")
    parquet(tmp_path / "good.parquet")
    whole = (tmp_path / "good.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    dataset = open_dataset(tmp_path, format="parquet")
    assert len(dataset) == 10 and any("cut.parquet" in note for note in dataset.notes)
    with pytest.raises(UnreadableImageError, match="row 99 of image"):
        read_image(tmp_path / "good.parquet" / "image" / "000099")


def test_a_cell_that_names_a_file_stays_in_its_folder(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((3, 3, 3), np.uint8)).save(tmp_path / "secret.png")
    inside = tmp_path / "set"
    inside.mkdir()
    Image.fromarray(np.full((3, 3, 3), 9, np.uint8)).save(inside / "own.png")
    names = ["own.png", "../secret.png", str(tmp_path / "secret.png"), "nowhere.png", None]
    cells = [{"bytes": None, "path": name} for name in names]
    table = pyarrow.table({"image": cells}, pyarrow.schema([("image", PICTURE)]))
    pyarrow.parquet.write_table(table, inside / "a.parquet")
    assert read_image(inside / "a.parquet/image/000000")[0, 0, 0] == 9
    for row, reason in ((1, "outside"), (2, "outside"), (3, "cannot be read"), (4, "no image")):
        with pytest.raises(UnreadableImageError, match=reason):
            read_image(inside / f"a.parquet/image/{row:06}")


def test_without_pyarrow_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet(tmp_path / "a.parquet")
    monkeypatch.setattr(parquet_files.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NoDatasetError, match=r"install segstudio\[parquet\]"):
        open_dataset(tmp_path)


def test_a_folder_called_like_a_video_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").mkdir()
    Image.fromarray(np.zeros((3, 3, 3), np.uint8)).save(tmp_path / "clip.mp4" / "000000", "PNG")
    assert read_image(tmp_path / "clip.mp4" / "000000").shape == (3, 3, 3)
    assert find_container(tmp_path / "clip.mp4" / "000000") is None
