"""``segstudio compare`` on two runs, from the counts, the label maps and through a mapping."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix

LAYERS = ("labels", "entropy", "confidence", "runner_up")


class Two(NamedTuple):
    """A dataset with the runs "tiny" and "other"; tests only read it."""

    dataset: Path
    document: Any


@pytest.fixture(scope="module")
def other_model(tiny_model, tmp_path_factory) -> Path:
    """The tiny model with other random weights."""
    import torch

    from segstudio.architectures.enet import ENet, ENetOptions
    from segstudio.checkpoints.native import NativeCheckpoint, save_native, state_dict_of
    from segstudio.core.label_space import load_label_space
    from segstudio.core.preprocessing import Preprocessing

    torch.manual_seed(2)
    path = tmp_path_factory.mktemp("other") / "other.safetensors"
    weights = state_dict_of(ENet(11, ENetOptions()))
    space = load_label_space("camvid")
    save_native(path, NativeCheckpoint("enet", {}, space, Preprocessing(), weights))
    return path


@pytest.fixture(scope="module")
def two(segstudio, make_dataset, tiny_model, other_model, tmp_path_factory) -> Two:
    dataset = make_dataset(tmp_path_factory.mktemp("compared") / "data")
    assert segstudio("run", dataset, "-m", tiny_model, "-m", other_model).status == 0
    outcome = segstudio("compare", dataset, "tiny", "other", "--json")
    assert outcome.status == 0, outcome
    return Two(dataset, outcome.document())


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_the_numbers_equal_a_recount_of_the_files(two):
    runs = two.dataset / ".segstudio" / "runs"
    pooled = [np.zeros((11, 11), np.int64) for _ in range(2)]
    matrix = np.zeros((11, 11), np.int64)
    right = np.zeros(3, np.int64)
    for path in sorted((two.dataset / "masks").iterdir()):
        target = read(path)
        maps = [
            read(runs / run / "labels/images" / f"{path.name}.png") for run in ("tiny", "other")
        ]
        known = target != 255
        for total, prediction in zip(pooled, maps, strict=True):
            total += confusion_matrix(target[known], prediction[known], labels=range(11))
        matrix += confusion_matrix(maps[0].ravel(), maps[1].ravel(), labels=range(11))
        a, b = ((prediction == target) & known for prediction in maps)
        right += [(a & b).sum(), (a & ~b).sum(), (b & ~a).sum()]
    document = two.document
    assert document["samples"] == 6 and document["failed"] == []
    assert document["agreement"]["matrix"] == matrix.tolist()
    truth = document["agreement"]["truth"]
    names = ("both_right", "only_a_right", "only_b_right")
    assert [truth[name] for name in names] == right.tolist()
    for entry in document["delta"]["classes"]:
        for side, total in enumerate(pooled):
            index = entry["index"]
            union = total[index].sum() + total[:, index].sum() - total[index, index]
            wanted = total[index, index] / union if union else None
            assert entry["iou"][side] == (None if wanted is None else pytest.approx(wanted))


def test_comparing_a_run_with_itself_finds_nothing(two, segstudio):
    document = segstudio("compare", two.dataset, "tiny", "tiny", "--json").document()
    assert document["delta"]["miou"] == 0.0 and document["delta"]["miou_interval"] == [0.0, 0.0]
    assert document["a_wins"] == document["b_wins"] == []
    assert document["agreement"]["disagree"] == 0 and document["agreement"]["share"] == 1.0


def test_the_project_may_lie_elsewhere(two, segstudio, tmp_path):
    shutil.copytree(two.dataset / ".segstudio", tmp_path / "results")
    found = segstudio("compare", tmp_path / "results", "tiny", "other", "--json")
    # The stored counts tell where the ground truth is.
    assert found.document() == two.document and found.err == ""
    lost = segstudio(
        "compare", tmp_path / "results", "tiny", "other", "--json", "--dataset", tmp_path
    )
    assert lost.status == 2 and "segstudio: " in lost.err


def test_without_ground_truth_there_is_still_agreement(
    segstudio, make_dataset, tiny_model, tmp_path
):
    dataset = make_dataset(tmp_path / "data", 2)
    shutil.rmtree(dataset / "masks")
    assert segstudio("run", dataset, "-m", tiny_model).status == 0
    outcome = segstudio("compare", dataset, "tiny", "tiny", "--json")
    document = outcome.document()
    assert outcome.status == 0
    assert document["samples"] == 0 and document["delta"]["miou"] is None
    assert document["agreement"]["truth"] is None
    assert document["agreement"]["agree"] == document["agreement"]["pixels"] > 0
    assert "agree on 100.00 %" in segstudio("compare", dataset, "tiny", "tiny").out


def test_the_table_names_classes_and_winners(two, segstudio):
    text = segstudio("compare", two.dataset / ".segstudio", "tiny", "other").out
    for part in ("a = tiny", "b - a", "Bicyclist", "mean over classes", "b wins most", "only a is"):
        assert part in text


def test_a_damaged_label_map_fails_alone(two, segstudio, tmp_path):
    dataset = tmp_path / "data"
    shutil.copytree(two.dataset, dataset)
    broken = dataset / ".segstudio/runs/other/labels/images/02.png.png"
    broken.write_bytes(broken.read_bytes()[:60])
    outcome = segstudio("compare", dataset, "tiny", "other", "--json")
    assert outcome.status == 1 and "02.png failed" in outcome.err
    document = outcome.document()
    assert [entry["sample_id"] for entry in document["failed"]] == ["images/02.png"]
    # The ground truth has moved with the copy, so the counts were made again too.
    assert document["agreement"]["samples"] == 5 and document["samples"] == 5


def foreign_run(dataset: Path) -> None:
    """Turn the run "other" into one of Cityscapes, whose classes its maps now hold."""
    from segstudio.core.label_space import load_label_space, load_mapping
    from segstudio.project.store import Store

    town, camvid = load_label_space("cityscapes"), load_label_space("camvid")
    table = load_mapping("camvid-to-cityscapes").table(camvid, town)
    for path in (dataset / ".segstudio/runs/other/labels/images").iterdir():
        Image.fromarray(table[read(path)]).save(path)
    store = Store(dataset / ".segstudio/project.sqlite")
    with store._transaction() as connection:
        connection.execute(
            "UPDATE runs SET label_space = ? WHERE run = 'other'", (json.dumps(town.to_json()),)
        )
    store.close()


def test_runs_of_different_label_spaces_need_a_mapping(two, segstudio, tmp_path):
    dataset = tmp_path / "data"
    shutil.copytree(two.dataset, dataset)
    foreign_run(dataset)
    complaint = segstudio("compare", dataset, "tiny", "other").complaint()
    assert "tiny is in the label space camvid" in complaint and "--mapping" in complaint
    outcome = segstudio(
        "compare", dataset, "tiny", "other", "--mapping", "cityscapes-to-camvid", "--json"
    )
    assert outcome.status == 0, outcome
    document = outcome.document()
    assert document["label_space"] == "camvid" and document["samples"] == 6
    # There and back again: every class of CamVid comes back as itself.
    assert document["agreement"] == two.document["agreement"]
    assert document["delta"] == two.document["delta"]


def test_bad_arguments_are_a_sentence(two, segstudio, tmp_path):
    assert "no run 'tinny'" in segstudio("compare", two.dataset, "tinny", "other").complaint()
    assert "no project" in segstudio("compare", tmp_path, "a", "b").complaint()
    wrong = segstudio("compare", two.dataset, "tiny", "other", "--mapping", "nonsense")
    assert "no label mapping 'nonsense'" in wrong.complaint()
