"""``segstudio bench``: a row per model, what failed is named, results are kept for the window."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segstudio.core.errors import WriteError
from segstudio.session.costs import costs_path, known_costs

Command = Callable[..., Any]


@pytest.fixture
def _no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the process that measures memory; its own tests start it."""
    from segstudio.inference import costs

    monkeypatch.setattr(costs, "_cpu_peak", lambda *_: 123_000_000)


SMALL = ("--size", "32x48", "--runs", 1, "--device", "cpu")


@pytest.mark.usefixtures("_no_process")
def test_the_embedded_models_by_default(segstudio: Command) -> None:
    from segstudio.inference.catalogue import embedded_models

    done = segstudio("bench", "models", *SMALL, "--json")
    assert done.status == 0, done.err
    document = done.document()
    assert [entry["model"] for entry in document["models"]] == [
        entry.name for entry in embedded_models()
    ]
    assert document["failed"] == []
    assert [entry["parameters"] for entry in document["models"]] == [
        entry.parameters for entry in embedded_models()
    ]
    (enet,) = (entry for entry in document["models"] if entry["architecture"] == "enet")
    assert {entry["architecture"]: entry["backbone"] for entry in document["models"]}[
        "segformer"
    ] == "mit-b0"
    assert enet["backbone"] == "" and document["dataset"] is None
    assert enet["output_stride"] == 8 and enet["size"] == [32, 48]
    assert enet["peak_memory"] == 123_000_000


@pytest.mark.usefixtures("_no_process")
def test_the_table_and_its_conventions(segstudio: Command, tiny_model: Path) -> None:
    done = segstudio("bench", "-m", tiny_model, *SMALL)
    assert done.status == 0 and done.err == f"segstudio: Measuring {tiny_model} ...\n"
    header, rule, row, *_ = done.out.splitlines()
    for name in (
        "backbone",
        "params (M)",
        "params (MB)",
        "GFLOPs",
        "stride",
        "images/s",
        "peak (MB)",
    ):
        assert name in header
    assert "mIoU" not in header and set(rule) == {"-"}
    cells = row.split()
    assert cells[:2] == [str(tiny_model), "enet"] and "0.36" in cells and cells[-1] == "123"
    assert "An image of 32 x 48 on cpu at fp32." in done.out
    assert "a multiply-add counts as two" in done.out
    assert "peak: growth of a fresh process's resident memory" in done.out


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a process holds")
def test_memory_is_measured_and_all_is_kept_for_the_window(
    segstudio: Command, tiny_model: Path
) -> None:
    assert known_costs(tiny_model) is None
    done = segstudio("bench", "-m", tiny_model, *SMALL, "--json")
    (entry,) = done.document()["models"]
    assert entry["peak_memory"] > entry["parameter_bytes"]
    kept = known_costs(tiny_model, device="cpu")
    assert kept is not None and kept.pop("measured")
    assert kept == {key: value for key, value in entry.items() if key != "model"}


@pytest.mark.usefixtures("_no_process")
def test_scores_join_the_table(segstudio: Command, tiny_model: Path, dataset_folder: Path) -> None:
    scored = segstudio("evaluate", dataset_folder, "-m", tiny_model, "--device", "cpu", "--json")
    wanted = scored.document()["runs"][0]["pooled"]["miou"]
    arguments = ("bench", "-m", tiny_model, *SMALL, "--dataset", dataset_folder)
    (entry,) = segstudio(*arguments, "--json").document()["models"]
    assert entry["miou"] == pytest.approx(wanted, abs=1e-12)
    table = segstudio(*arguments).out
    assert "mIoU %" in table and f"{100 * wanted:.2f}" in table
    assert len(list((dataset_folder / ".segstudio" / "runs").iterdir())) == 1  # made once


@pytest.mark.usefixtures("_no_process")
def test_a_dataset_by_name_on_the_split_that_judges_as_markdown(
    segstudio: Command, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2
    import numpy as np

    root = tmp_path / "places" / "Streets"
    for index, split in enumerate(("train", "val", "val")):
        for folder in (split, f"{split}annot"):
            (root / folder).mkdir(parents=True, exist_ok=True)
            pixels = np.full((32, 48, *((3,) if folder == split else ())), index, np.uint8)
            cv2.imwrite(str(root / folder / f"{index}.png"), pixels)
    monkeypatch.setenv("SEGSTUDIO_DATASETS", str(root.parent))
    arguments = ("bench", "-m", tiny_model, *SMALL, "--dataset", "streets")
    table = segstudio(*arguments, "--markdown")
    assert table.status == 0, table.err
    header, rule, row, *rest = table.out.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (header, rule, row)]
    assert cells[0][:3] == ["model", "architecture", "backbone"] and cells[0][-1] == "mIoU %"
    assert set(cells[1]) == {":--", "--:"} and len({len(line) for line in cells}) == 1
    named = dict(zip(cells[0], cells[2], strict=True))
    assert named["stride"] == "8" and named["backbone"] == "-"
    assert f"mIoU: pooled, on 2 images of {root}, split val." in rest
    document = segstudio(*arguments, "--split", "all", "--json").document()
    assert document["dataset"] == {"root": str(root), "splits": ["train", "val"]}
    assert named["mIoU %"] != "-" and document["models"][0]["miou"] is not None
    complaint = segstudio("bench", *SMALL, "--dataset", "strets").complaint()
    assert "no known data set of that name (known are streets)" in complaint


