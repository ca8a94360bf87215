"""Tables of scores: a row per sample and class, per sample, and per class; JSON; Parquet.

The same definitions as everywhere, `segstudio.metrics.scores`; a number that does not exist is
an empty cell, or null.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import SizeMismatchError, UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.core.options import option
from segstudio.core.types import LabelMap
from segstudio.exporters.base import EXPORTERS, ExportItem
from segstudio.exporters.documents import DocumentExporter, Records, text_document
from segstudio.metrics import scores
from segstudio.metrics.scores import ClassTotals

Row = dict[str, Any]

_SAMPLE_KEYS = ("sample_id", "split", "miou", "pixel_accuracy", "mean_accuracy", "labelled_pixels")
_CLASS_KEYS = (
    *("class_index", "class", "iou", "accuracy", "precision", "dice"),
    *("correct_pixels", "target_pixels", "predicted_pixels"),
)


@EXPORTERS.register("scores-csv")
class ScoresCsvExporter(DocumentExporter):
    """Scores of label maps against the ground truth, as tables."""

    description = (
        "Scores as CSV, JSON and Parquet: per sample and class, per sample, and per class."
    )

    @dataclass(frozen=True)
    class Options:
        """What else is written."""

        parquet: bool = option(
            False, "Also write each CSV table as Parquet; needs segstudio[parquet]."
        )

    def check(self, label_space: LabelSpace, options: Any) -> None:
        """Refuse Parquet where its library is missing."""
        if options.parquet and importlib.util.find_spec("pyarrow") is None:
            raise UsageError(
                "Parquet files need the package pyarrow; install segstudio[parquet], or export "
                "without parquet."
            )

    def record(
        self,
        item: ExportItem,
        name: str,
        label_map: LabelMap,
        label_space: LabelSpace,
        options: Any,
    ) -> Any:
        """Return whether there is ground truth, and [class, hits, target, predicted] by class."""
        target = None if item.read_target is None else item.read_target()
        if target is None:
            self.tally.add("Without ground truth only predicted pixels are listed", 1, "samples")
        totals = _totals(item, label_map, target, label_space)
        present = np.flatnonzero(totals[1] + totals[2])
        return [target is not None, [present.tolist(), *totals[:, present].tolist()]]

    def documents(
        self, label_space: LabelSpace, options: Any
    ) -> Mapping[str, Callable[[Records, BinaryIO], None]]:
        """Return the tables."""
        documents: dict[str, Callable[[Records, BinaryIO], None]] = {
            f"{name}.csv": text_document(partial(_csv, table, label_space))
            for name, table in _TABLES.items()
        }
        documents["scores.json"] = text_document(partial(_scores_json, label_space))
        if options.parquet:
            for name, table in _TABLES.items():
                documents[f"{name}.parquet"] = partial(_write_parquet, table, label_space)
        return documents


def _totals(
    item: ExportItem, label_map: LabelMap, target: LabelMap | None, label_space: LabelSpace
) -> NDArray[np.int64]:
    """Return correct, target and predicted pixels of each class, shape (3, C)."""
    if target is None:
        counted = label_map[label_map != label_space.ignore_index]
        predicted = np.bincount(counted, minlength=len(label_space))
        return np.stack([np.zeros_like(predicted), np.zeros_like(predicted), predicted])
    if target.shape != label_map.shape:
        raise SizeMismatchError(
            f"The label map of {item.sample.sample_id} is {label_map.shape[0]} x "
            f"{label_map.shape[1]} pixels (height x width), but its ground truth is "
            f"{target.shape[0]} x {target.shape[1]}."
        )
    label_space.check(target, f"The ground truth of {item.sample.sample_id}")
    labelled = target != label_space.ignore_index
    target, predicted_map = target[labelled], label_map[labelled]
    predicted_map = predicted_map[predicted_map != label_space.ignore_index]
    correct = target[target == label_map[labelled]]
    return np.stack(
        [
            np.bincount(values, minlength=len(label_space))
            for values in (correct, target, predicted_map)
        ]
    )


def _unpacked(record: Any) -> tuple[bool, NDArray[np.int64], ClassTotals]:
    """Return a record's parts: whether there is ground truth, class indices, their totals."""
    has_target, (present, hits, target, predicted) = record
    parts = (np.asarray(values, np.int64) for values in (hits, target, predicted))
    return bool(has_target), np.asarray(present, np.int64), ClassTotals(*parts)


def _number(value: Any) -> float | None:
    return None if math.isnan(value) else float(value)


def _class_rows(
    space: LabelSpace, indices: NDArray[np.int64], totals: ClassTotals, has_target: bool
) -> Iterator[Row]:
    """Yield the scores of some classes, each under the names of `_CLASS_KEYS`."""
    columns = [
        score(totals)
        for score in (scores.iou, scores.class_accuracy, scores.precision, scores.dice)
    ]
    for place, index in enumerate(indices.tolist()):
        numbers = [_number(column[place]) if has_target else None for column in columns]
        correct, target = int(totals.hits[place]), int(totals.target[place])
        counts = (correct, target) if has_target else (None, None)
        values = (
            *(index, space.classes[index].name),
            *numbers,
            *counts,
            int(totals.predicted[place]),
        )
        yield dict(zip(_CLASS_KEYS, values, strict=True))


