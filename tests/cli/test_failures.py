"""What goes wrong is one plain sentence that names the file; the rest goes on."""

from __future__ import annotations

import errno
import sqlite3
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def damaged(dataset_folder) -> dict[str, Path]:
    """The dataset with three samples that fail, each in its own way: file at fault by sample."""
    image = dataset_folder / "images" / "01.png"
    image.write_bytes(image.read_bytes()[:-60])
    size = dataset_folder / "masks" / "02.png"
    Image.fromarray(np.zeros((47, 64), np.uint8)).save(size)
    value = dataset_folder / "masks" / "04.png"
    values = np.zeros((48, 64), np.uint8)
    values[20, 30] = 99
    Image.fromarray(values).save(value)
    return {"images/01.png": image, "images/02.png": size, "images/04.png": value}


def assert_each_named_once(outcome, damaged: dict[str, Path]) -> None:
    for sample_id, path in damaged.items():
        lines = [line for line in outcome.err.splitlines() if line.startswith(f"{sample_id} ")]
        assert len(lines) == 1, outcome.err
        assert outcome.err.count(lines[0]) == 1
        assert str(path) in lines[0]
    assert "Traceback" not in outcome.err


def test_evaluate_names_each_bad_file_and_scores_the_rest(
    segstudio, dataset_folder, tiny_model, damaged, results
):
    outcome = segstudio("evaluate", dataset_folder, "-m", tiny_model, "--json")
    assert outcome.status == 1
    assert_each_named_once(outcome, damaged)
    document = outcome.document()
    reasons = {entry["sample_id"]: entry["error"] for entry in document["failed"]}
    assert reasons.keys() == damaged.keys()
    assert all(str(damaged[key]) in reason for key, reason in reasons.items())
    assert "47 x 64" in reasons["images/02.png"] and "48 x 64" in reasons["images/02.png"]
    assert "99" in reasons["images/04.png"]
    assert document["samples"] == 3
    scored = [entry["sample_id"] for entry in document["runs"][0]["per_sample"]]
    assert scored == ["images/00.png", "images/03.png", "images/05.png"]
    assert np.sum(document["runs"][0]["confusion"]) == 3 * 44 * 64
    # A mask that cannot be used is no reason to lose the prediction.
    assert {key for key, (error, _) in results(dataset_folder).items() if error} == {
        "images/01.png"
    }
    labels = dataset_folder / ".segstudio/runs/tiny/labels/images"
    assert {path.name for path in labels.iterdir()} == {
        f"{number:02}.png.png" for number in (0, 2, 3, 4, 5)
    }


def test_bad_files_are_named_again_and_only_they_are_tried_again(
    segstudio, dataset_folder, tiny_model, damaged, results
):
    segstudio("evaluate", dataset_folder, "-m", tiny_model)
    before = results(dataset_folder)
    outcome = segstudio("evaluate", dataset_folder, "-m", tiny_model)
    after = results(dataset_folder)
    assert outcome.status == 1
    assert_each_named_once(outcome, damaged)
    assert "3 images could not be scored" in outcome.out
    assert {key for key in before if before[key] != after[key]} == {"images/01.png"}


def test_repaired_files_are_scored(segstudio, dataset_folder, tiny_model, damaged):
    segstudio("evaluate", dataset_folder, "-m", tiny_model)
    for folder, numbers in (("images", (1,)), ("masks", (2, 4))):
        for number in numbers:
            good = (dataset_folder / folder / "00.png").read_bytes()
            (dataset_folder / folder / f"{number:02}.png").write_bytes(good)
    outcome = segstudio("evaluate", dataset_folder, "-m", tiny_model, "--json")
    assert outcome.status == 0, outcome.err
    assert outcome.document()["samples"] == 6


def test_run_names_an_unreadable_image_and_does_the_rest(
    segstudio, dataset_folder, tiny_model, damaged
):
    outcome = segstudio("run", dataset_folder, "-m", tiny_model)
    assert outcome.status == 1
    assert_each_named_once(outcome, damaged)
    labels = dataset_folder / ".segstudio/runs/tiny/labels/images"
    assert len(list(labels.iterdir())) == 5


def test_all_images_unreadable(segstudio, tmp_path, tiny_model):
    for name in ("a.png", "b.jpg"):
        (tmp_path / name).write_bytes(b"no image at all")
    outcome = segstudio("run", tmp_path, "-m", tiny_model)
    assert outcome.status == 1
    assert_each_named_once(outcome, {name: tmp_path / name for name in ("a.png", "b.jpg")})


# -- folders ----------------------------------------------------------------------------------


def test_an_empty_folder(segstudio, tmp_path, tiny_model):
    empty = tmp_path / "empty"
    empty.mkdir()
    line = segstudio("run", empty, "-m", tiny_model).complaint()
    assert f"{empty} is empty" in line
    assert list(empty.iterdir()) == []


