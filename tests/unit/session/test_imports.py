"""Predictions of other programs as runs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from segstudio.core.errors import CancelledError, NoDatasetError, UsageError
from segstudio.core.label_space import load_label_space
from segstudio.datasets.opening import open_dataset
from segstudio.metrics.report import EvaluationReport
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import Store
from segstudio.session.analysis import Analysis
from segstudio.session.error_analysis import ErrorAnalysis
from segstudio.session.evaluation import evaluate_runs
from segstudio.session.imports import ImportRequest, default_run_name, import_run

SHAPE = (12, 16)


def save(path: Path, values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(path)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[tuple[Path, Store, ProjectLayout]]:
    """A dataset of two images with ids 10, 20, 30 (255 is ignored) and a project."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        save(tmp_path / f"set/images/{name}.png", rng.integers(0, 256, (*SHAPE, 3)))
        save(tmp_path / f"set/masks/{name}.png", rng.choice([10, 20, 30, 255], SHAPE))
    classes = [{"name": f"c{n}", "id": 10 * n, "color": [n, 2 * n, 3 * n]} for n in (1, 2, 3)]
    space = {"name": "three", "ignore_ids": [255], "classes": classes}
    (tmp_path / "set/label_space.json").write_text(json.dumps(space))
    layout = ProjectLayout(tmp_path / "project")
    layout.root.mkdir()
    store = Store(layout.database)
    yield tmp_path, store, layout
    store.close()


def targets(root: Path) -> dict[str, np.ndarray]:
    """Return the ground truth as class indices."""
    dataset = open_dataset(root / "set")
    return {sample.sample_id: dataset.read_target(sample) for sample in dataset.samples}


def report_of(root: Path, store: Store, layout: ProjectLayout, run: str) -> EvaluationReport:
    return evaluate_runs(open_dataset(root / "set"), store, layout, [run])


def bring(project: tuple[Path, Store, ProjectLayout], folder: str, **options: Any) -> Any:
    root, store, layout = project
    request = ImportRequest(open_dataset(root / "set"), root / folder, **options)
    return import_run(request, store, layout)


def test_label_maps_become_a_run_that_is_scored(project: Any) -> None:
    root, store, layout = project
    for name, target in targets(root).items():
        wrong = target.copy()
        wrong[:3] = 0
        save(root / f"mine/{Path(name).stem}_pred.png", wrong)
    result = bring(project, "mine", name="theirs")
    assert (result.run, result.done, result.failed) == ("theirs", 2, ())
    assert "no entropy" in result.notes[-1]
    run = report_of(root, store, layout, "theirs").runs[0]
    confusion = np.zeros((3, 3), int)
    for target in targets(root).values():
        guess = target.copy()
        guess[:3] = 0
        known = target != 255
        np.add.at(confusion, (target[known], guess[known].clip(0, 2)), 1)
    assert np.array_equal(run.confusion[:, :3], confusion)
    assert run.uncertainty is None
    assert store.mious("theirs").keys() == {"images/a.png", "images/b.png"}
    assert not layout.layer("theirs", "entropy", "images/a.png").exists()


def test_ids_and_colours_mean_the_same(project: Any) -> None:
    root, store, layout = project
    space = open_dataset(root / "set").label_space
    assert space is not None
    for name, target in targets(root).items():
        full = np.where(target == 255, 0, target)
        stem = Path(name).stem
        save(root / f"indices/{stem}.png", full)
        save(root / f"ids/{stem}.png", (full + 1) * 10)
        save(root / f"colors/{stem}.png", np.array(space.colors, np.uint8)[full])
    found = {}
    for values in ("indices", "ids", "colors"):
        run = bring(project, values, values=values).run
        found[values] = report_of(root, store, layout, run).runs[0].confusion.tolist()
        assert np.trace(np.array(found[values])[:, :3]) == np.sum(found[values])
    assert found["indices"] == found["ids"] == found["colors"]
    failed = bring(project, "ids", name="mistaken").failed
    assert len(failed) == 2 and "values=ids" in failed[0][1]