def _sample_row(item: ExportItem, totals: ClassTotals, has_target: bool) -> Row:
    numbers: tuple[Any, ...] = (None, None, None, None)
    if has_target:
        found = (
            scores.mean_iou(totals),
            scores.pixel_accuracy(totals),
            scores.mean_accuracy(totals),
        )
        numbers = (*map(_number, found), int(totals.target.sum()))
    values = (item.sample.sample_id, item.sample.split, *numbers)
    return dict(zip(_SAMPLE_KEYS, values, strict=True))


def _long_rows(space: LabelSpace, records: Records) -> Iterator[Row]:
    for item, _, record in records:
        has_target, present, totals = _unpacked(record)
        for row in _class_rows(space, present, totals, has_target):
            yield {"sample_id": item.sample.sample_id, "split": item.sample.split, **row}


def _pooled(space: LabelSpace, records: Records) -> tuple[bool, ClassTotals]:
    """Return whether any sample has ground truth, and the sums over those that have, if any."""
    any_target = any(_unpacked(record)[0] for _, _, record in records)
    sums = np.zeros((3, len(space)), np.int64)
    for _, _, record in records:
        has_target, present, totals = _unpacked(record)
        if has_target == any_target:
            sums[:, present] += np.stack([totals.hits, totals.target, totals.predicted])
    return any_target, ClassTotals(*sums)


def _sample_rows(space: LabelSpace, records: Records) -> Iterator[Row]:
    for item, _, record in records:
        has_target, _, totals = _unpacked(record)
        yield _sample_row(item, totals, has_target)


def _pooled_rows(space: LabelSpace, records: Records) -> Iterator[Row]:
    any_target, totals = _pooled(space, records)
    return _class_rows(space, np.arange(len(space)), totals, any_target)


@dataclass(frozen=True)
class _Table:
    """The columns of a table, and what makes its rows."""

    keys: tuple[str, ...]
    rows: Callable[[LabelSpace, Records], Iterator[Row]]


_TABLES = {
    "scores": _Table(("sample_id", "split", *_CLASS_KEYS), _long_rows),
    "samples": _Table(_SAMPLE_KEYS, _sample_rows),
    "classes": _Table(_CLASS_KEYS, _pooled_rows),
}


def _csv(table: _Table, space: LabelSpace, records: Records) -> Iterator[str]:
    line = io.StringIO(newline="")
    writer = csv.DictWriter(line, table.keys, lineterminator="\n")
    writer.writeheader()
    for row in table.rows(space, records):
        yield line.getvalue()
        line.seek(0)
        line.truncate()
        writer.writerow(row)
    yield line.getvalue()


def _scores_json(space: LabelSpace, records: Records) -> Iterator[str]:
    """Yield the form of ``segstudio evaluate --json``'s runs, sample by sample."""
    any_target, totals = _pooled(space, records)
    classes = list(_class_rows(space, np.arange(len(space)), totals, any_target))
    pooled = {
        "miou": _number(scores.mean_iou(totals)) if any_target else None,
        "pixel_accuracy": _number(scores.pixel_accuracy(totals)) if any_target else None,
        "mean_accuracy": _number(scores.mean_accuracy(totals)) if any_target else None,
        "fw_iou": _number(scores.frequency_weighted_iou(totals)) if any_target else None,
        "dice": _number(scores.mean_defined(scores.dice(totals))) if any_target else None,
        "classes": classes,
    }
    yield f'{{"label_space":{json.dumps(space.name)},\n"pooled":{json.dumps(pooled)},\n'
    yield '"per_sample":['
    comma = "\n"
    for item, _, record in records:
        has_target, present, own = _unpacked(record)
        row = _sample_row(item, own, has_target)
        row["classes"] = {
            entry["class"]: entry["iou"] for entry in _class_rows(space, present, own, has_target)
        }
        yield comma + json.dumps(row, ensure_ascii=False)
        comma = ",\n"
    yield "]}\n"


def _write_parquet(table: _Table, space: LabelSpace, records: Records, stream: BinaryIO) -> None:
    """Write the rows of a table, a few thousand at a time."""
    import pyarrow
    import pyarrow.parquet

    texts, counts = {"sample_id", "split", "class"}, {"class_index"}
    fields = [
        (
            key,
            pyarrow.string()
            if key in texts
            else pyarrow.int64()
            if key in counts or key.endswith("_pixels")
            else pyarrow.float64(),
        )
        for key in table.keys
    ]
    schema = pyarrow.schema(fields)
    with pyarrow.parquet.ParquetWriter(stream, schema) as writer:
        rows: list[Row] = []
        for row in table.rows(space, records):
            rows.append(row)
            if len(rows) == 4096:
                writer.write_table(pyarrow.Table.from_pylist(rows, schema))
                rows.clear()
        writer.write_table(pyarrow.Table.from_pylist(rows, schema))