def test_a_folder_without_images(segstudio, tmp_path, tiny_model):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "notes.txt").write_text("no image")
    (folder / "more.csv").write_text("a,b")
    line = segstudio("run", folder, "-m", tiny_model).complaint()
    assert str(folder) in line
    assert "no images" in line


@pytest.mark.parametrize("command", ["run", "evaluate"])
def test_a_missing_folder(segstudio, tmp_path, tiny_model, command):
    missing = tmp_path / "missing"
    assert str(missing) in segstudio(command, missing, "-m", tiny_model).complaint()
    assert not missing.exists()


def test_a_text_file_in_place_of_a_dataset(segstudio, tmp_path, tiny_model):
    path = tmp_path / "notes.txt"
    path.write_text("no image")
    assert str(path) in segstudio("run", path, "-m", tiny_model).complaint()


def test_a_project_path_that_is_a_file(segstudio, dataset_folder, tmp_path, tiny_model):
    path = tmp_path / "project"
    path.write_text("mine")
    line = segstudio("run", dataset_folder, "-m", tiny_model, "--project", path).complaint()
    assert str(path) in line
    assert path.read_text() == "mine"


def test_a_project_database_that_is_none(segstudio, dataset_folder, tiny_model):
    database = dataset_folder / ".segstudio" / "project.sqlite"
    database.parent.mkdir()
    database.write_bytes(b"this is no database, but longer than a header of SQLite would be" * 20)
    before = database.read_bytes()
    assert str(database) in segstudio("run", dataset_folder, "-m", tiny_model).complaint()
    assert database.read_bytes() == before