def test_other_sizes_and_missing_ones_are_named(project: Any) -> None:
    root, store, _ = project
    save(root / "mine/a.png", np.zeros((3, 3)))
    save(root / "mine/other.png", np.zeros(SHAPE))
    result = bring(project, "mine")
    assert result.done == 0 and "3 x 3" in result.failed[0][1]
    assert any("1 image of" in note and "without a prediction" in note for note in result.notes)
    assert any("1 file of" in note for note in result.notes)
    assert store.results("mine")["images/a.png"].error is not None
    with pytest.raises(NoDatasetError, match="named like"):
        bring(project, "empty")


@pytest.fixture(autouse=True)
def _empty(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()


@pytest.mark.parametrize("time", [1, 4e9])
def test_started_again_it_takes_what_is_new_or_changed(project: Any, time: float) -> None:
    """Whatever its time says: a copy from elsewhere may be older than what it replaces."""
    root, store, layout = project
    for name in ("a", "b"):
        save(root / f"mine/{name}.bmp", np.zeros(SHAPE))
        os.utime(root / f"mine/{name}.bmp", (9, 9))
    bring(project, "mine")
    before = {key: entry.finished for key, entry in store.results("mine").items()}
    save(root / "mine/b.bmp", np.ones(SHAPE))
    for name in ("a", "b"):
        os.utime(root / f"mine/{name}.bmp", (time, time))
    bring(project, "mine")
    after = {key: entry.finished for key, entry in store.results("mine").items()}
    assert before["images/a.png"] == after["images/a.png"]
    assert before["images/b.png"] < after["images/b.png"]
    assert len(store.runs()) == 1
    assert np.asarray(Image.open(layout.layer("mine", "labels", "images/b.png"))).all()


def test_stopped_it_keeps_what_is_done(project: Any) -> None:
    root, store, layout = project
    for name in ("a", "b"):
        save(root / f"mine/{name}.png", np.zeros(SHAPE))

    def stop(sample_id: str, run: str, miou: float | None) -> None:
        raise CancelledError("Stopped.")

    request = ImportRequest(open_dataset(root / "set"), root / "mine")
    with pytest.raises(CancelledError):
        import_run(request, store, layout, on_done=stop)
    assert store.finished_count("mine") == 1
    assert import_run(request, store, layout).done == 2


def test_scores_follow_changed_ground_truth(project: Any) -> None:
    root, store, layout = project
    for name in ("a", "b"):
        save(root / f"mine/{name}.png", np.zeros(SHAPE))
    bring(project, "mine")
    save(root / "set/masks/a.png", np.full(SHAPE, 10))
    save(root / "set/masks/b.png", np.full(SHAPE, 10))
    run = report_of(root, store, layout, "mine").runs[0]
    assert run.miou == 1.0 and run.uncertainty is None


def test_it_is_analysed_and_compared_like_any_run(project: Any) -> None:
    root, store, layout = project
    dataset = open_dataset(root / "set")
    for run, value in (("one", 0), ("two", 1)):
        for name in ("a", "b"):
            save(root / f"{run}/{name}.png", np.full(SHAPE, value))
        bring(project, run)
    errors = ErrorAnalysis(dataset, store, layout)
    entries = list(errors.analyse("one", errors.missing("one")))
    assert all(entry.problem is None for entry in entries)
    assert errors.regions("one").regions
    comparison, _ = Analysis(dataset, store, layout).compare("one", "two", pixels=True)
    assert comparison.agreement is not None


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a\0b", "x" * 200])
def test_a_runs_name_is_no_path(project: Any, name: str) -> None:
    save(project[0] / "mine/a.png", np.zeros(SHAPE))
    if name:
        with pytest.raises(UsageError, match="cannot be called"):
            bring(project, "mine", name=name)
    else:
        assert bring(project, "mine", name=name).run == "mine"


def test_names_of_runs_come_from_the_folder() -> None:
    assert default_run_name(Path("/x/my results (v2).json")) == "my results -v2-"
    assert default_run_name(Path("/")) == "imported"


# -- COCO results -------------------------------------------------------------------------------


@pytest.fixture
def coco_set(tmp_path: Path) -> Path:
    for number in (7, 12):
        save(tmp_path / f"set/val2017/{number:012}.png", np.zeros((*SHAPE, 3)))
    rectangle = [2, 2, 9, 2, 9, 9, 2, 9]
    document = {
        "images": [{"id": n, "file_name": f"{n:012}.png", "height": 12, "width": 16}
                   for n in (7, 12)],
        "annotations": [{"id": n, "image_id": n, "category_id": 3, "iscrowd": 0, "area": 49,
                         "bbox": [2, 2, 7, 7], "segmentation": [rectangle]} for n in (7, 12)],
        "categories": [{"id": 3, "name": "dog"}, {"id": 9, "name": "cat"}],
    }  # fmt: skip
    (tmp_path / "set/annotations").mkdir()
    (tmp_path / "set/annotations/instances_val2017.json").write_text(json.dumps(document))
    return tmp_path


def runs_of(mask: np.ndarray) -> dict[str, Any]:
    found = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": found["size"], "counts": found["counts"].decode()}


def results_run(root: Path, entries: Any, **options: Any) -> tuple[Any, Store, ProjectLayout]:
    path = root / "results.json"
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    layout = ProjectLayout(root / "project")
    layout.root.mkdir(exist_ok=True)
    store = Store(layout.database)
    request = ImportRequest(open_dataset(root / "set"), path, **options)
    return import_run(request, store, layout), store, layout


def test_coco_results_are_painted_by_score(coco_set: Path) -> None:
    low, high = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    low[2:9, 2:9], high[4:6, 4:6] = True, True
    entries = [
        {"image_id": 7, "category_id": 9, "score": 0.9, "segmentation": runs_of(high)},
        {"image_id": 7, "category_id": 3, "score": 0.2, "segmentation": runs_of(low)},
        {"image_id": 99, "category_id": 3, "score": 0.2, "segmentation": runs_of(low)},
    ]
    result, store, layout = results_run(coco_set, entries)
    assert result.done == 1 and any("1 image of" in note for note in result.notes)
    space = store.run("results").label_space
    found = np.asarray(Image.open(layout.layer("results", "labels", "val2017/000000000007.png")))
    wanted = np.zeros(SHAPE, int)
    wanted[low], wanted[high] = space.find("dog").index, space.find("cat").index  # type: ignore[union-attr]
    assert np.array_equal(found, wanted) and space.find("background").index == 0  # type: ignore[union-attr]
    report = evaluate_runs(open_dataset(coco_set / "set"), store, layout, ["results"])
    assert len(report.runs[0].per_sample) == 1
    store.close()


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"segmentation": None}, "no segmentation"), ({"category_id": 5}, "category 5"),
     ({"segmentation": {"size": [12, 16], "counts": [10**15]}}, "run"),
     ({"segmentation": {"size": [99, 16], "counts": [192]}}, "size"),
     ({"segmentation": [[0, 0, float("nan"), 1, 2, 2]]}, "no number")],
)  # fmt: skip
def test_a_bad_instance_fails_its_image_alone(
    coco_set: Path, change: dict[str, Any], reason: str
) -> None:
    good = {"category_id": 3, "score": 1.0, "segmentation": runs_of(np.ones(SHAPE))}
    entries = [{**good, "image_id": 7, **change}, {**good, "image_id": 12}]
    result, store, _ = results_run(coco_set, entries)
    assert result.done == 1 and reason in result.failed[0][1]
    store.close()


@pytest.mark.parametrize(
    ("text", "reason"),
    [("[{", "line 1, column 3"), ("{}", "no COCO results"), ('[{"id": 1}]', "no image_id"),
     ("[5]", "no image_id"), ('[{"image_id": true}]', "no image_id")],
)  # fmt: skip
def test_files_that_are_no_results_are_refused(coco_set: Path, text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        results_run(coco_set, text)


def test_results_find_images_by_the_number_in_their_names(tmp_path: Path) -> None:
    save(tmp_path / "set/COCO_val2014_000000000042.png", np.zeros((*SHAPE, 3)))
    entry = {"image_id": 42, "category_id": 1, "segmentation": runs_of(np.ones(SHAPE))}
    result, store, layout = results_run(tmp_path, [entry], label_space=load_label_space("coco"))
    assert result.done == 1
    path = layout.layer("results", "labels", "COCO_val2014_000000000042.png")
    assert not np.asarray(Image.open(path)).any()  # person
    store.close()


def test_an_archive_of_predictions_is_refused(project: Any) -> None:
    root, _, _ = project
    (root / "mine.zip").write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(UsageError, match=r"mine\.zip is neither a folder .* nor a COCO results"):
        bring(project, "mine.zip", name="mine")
