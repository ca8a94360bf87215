"""Each command does what the contract says."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from segstudio.core.label_space import load_label_space

LAYERS = ("labels", "entropy", "confidence", "runner_up")
REPORT = {"label_space", "samples", "failed", "runs"}
RUN = {"run", "model", "pooled", "confusion", "per_sample"}
POOLED = {
    "miou",
    "pixel_accuracy",
    "mean_accuracy",
    "fw_iou",
    "dice",
    "miou_interval",
    "classes",
}
CLASS = {
    "index",
    "name",
    "iou",
    "accuracy",
    "precision",
    "dice",
    "target_pixels",
    "predicted_pixels",
}
UNCERTAINTY = {
    "ece",
    "auroc",
    "auprc",
    "fpr95",
    "ause",
    "edge_entropy_ratio",
    "confident_error_share",
}


class Evaluated(NamedTuple):
    """A dataset that was evaluated with --json; tests only read it."""

    dataset: Path
    outcome: Any
    document: Any

    @property
    def labels(self) -> Path:
        return self.dataset / ".segstudio" / "runs" / "tiny" / "labels" / "images"


@pytest.fixture(scope="module")
def evaluated(segstudio, make_dataset, tiny_model, tmp_path_factory) -> Evaluated:
    dataset = make_dataset(tmp_path_factory.mktemp("evaluated") / "data")
    outcome = segstudio("evaluate", dataset, "-m", tiny_model, "--json")
    return Evaluated(dataset, outcome, outcome.document())


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def confusion_of(pairs: list[tuple[Path, Path]]) -> np.ndarray:
    confusion = np.zeros((11, 11), np.int64)
    for target_path, prediction_path in pairs:
        target, prediction = read(target_path), read(prediction_path)
        known = target != 255
        np.add.at(confusion, (target[known], prediction[known]), 1)
    return confusion


# -- run --------------------------------------------------------------------------------------


def test_run_writes_every_layer_at_its_place(segstudio, dataset_folder, tiny_model):
    outcome = segstudio("run", dataset_folder, "-m", tiny_model)
    assert outcome.status == 0
    run = dataset_folder / ".segstudio" / "runs" / "tiny"
    wanted = {f"{layer}/images/{n:02}.png.png" for layer in LAYERS for n in range(6)}
    files = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert files == wanted
    for name in wanted:
        assert read(run / name).shape == (48, 64)
        assert read(run / name).dtype == np.uint8
    labels, second = (read(run / layer / "images/00.png.png") for layer in ("labels", "runner_up"))
    assert labels.max() < 11
    assert (labels != second).all()
    assert str(run) in outcome.out
    # Progress belongs to stderr, results to stdout.
    assert "run tiny: 6 images" in outcome.err
    assert "run tiny: 6 images" not in outcome.out


def test_limit_runs_the_first_samples_only(segstudio, dataset_folder, tiny_model, results):
    assert segstudio("run", dataset_folder, "-m", tiny_model, "--limit", 2).status == 0
    assert set(results(dataset_folder)) == {"images/00.png", "images/01.png"}


def test_a_second_run_predicts_only_what_is_left(segstudio, dataset_folder, tiny_model, results):
    segstudio("run", dataset_folder, "-m", tiny_model, "--limit", 2)
    before = results(dataset_folder)
    again = segstudio("run", dataset_folder, "-m", tiny_model)
    after = results(dataset_folder)
    assert again.status == 0
    assert "2 of them done before" in again.err
    assert len(after) == 6
    assert {key: after[key] for key in before} == before


def test_restart_predicts_all_again(segstudio, dataset_folder, tiny_model, results):
    segstudio("run", dataset_folder, "-m", tiny_model)
    before = results(dataset_folder)
    assert segstudio("run", dataset_folder, "-m", tiny_model, "--restart").status == 0
    after = results(dataset_folder)
    assert after.keys() == before.keys()
    assert all(after[key][1] > before[key][1] for key in before)


def test_project_option_keeps_results_out_of_the_dataset(
    segstudio, dataset_folder, tiny_model, tmp_path
):
    project = tmp_path / "elsewhere" / "project"
    outcome = segstudio("run", dataset_folder, "-m", tiny_model, "--project", project)
    assert outcome.status == 0
    assert not (dataset_folder / ".segstudio").exists()
    assert (project / "runs/tiny/labels/images/05.png.png").is_file()
    listed = segstudio("list", "runs", "--project", project, "--json").document()
    assert [(entry["name"], entry["done"]) for entry in listed] == [("tiny", 6)]


def test_two_models_make_two_runs(segstudio, dataset_folder, tiny_model):
    arguments = ("-m", tiny_model, "-m", "enet-camvid", "--limit", 2, "--json")
    document = segstudio("evaluate", dataset_folder, *arguments).document()
    assert [run["run"] for run in document["runs"]] == ["tiny", "enet-camvid"]
    first, second = (run["confusion"] for run in document["runs"])
    assert first != second


def test_saved_scores_are_what_the_argmax_was_taken_of(
    segstudio, dataset_folder, tiny_model, tmp_path
):
    folder = tmp_path / "scores"
    outcome = segstudio("run", dataset_folder, "-m", tiny_model, "--save-scores", folder)
    assert outcome.status == 0
    labels = dataset_folder / ".segstudio/runs/tiny/labels"
    for number in range(6):
        with np.load(folder / f"images/{number:02}.png.npz") as saved:
            scores = saved["scores"]
        assert scores.shape == (11, 48, 64)
        assert scores.dtype == np.float32
        label_map = read(labels / f"images/{number:02}.png.png")
        np.testing.assert_array_equal(scores.argmax(0), label_map)


# -- evaluate ---------------------------------------------------------------------------------


def test_evaluate_prints_the_documents_keys(evaluated):
    document = evaluated.document
    assert evaluated.outcome.status == 0
    assert document.keys() >= REPORT
    assert (document["label_space"], document["samples"], document["failed"]) == ("camvid", 6, [])
    (run,) = document["runs"]
    assert {*RUN, "uncertainty"} <= run.keys()
    assert run["pooled"].keys() >= POOLED
    assert run["uncertainty"].keys() >= UNCERTAINTY
    names = load_label_space("camvid").names
    assert [entry["name"] for entry in run["pooled"]["classes"]] == names
    assert [entry["index"] for entry in run["pooled"]["classes"]] == list(range(11))
    assert all(entry.keys() >= CLASS for entry in run["pooled"]["classes"])
    sample_ids = [entry["sample_id"] for entry in run["per_sample"]]
    assert sample_ids == [f"images/{number:02}.png" for number in range(6)]
    for entry in run["per_sample"]:
        assert {"sample_id", "miou", "pixel_accuracy", "classes"} <= entry.keys()
        assert set(entry["classes"]) <= set(names)


def test_confusion_has_targets_in_rows_and_every_labelled_pixel(evaluated):
    masks = evaluated.dataset / "masks"
    pairs = [
        (masks / f"{number:02}.png", evaluated.labels / f"{number:02}.png.png")
        for number in range(6)
    ]
    confusion = np.array(evaluated.document["runs"][0]["confusion"])
    np.testing.assert_array_equal(confusion, confusion_of(pairs))
    assert confusion.sum() == 6 * 44 * 64
    classes = evaluated.document["runs"][0]["pooled"]["classes"]
    assert [entry["target_pixels"] for entry in classes] == confusion.sum(1).tolist()
    assert [entry["predicted_pixels"] for entry in classes] == confusion.sum(0).tolist()
    # The masks and what a random network says must not be symmetric for this to mean anything.
    assert (confusion != confusion.T).any()


def test_pooled_numbers_follow_from_the_confusion(evaluated):
    (run,) = evaluated.document["runs"]
    confusion = np.array(run["confusion"])
    correct, target, predicted = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    union = target + predicted - correct
    there = union > 0
    pooled = run["pooled"]
    assert pooled["miou"] == pytest.approx((correct[there] / union[there]).mean(), abs=1e-12)
    assert pooled["pixel_accuracy"] == pytest.approx(correct.sum() / target.sum(), abs=1e-12)
    low, high = pooled["miou_interval"]
    assert low <= pooled["miou"] <= high
    for entry in pooled["classes"]:
        index = entry["index"]
        iou = correct[index] / union[index] if union[index] else None
        assert entry["iou"] == (iou if iou is None else pytest.approx(iou, abs=1e-12))


def test_numbers_that_do_not_exist_are_null(segstudio, evaluated, tiny_model):
    (run,) = evaluated.document["runs"]
    absent = run["pooled"]["classes"][9:]
    assert [entry["target_pixels"] for entry in absent] == [0, 0]
    assert [entry["accuracy"] for entry in absent] == [None, None]
    assert "NaN" not in evaluated.outcome.out
    arguments = ("-m", tiny_model, "--limit", 1, "--json")
    single = segstudio("evaluate", evaluated.dataset, *arguments).document()
    assert single["samples"] == 1
    assert single["runs"][0]["pooled"]["miou_interval"] == [None, None]


def test_evaluate_without_model_scores_the_runs_that_are_there(segstudio, evaluated):
    again = segstudio("evaluate", evaluated.dataset, "--json")
    assert again.status == 0
    assert again.document() == evaluated.document


def test_evaluate_without_model_needs_a_project(segstudio, dataset_folder):
    line = segstudio("evaluate", dataset_folder).complaint()
    assert str(dataset_folder / ".segstudio") in line
    assert not (dataset_folder / ".segstudio").exists()


def test_evaluate_prints_a_table_for_people(segstudio, evaluated):
    outcome = segstudio("evaluate", evaluated.dataset)
    pooled = evaluated.document["runs"][0]["pooled"]
    assert outcome.status == 0
    assert f"mIoU {100 * pooled['miou']:.2f} %" in outcome.out
    for name in load_label_space("camvid").names:
        assert name in outcome.out


def test_report_writes_json_and_tables(segstudio, evaluated, tmp_path):
    folder = tmp_path / "report"
    outcome = segstudio("evaluate", evaluated.dataset, "--report", folder, "--json")
    assert outcome.document() == evaluated.document
    assert json.loads((folder / "report.json").read_text()) == evaluated.document
    tables = {
        name: list(csv.DictReader(io.StringIO((folder / f"{name}.csv").read_text())))
        for name in ("classes", "samples", "confusion")
    }
    assert {name: len(rows) for name, rows in tables.items()} == {
        "classes": 11,
        "samples": 6,
        "confusion": 11,
    }
    (run,) = evaluated.document["runs"]
    names = load_label_space("camvid").names
    counts = [[int(row[name]) for name in names] for row in tables["confusion"]]
    assert counts == run["confusion"]
    assert [float(row["miou"]) for row in tables["samples"]] == [
        entry["miou"] for entry in run["per_sample"]
    ]
    assert tables["classes"][10]["accuracy"] == ""


def test_ground_truth_from_another_folder(segstudio, evaluated, tmp_path):
    plain, masks = tmp_path / "plain", tmp_path / "truth"
    shutil.copytree(evaluated.dataset / "images", plain)
    shutil.copytree(evaluated.dataset / "masks", masks)
    labels = evaluated.dataset / "label_space.json"
    model = evaluated.document["runs"][0]["model"]
    arguments = ("-m", model, "--ground-truth", masks, "--label-space", labels, "--json")
    document = segstudio("evaluate", plain, *arguments).document()
    assert document["runs"][0]["confusion"] == evaluated.document["runs"][0]["confusion"]


def test_changed_ground_truth_is_counted_again(segstudio, dataset_folder, tiny_model, results):
    arguments = ("evaluate", dataset_folder, "-m", tiny_model, "--json")
    before = np.array(segstudio(*arguments).document()["runs"][0]["confusion"])
    predicted = results(dataset_folder)
    mask = dataset_folder / "masks" / "00.png"
    Image.fromarray(np.full((48, 64), 3, np.uint8)).save(mask)
    after = np.array(segstudio(*arguments).document()["runs"][0]["confusion"])
    assert after.sum() - before.sum() == 4 * 64  # the ignored rows have a class now
    assert after[3].sum() > before[3].sum()
    assert results(dataset_folder) == predicted


# -- refusals ---------------------------------------------------------------------------------


def test_evaluate_refuses_a_folder_without_ground_truth(segstudio, dataset_folder, tiny_model):
    line = segstudio("evaluate", dataset_folder / "images", "-m", tiny_model).complaint()
    assert str(dataset_folder / "images") in line
    assert "--ground-truth" in line


def test_images_whose_ground_truth_knows_other_classes_can_be_run(
    segstudio, dataset_folder, tiny_model, tmp_path
):
    """The classic case: a network of streets shown something else."""
    arguments = (dataset_folder, "-m", tiny_model, "--label-space", "voc", "--project")
    outcome = segstudio("run", *arguments, tmp_path)
    assert outcome.status == 0
    assert "is in the label space voc, the model's is camvid; name a mapping" in outcome.err
    assert "nothing is scored" in outcome.err
    assert len(list((tmp_path / "runs").rglob("labels/**/*.png"))) == 6
    # A score that is asked for is not left out, and nothing is run in vain.
    other = tmp_path / "other"
    refused = segstudio("evaluate", *arguments, other)
    assert refused.status == 2 and "name a mapping between them" in refused.err
    assert not list(other.rglob("*.png"))


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["-m", "enet-camvit"], "did you mean enet-camvid"),
        (["-m", "enet-camvid", "--split", "tset"], "has no split 'tset'; it has none"),
        (["-m", "enet-camvid", "--format", "pared"], "did you mean paired"),
        (["-m", "enet-camvid", "--label-space", "camvit"], "did you mean camvid or "),
        (["-m", "enet-camvid", "--mapping", "coco-to-camvit"], "did you mean coco-to-camvid"),
        (["-m", "enet-camvid", "--precision", "fp23"], "fp32"),
        (["-m", "enet-camvid", "--engine", "cloud"], "local or ray"),
        (["-m", "enet-camvid", "--limit", "0"], "at least 1"),
        (["-m", "enet-camvid", "--limit", "three"], "--limit"),
        (["-m", "enet-camvid", "--limt", "3"], "--limit"),
        ([], "with -m"),
    ],
)
def test_run_refuses_arguments_and_says_what_would_do(
    segstudio, dataset_folder, arguments, suggestion
):
    assert suggestion in segstudio("run", dataset_folder, *arguments).complaint()
    assert not (dataset_folder / ".segstudio" / "project.sqlite").exists()


def test_a_split_that_is_missing_names_those_there_are(segstudio, dataset_folder):
    for folder in ("images", "masks"):
        inside = dataset_folder / folder / "val"
        inside.mkdir()
        (dataset_folder / folder / "00.png").rename(inside / "00.png")
        for path in (dataset_folder / folder).glob("*.png"):
            (dataset_folder / folder / "train").mkdir(exist_ok=True)
            path.rename(path.parent / "train" / path.name)
    line = segstudio("run", dataset_folder, "-m", "enet-camvid", "--split", "test").complaint()
    assert "it has train, val" in line


def test_an_unknown_command_names_the_nearest(segstudio):
    assert "evaluate" in segstudio("evaluat", "somewhere").complaint()


# -- score ------------------------------------------------------------------------------------


def test_score_equals_evaluate_on_the_runs_label_maps(segstudio, evaluated):
    arguments = (evaluated.labels, evaluated.dataset / "masks", "--label-space", "camvid", "--json")
    outcome = segstudio("score", *arguments)
    assert outcome.status == 0
    document = outcome.document()
    assert document.keys() >= REPORT
    (run,), (wanted,) = document["runs"], evaluated.document["runs"]
    assert run.keys() >= RUN
    assert "uncertainty" not in run
    assert document["samples"] == 6
    assert run["confusion"] == wanted["confusion"]
    assert run["pooled"] == wanted["pooled"]
    assert [entry["miou"] for entry in run["per_sample"]] == [
        entry["miou"] for entry in wanted["per_sample"]
    ]


@pytest.fixture
def label_folders(tmp_path: Path) -> tuple[Path, Path]:
    """Four pairs of label maps; the targets hold classes 0 and 1, predictions only 0."""
    folders = tmp_path / "predicted", tmp_path / "wanted"
    for folder, value in zip(folders, (0, 1), strict=True):
        folder.mkdir()
        for number in range(4):
            label_map = np.zeros((10, 20), np.uint8)
            label_map[:, 10:] = value
            label_map[0] = 255 if value else 0
            Image.fromarray(label_map).save(folder / f"{number}.png")
    return folders


def test_score_by_hand(segstudio, label_folders):
    document = segstudio("score", *label_folders, "--label-space", "camvid", "--json").document()
    (run,) = document["runs"]
    confusion = np.zeros((11, 11), int)
    confusion[0, 0] = confusion[1, 0] = 4 * 9 * 10
    assert run["confusion"] == confusion.tolist()
    assert run["pooled"]["miou"] == 0.25  # (1/2 + 0) / 2
    assert run["pooled"]["pixel_accuracy"] == 0.5
    sky, building, pole = run["pooled"]["classes"][:3]
    assert (sky["iou"], building["iou"], pole["iou"]) == (0.5, 0.0, None)
    assert (sky["precision"], building["precision"]) == (0.5, None)
    assert run["per_sample"][0]["classes"] == {"Sky": 0.5, "Building": 0.0}


def test_score_names_what_fails_and_scores_the_rest(segstudio, label_folders):
    predicted, wanted = label_folders
    (predicted / "0.png").rename(predicted / "zero.png")
    Image.fromarray(np.zeros((9, 20), np.uint8)).save(predicted / "1.png")
    Image.fromarray(np.full((10, 20), 77, np.uint8)).save(predicted / "2.png")
    outcome = segstudio("score", *label_folders, "--label-space", "camvid", "--json")
    assert outcome.status == 1
    document = outcome.document()
    assert document["samples"] == 1
    assert np.sum(document["runs"][0]["confusion"]) == 9 * 20
    reasons = {entry["sample_id"]: entry["error"] for entry in document["failed"]}
    assert reasons.keys() == {"0", "1", "2"}
    assert str(wanted / "0.png") in reasons["0"]
    assert "9 x 20" in reasons["1"] and "10 x 20" in reasons["1"]
    assert "77" in reasons["2"] and str(predicted / "2.png") in reasons["2"]
    assert len(outcome.err.splitlines()) == 3
    assert all(outcome.err.count(reason) == 1 for reason in reasons.values())


def test_score_never_guesses_between_two_predictions(segstudio, label_folders):
    predicted, _ = label_folders
    for folder in ("a", "b"):
        (predicted / folder).mkdir()
        shutil.copy(predicted / "0.png", predicted / folder / "0.png")
    (predicted / "0.png").unlink()
    outcome = segstudio("score", *label_folders, "--label-space", "camvid", "--json")
    assert outcome.status == 1
    (failed,) = outcome.document()["failed"]
    assert failed["sample_id"] == "0"
    assert str(predicted / "a" / "0.png") in failed["error"]
    assert str(predicted / "b" / "0.png") in failed["error"]
    assert outcome.document()["samples"] == 3


def test_score_refuses_folders_without_a_common_name(segstudio, label_folders):
    predicted, wanted = label_folders
    for path in list(predicted.iterdir()):
        path.rename(predicted / f"other{path.name}")
    line = segstudio("score", predicted, wanted, "--label-space", "camvid").complaint()
    assert str(predicted) in line and str(wanted) in line


def test_score_refuses_a_missing_folder_and_a_missing_label_space(segstudio, label_folders):
    predicted, wanted = label_folders
    missing = predicted / "nothing"
    line = segstudio("score", missing, wanted, "--label-space", "camvid").complaint()
    assert str(missing) in line
    line = segstudio("score", predicted, wanted, "--label-space", "cityscape").complaint()
    assert "did you mean cityscapes or " in line
    assert "--label-space" in segstudio("score", predicted, wanted).complaint()


def test_score_with_a_mapping(segstudio, label_folders):
    predicted, wanted = label_folders
    cityscapes, camvid = load_label_space("cityscapes"), load_label_space("camvid")
    sky = cityscapes.find("sky")
    assert sky is not None
    for path in predicted.iterdir():
        Image.fromarray(np.full((10, 20), sky.index, np.uint8)).save(path)
    arguments = ("--label-space", "camvid", "--mapping", "cityscapes-to-camvid", "--json")
    document = segstudio("score", predicted, wanted, *arguments).document()
    assert document["label_space"] == "camvid"
    assert document["runs"][0]["pooled"]["classes"][0]["name"] == camvid.names[0]
    assert document["runs"][0]["pooled"]["classes"][0]["accuracy"] == 1.0


# -- list, inspect, doctor --------------------------------------------------------------------


def _registry_names(kind: str) -> list[str]:
    from segstudio.api import ARCHITECTURES, EXPORTERS, FORMATS, TOOLS

    registries = {
        "architectures": ARCHITECTURES,
        "exporters": EXPORTERS,
        "formats": FORMATS,
        "tools": TOOLS,
    }
    return [name for name, _ in registries[kind].items()]


@pytest.mark.parametrize(
    ("kind", "some"),
    [
        ("architectures", {"enet", "unet", "segformer"}),
        ("formats", {"folder", "paired", "camvid"}),
        ("exporters", {"index-png", "color-png"}),
        ("tools", {"brush", "eraser"}),
    ],
)
def test_list_names_what_the_registry_holds(segstudio, kind, some):
    listed = segstudio("list", kind, "--json").document()
    assert sorted(entry["name"] for entry in listed) == sorted(_registry_names(kind))
    assert some <= {entry["name"] for entry in listed}
    assert all(entry["description"] for entry in listed)
    table = segstudio("list", kind)
    assert table.status == 0
    assert all(entry["name"] in table.out for entry in listed)


def test_list_label_spaces_and_mappings(segstudio):
    spaces = segstudio("list", "label-spaces", "--json").document()
    assert {(entry["name"], entry["classes"]) for entry in spaces} >= {
        ("ade20k", 150),
        ("camvid", 11),
        ("cityscapes", 19),
        ("coco", 80),
        ("voc", 21),
    }
    mappings = segstudio("list", "mappings", "--json").document()
    assert {"coco-to-ade20k", "coco-to-camvid", "cityscapes-to-camvid"} <= {
        entry["name"] for entry in mappings
    }
    for entry in mappings:
        assert entry["name"] == f"{entry['source']}-to-{entry['target']}"
        assert entry["description"]


def test_list_models_has_the_contracts_keys(segstudio):
    listed = segstudio("list", "models", "--json").document()
    (enet,) = (entry for entry in listed if entry["name"] == "enet-camvid")
    assert {
        "name",
        "architecture",
        "label_space",
        "embedded",
        "on_disk",
        "url",
        "published_miou",
        "measured_miou",
        "parameters",
    } <= enet.keys()
    assert (enet["architecture"], enet["label_space"]) == ("enet", "camvid")
    assert enet["embedded"] is True
    assert enet["on_disk"] is True
    assert 0 < enet["measured_miou"] < 1


def test_list_without_kind_holds_every_kind(segstudio):
    document = segstudio("list", "--json").document()
    kinds = ["models", "architectures", "formats", "exporters", "refiners", "tools"]
    kinds += ["label-spaces", "mappings", "plugins"]
    assert list(document) == kinds
    for kind in kinds:
        assert segstudio("list", kind, "--json").document() == document[kind]


def test_list_runs(segstudio, evaluated):
    (entry,) = segstudio("list", "runs", evaluated.dataset, "--json").document()
    assert (entry["name"], entry["done"], entry["failed"]) == ("tiny", 6, 0)
    assert entry["label_space"] == "camvid"


def test_list_refuses_an_unknown_kind(segstudio):
    assert "did you mean formats?" in segstudio("list", "format").complaint()


def test_inspect_says_what_a_checkpoint_is(segstudio, tiny_model):
    facts = segstudio("inspect", tiny_model, "--json").document()
    assert {
        "source",
        "architecture",
        "variant",
        "classes",
        "label_space",
        "preprocessing",
        "test",
        "missing",
        "unexpected",
    } <= facts.keys()
    told = [facts[key] for key in ("source", "architecture", "classes", "label_space")]
    assert told == ["segstudio", "enet", 11, "camvid"]
    assert (facts["missing"], facts["unexpected"]) == ([], [])
    assert len(facts["preprocessing"]["mean"]) == 3
    assert "enet" in segstudio("inspect", tiny_model).out


def test_inspect_knows_embedded_models_by_name(segstudio):
    facts = segstudio("inspect", "enet-camvid", "--json").document()
    assert (facts["architecture"], facts["classes"], facts["missing"]) == ("enet", 11, [])


def test_doctor_prints_what_a_bug_report_needs(segstudio):
    outcome = segstudio("doctor", "--json")
    facts = outcome.document()
    assert outcome.status == 0
    assert {"segstudio", "python", "versions", "devices", "paths"} <= facts.keys()
    assert facts["versions"]["torch"]
    assert "cpu" in facts["devices"]
    assert facts["problems"] == []
    assert facts["segstudio"] in segstudio("doctor").out


# -- export -----------------------------------------------------------------------------------


@pytest.mark.parametrize("exporter", ["index-png", "color-png"])
@pytest.mark.parametrize("what", ["prediction:tiny", "ground-truth"])
def test_export_is_read_back_pixel_for_pixel(segstudio, evaluated, tmp_path, exporter, what):
    output = tmp_path / "exported"
    arguments = ("--format", exporter, "-o", output, "--what", what)
    outcome = segstudio("export", evaluated.dataset, *arguments)
    assert outcome.status == 0, outcome.err
    written = sorted(output.rglob("*.png"))
    assert len(written) == 6
    for number, path in enumerate(written):
        if what == "ground-truth":
            wanted = read(evaluated.dataset / "masks" / f"{number:02}.png")
        else:
            wanted = read(evaluated.labels / f"{number:02}.png.png")
        with Image.open(path) as picture:
            assert picture.mode == ("P" if exporter == "color-png" else "L")
            found = np.asarray(picture)
            if exporter == "color-png":
                colors = np.array(load_label_space("camvid").colors)
                known = found != 255
                shown = np.asarray(picture.convert("RGB"))[known]
                np.testing.assert_array_equal(shown, colors[found[known]])
        np.testing.assert_array_equal(found, wanted)


def test_export_refuses_to_overwrite_unless_told(segstudio, evaluated, tmp_path):
    output = tmp_path / "exported"
    arguments = ["export", evaluated.dataset, "--format", "index-png", "-o", output]
    arguments += ["--what", "ground-truth"]
    assert segstudio(*arguments).status == 0
    first = sorted(output.rglob("*.png"))[0]
    first.write_bytes(b"mine")
    assert str(output) in segstudio(*arguments).complaint()
    assert first.read_bytes() == b"mine"
    assert segstudio(*arguments, "--existing", "replace").status == 0
    assert read(first).shape == (48, 64)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--format", "index-pgn"], "did you mean index-png"),
        (["--format", "index-png"], "no corrections to export"),
        (["--format", "index-png", "--what", "prediction:tinny"], "did you mean tiny?"),
        (["--format", "index-png", "--what", "everything"], "'everything'"),
    ],
)
def test_export_refuses_what_is_not_there(segstudio, evaluated, tmp_path, arguments, word):
    output = tmp_path / "exported"
    assert word in segstudio("export", evaluated.dataset, "-o", output, *arguments).complaint()
    assert not output.exists()