def damage(database: Path) -> bytes:
    """Overwrite a page in the middle of a project file; returns what it holds then."""
    data = bytearray(database.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = b"\xaa" * 4096
    database.write_bytes(data)
    return bytes(data)


def test_a_damaged_project_is_repaired_on_the_users_word_only(
    segstudio, dataset_folder, tiny_model, results
):
    segstudio("run", dataset_folder, "-m", tiny_model)
    project = dataset_folder / ".segstudio"
    images = {path: path.read_bytes() for path in (dataset_folder / "images").iterdir()}
    labels = sorted((project / "runs").rglob("*.png"))
    damaged = damage(project / "project.sqlite")
    for command in ("run", "evaluate"):
        line = segstudio(command, dataset_folder, "-m", tiny_model).complaint()
        assert str(project / "project.sqlite") in line and "--repair" in line
    assert (project / "project.sqlite").read_bytes() == damaged
    outcome = segstudio("run", dataset_folder, "-m", tiny_model, "--repair")
    assert outcome.status == 0, outcome.err
    assert f"is kept as {project / 'project.sqlite.damaged'}" in outcome.err
    assert (project / "project.sqlite.damaged").read_bytes() == damaged
    assert len(results(dataset_folder)) == 6
    assert sorted((project / "runs").rglob("*.png")) == labels
    assert {path: path.read_bytes() for path in images} == images
    again = segstudio("run", dataset_folder, "-m", tiny_model, "--repair")
    assert again.status == 0 and "damaged" not in again.err


def test_a_run_that_another_process_works_on(segstudio, dataset_folder, tiny_model):
    from segstudio.project.locks import hold_run

    with hold_run(dataset_folder / ".segstudio" / "locks", "tiny"):
        outcome = segstudio("run", dataset_folder, "-m", tiny_model)
    assert outcome.status == 2
    assert "The run tiny is being worked on by process" in outcome.err.splitlines()[-1]
    assert segstudio("run", dataset_folder, "-m", tiny_model).status == 0


def test_a_changed_image_is_redone_and_said_so(segstudio, dataset_folder, tiny_model, results):
    segstudio("run", dataset_folder, "-m", tiny_model)
    before = results(dataset_folder)
    images = dataset_folder / "images"
    (images / "03.png").write_bytes((images / "00.png").read_bytes())
    outcome = segstudio("run", dataset_folder, "-m", tiny_model)
    after = results(dataset_folder)
    assert outcome.status == 0
    assert "1 image has changed since the last run and will be redone: images/03.png." in (
        outcome.err.splitlines()
    )
    assert {key for key in before if before[key] != after[key]} == {"images/03.png"}


def test_a_folder_named_like_an_image_is_none(segstudio, dataset_folder, tiny_model, results):
    (dataset_folder / "images" / "x.jpg").mkdir()
    assert segstudio("run", dataset_folder, "-m", tiny_model).status == 0
    assert len(results(dataset_folder)) == 6


@pytest.mark.parametrize(
    ("flags", "word"),
    [(("--batch", "0"), "batch"), (("--tta", "up"), "tta"), (("--engine", "cloud"), "engine")],
    ids=lambda value: str(value[0]) if isinstance(value, tuple) else value,
)
def test_flags_that_make_no_sense(segstudio, dataset_folder, tiny_model, flags, word):
    line = segstudio("run", dataset_folder, "-m", tiny_model, *flags).complaint()
    assert word in line.lower()


def test_batches_give_the_same_labels(segstudio, dataset_folder, tiny_model, tmp_path):
    for batch in ("1", "4"):
        project = tmp_path / batch
        flags = ("--batch", batch, "--project", project)
        assert segstudio("run", dataset_folder, "-m", tiny_model, *flags).status == 0
    for one in (tmp_path / "1" / "runs" / "tiny" / "labels").rglob("*.png"):
        with (
            Image.open(one) as first,
            Image.open(tmp_path / "4" / one.relative_to(tmp_path / "1")) as second,
        ):
            assert np.mean(np.asarray(first) == np.asarray(second)) > 0.999


# -- checkpoints ------------------------------------------------------------------------------


@pytest.fixture(params=["text", "named like one", "zip", "empty", "truncated", "folder"])
def not_a_checkpoint(request, tmp_path, tiny_model) -> Path:
    path = tmp_path / "weights.pth"
    match request.param:
        case "text":
            path = tmp_path / "weights.txt"
            path.write_text("these are no weights\n")
        case "named like one":
            path.write_text("these are no weights\n")
        case "zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("weights.txt", "these are no weights")
        case "empty":
            path.touch()
        case "truncated":
            path = tmp_path / "weights.safetensors"
            path.write_bytes(tiny_model.read_bytes()[:100_000])
        case "folder":
            path.mkdir()
            (path / "notes.md").write_text("none here")
    return path


def test_inspect_refuses_what_is_no_checkpoint(segstudio, not_a_checkpoint):
    for flags in ([], ["--json"]):
        assert str(not_a_checkpoint) in segstudio("inspect", not_a_checkpoint, *flags).complaint()


def test_run_refuses_what_is_no_checkpoint(segstudio, dataset_folder, not_a_checkpoint):
    line = segstudio("run", dataset_folder, "-m", not_a_checkpoint).complaint()
    assert str(not_a_checkpoint) in line
    assert not (dataset_folder / ".segstudio" / "runs").exists()


# -- disks ------------------------------------------------------------------------------------


def test_a_full_disk_keeps_what_is_done_and_redoes_nothing(
    segstudio, dataset_folder, tiny_model, results, monkeypatch
):
    write = Path.write_bytes
    written = []

    def fill_disk(path: Path, data: bytes) -> int:
        if path.name.endswith(".segstudio-part"):
            written.append(path)
            if len(written) > 10:  # in the middle of the third sample
                write(path, data[: len(data) // 2])
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fill_disk)
        outcome = segstudio("run", dataset_folder, "-m", tiny_model)
    assert outcome.status == 2
    assert "Traceback" not in outcome.err
    (line,) = (line for line in outcome.err.splitlines() if line.startswith("segstudio: "))
    assert "the disk is full" in line
    assert str(dataset_folder / ".segstudio" / "runs" / "tiny") in line
    before = results(dataset_folder)
    # Two are written at a time: ten files are two whole samples, or one and parts of two.
    assert 1 <= len(before) <= 2
    pictures = dataset_folder / ".segstudio" / "runs"
    for path in pictures.rglob("*.*"):
        assert not path.name.endswith(".segstudio-part")
        with Image.open(path) as picture:
            picture.load()

    again = segstudio("run", dataset_folder, "-m", tiny_model)
    after = results(dataset_folder)
    assert again.status == 0
    assert len(after) == 6
    assert {key: after[key] for key in before} == before


def test_a_report_that_cannot_be_written(segstudio, dataset_folder, tiny_model, tmp_path):
    path = tmp_path / "report"
    path.write_text("mine")
    outcome = segstudio("evaluate", dataset_folder, "-m", tiny_model, "--report", path, "--json")
    assert outcome.status == 2
    assert outcome.out == ""
    (line,) = (line for line in outcome.err.splitlines() if line.startswith("segstudio: "))
    assert str(path) in line
    assert path.read_text() == "mine"


def test_a_damaged_project_is_read_as_far_as_it_goes(segstudio, dataset_folder, tiny_model):
    assert segstudio("run", dataset_folder, "-m", tiny_model).status == 0
    (database,) = dataset_folder.rglob("project.sqlite")
    before = bytearray(database.read_bytes())
    with sqlite3.connect(database) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'results'")
        start = (page.fetchone()[0] - 1) * connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    before[start : start + 100] = b"\xaa" * 100
    database.write_bytes(before)
    outcome = segstudio("list", "runs", dataset_folder, "--json")
    assert outcome.status == 0 and [entry["done"] for entry in outcome.document()] == [0]
    assert outcome.err.count(f"{database} is damaged") == 1 and "--repair" in outcome.err
    assert database.read_bytes() == before
    again = segstudio("run", dataset_folder, "-m", tiny_model, "--repair")
    assert again.status == 0 and "The damaged project file is kept as" in again.err
    assert segstudio("list", "runs", dataset_folder).err == ""
