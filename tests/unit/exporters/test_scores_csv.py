"""Tables of scores against the report that everything else shows."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segstudio.core.errors import SizeMismatchError, UsageError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.metrics.counts import count_sample
from segstudio.metrics.report import build_report

SPACE = load_label_space("camvid")


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def close(text: str, number: float) -> bool:
    return (text == "" and np.isnan(number)) or float(text) == pytest.approx(number, abs=1e-15)


@pytest.fixture
def pairs(make_map: Callable) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    pairs = {f"a/{n}.png": (make_map(n, 11), make_map(n + 30, 7)) for n in range(4)}
    pairs["a/0.png"][1][:] = pairs["a/0.png"][0]
    pairs["a/0.png"][1][0, :9] = 255
    return pairs


@pytest.fixture
def items(pairs: dict[str, Any], make_item: Callable) -> list[Any]:
    return [
        make_item(name, prediction, split="test", read_target=lambda t=target: t)
        for name, (target, prediction) in pairs.items()
    ]


def test_they_are_the_reports_numbers(
    pairs: dict[str, Any], items: list[Any], run_export: Callable
) -> None:
    out = run_export("scores-csv", items, SPACE)
    assert out.places() == ["classes.csv", "samples.csv", "scores.csv", "scores.json"]
    counts = [(name, count_sample(t, p, len(SPACE))) for name, (t, p) in pairs.items()]
    (run,) = build_report(SPACE, [("run", "model", counts)], uncertainty=False).runs
    for row, expected in zip(table(out.folder / "classes.csv"), run.classes, strict=True):
        assert row["class"] == expected.name and int(row["class_index"]) == expected.index
        for key in ("iou", "accuracy", "precision", "dice"):
            assert close(row[key], getattr(expected, key)), (row, key)
        assert int(row["target_pixels"]) == expected.target_pixels
        assert int(row["predicted_pixels"]) == expected.predicted_pixels
    samples = table(out.folder / "samples.csv")
    for row, expected in zip(samples, run.per_sample, strict=True):
        assert row["sample_id"] == expected.sample_id and row["split"] == "test"
        assert close(row["miou"], expected.miou)
        assert close(row["pixel_accuracy"], expected.pixel_accuracy)
        assert int(row["labelled_pixels"]) == (pairs[row["sample_id"]][0] != 255).sum()
    rows = iter(table(out.folder / "scores.csv"))
    for expected in run.per_sample:
        for name, number in expected.classes:
            row = next(rows)
            assert (row["sample_id"], row["class"]) == (expected.sample_id, name)
            assert close(row["iou"], number)
    assert next(rows, None) is None
    document = json.loads((out.folder / "scores.json").read_text(encoding="utf-8"))
    assert document["pooled"]["miou"] == pytest.approx(run.miou, abs=1e-15)
    assert document["pooled"]["fw_iou"] == pytest.approx(run.fw_iou, abs=1e-15)
    assert document["pooled"]["dice"] == pytest.approx(run.dice, abs=1e-15)
    assert [entry["miou"] for entry in document["per_sample"]] == [
        pytest.approx(entry.miou) for entry in run.per_sample
    ]
    assert document["per_sample"][0]["classes"] == {
        name: pytest.approx(number) for name, number in run.per_sample[0].classes
    }
    assert out.notes == []


def test_without_ground_truth_pixels_are_counted(
    items: list[Any], make_item: Callable, run_export: Callable
) -> None:
    lone = make_item("z.png", np.array([[0, 0, 255], [3, 0, 255]], np.uint8))
    out = run_export("scores-csv", [lone], SPACE)
    assert out.notes == ["Without ground truth only predicted pixels are listed (1 sample)."]
    rows = table(out.folder / "scores.csv")
    assert [(row["class"], row["predicted_pixels"]) for row in rows] == [
        ("Sky", "3"),
        ("Road", "1"),
    ]
    assert all(row[key] == "" for row in rows for key in ("iou", "target_pixels", "dice"))
    assert json.loads((out.folder / "scores.json").read_text())["pooled"]["miou"] is None
    both = run_export("scores-csv", [*items, lone], SPACE, existing="replace")
    alone = run_export("scores-csv", items, SPACE, to=out.folder.parent / "alone")
    assert table(both.folder / "classes.csv") == table(alone.folder / "classes.csv")


def test_maps_of_other_sizes_and_values_fail_by_name(
    make_item: Callable, run_export: Callable
) -> None:
    small = np.zeros((3, 4), np.uint8)
    bad = make_item("bad.png", small, read_target=lambda: np.zeros((4, 4), np.uint8))
    with pytest.raises(SizeMismatchError, match=r"bad.png is 3 x 4 .* 4 x 4"):
        run_export("scores-csv", [bad], SPACE)


def test_16_bits(make_item: Callable, run_export: Callable) -> None:
    space = LabelSpace.from_json({"classes": [f"c{index}" for index in range(700)]})
    target = np.array([[0, 699, 65535], [7, 7, 7]], np.uint16)
    prediction = np.array([[0, 699, 3], [7, 8, 65535]], np.uint16)
    out = run_export(
        "scores-csv", [make_item("1.png", prediction, read_target=lambda: target)], space
    )
    found = {row["class"]: row["iou"] for row in table(out.folder / "scores.csv")}
    assert found.keys() == {"c0", "c699", "c7", "c8"}
    assert float(found["c7"]) == pytest.approx(1 / 3) and float(found["c8"]) == 0


def test_parquet_holds_the_rows_of_the_csv_tables(items: list[Any], run_export: Callable) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    out = run_export("scores-csv", items, SPACE, parquet=True)
    for name in ("scores", "samples", "classes"):
        found = parquet.read_table(out.folder / f"{name}.parquet")
        plain = table(out.folder / f"{name}.csv")
        assert found.column_names == list(plain[0]) and len(found) == len(plain)
        for row, text in zip(found.to_pylist(), plain, strict=True):
            assert {key: "" if v is None else str(v) for key, v in row.items()} == text


def test_pandas_reads_the_parquet_tables(items: list[Any], run_export: Callable) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    out = run_export("scores-csv", items, SPACE, parquet=True)
    found = pandas.read_parquet(out.folder / "scores.parquet")
    correct, target = found["correct_pixels"], found["target_pixels"]
    iou = correct / (target + found["predicted_pixels"] - correct)
    assert np.allclose(found["iou"], iou, rtol=0, atol=1e-15) and len(found) > 20
    assert set(found["sample_id"]) == {f"a/{n}.png" for n in range(4)}


def test_parquet_where_it_is_not(
    items: list[Any], run_export: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"install segstudio\[parquet\]"):
        run_export("scores-csv", items, SPACE, parquet=True)
    assert not list(tmp_path.rglob("*.csv"))