def test_encoders_are_named() -> None:
    from segstudio.architectures._base import ARCHITECTURES
    from segstudio.core.options import build_options
    from segstudio.inference.costs import _backbone

    for name, wanted in (
        ("linknet", "resnet18"),
        ("segmenter", "vit-tiny/16"),
        ("image-pyramid", "enet"),
        ("segnet", "vgg16"),
        ("unet", ""),
    ):
        page = ARCHITECTURES.get(name)
        assert _backbone(page(3, build_options(page.Options, page.smallest))) == wanted


@pytest.mark.usefixtures("_no_process")
def test_a_model_that_fails_is_named_and_the_rest_is_done(
    segstudio: Command, tiny_model: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"\x00" * 100)
    done = segstudio("bench", "-m", broken, "-m", tiny_model, *SMALL, "--json")
    assert done.status == 1
    document = done.document()
    assert [entry["model"] for entry in document["models"]] == [str(tiny_model)]
    (failed,) = document["failed"]
    assert failed["model"] == str(broken) and "is not a checkpoint" in failed["error"]
    assert failed["error"] in done.err
    assert segstudio("bench", "-m", broken, *SMALL).out == ""


@pytest.mark.usefixtures("_no_process")
def test_a_result_that_cannot_be_kept_is_shown_all_the_same(
    segstudio: Command, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segstudio.session import costs

    def refuse(*_: Any) -> None:
        raise WriteError(f"Cannot write {costs_path()}: the disk is full.")

    monkeypatch.setattr(costs, "remember_costs", refuse)
    done = segstudio("bench", "-m", tiny_model, *SMALL)
    assert done.status == 0 and "enet" in done.out
    assert "not kept for the window: Cannot write" in done.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["stroke"], "There is no bench 'stroke'"),
        (["--size", "512"], "A size is HEIGHTxWIDTH"),
        (["--size", "0x512"], "A size is HEIGHTxWIDTH"),
        (["--size", "8x99999"], "at most 16384 a side"),
        (["-m", "no-such-model"], "There is no model or file 'no-such-model'"),
        (["--runs", "0"], "--runs"),
        (["--split", "val"], "--split is for the samples of --dataset"),
        (["--dataset", "no-such-folder"], "no-such-folder"),
        (["--json", "--markdown"], "name one"),
    ],
)
def test_arguments_that_make_no_sense(
    segstudio: Command, arguments: list[str], reason: str
) -> None:
    assert reason in segstudio("bench", *arguments).complaint()


def test_an_unknown_device_or_precision(segstudio: Command, tiny_model: Path) -> None:
    for wish, reason in (
        (("--device", "abacus"), "no device 'abacus'"),
        (("--device", "cpu", "--precision", "fp8"), "not 'fp8'"),
    ):
        done = segstudio("bench", "-m", tiny_model, "--size", "32x32", *wish)
        assert done.status == 2 and reason in done.err.splitlines()[-1]


def test_the_engine_beside_the_plain_way(
    segstudio: Command, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segstudio.cli import bench_engine
    from segstudio.inference import engine_bench as rounds
    from segstudio.session import engine_bench

    monkeypatch.setattr(bench_engine, "_IMAGES", 3)
    monkeypatch.setattr(rounds, "_ROUNDS", 1)
    monkeypatch.setattr(engine_bench, "_IMAGE", (48, 64))
    done = segstudio("bench", "engine", "-m", tiny_model, "--size", "32x48", "--json")
    assert done.status == 0, done.err
    entries = done.document()["engine"]
    assert [entry["model"] for entry in entries] == [None, str(tiny_model), str(tiny_model)]
    for entry in entries:
        assert entry["seconds"] > 0 and entry["plain_seconds"] > 0
        assert entry["ratio"] == entry["plain_seconds"] / entry["seconds"]
    assert entries[1]["work"] == "the network at 32 x 48"
    # ENet unpools: it stays exact.
    assert [entry["how"] for entry in entries] == ["fused", "eager fp32", "eager fp32"]


def test_the_plain_way_gives_the_engines_labels(tiny_model: Path, tmp_path: Path) -> None:
    import cv2
    import numpy as np

    from segstudio.inference.model import load_model
    from segstudio.inference.plain import plain_run

    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    model = load_model(tiny_model, device="cpu", precision="fp32")
    plain_run(model, tmp_path / "a.png", tmp_path)
    found = cv2.imread(str(tmp_path / "a.labels.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(found, model.predict(image[..., ::-1]).label_map)
