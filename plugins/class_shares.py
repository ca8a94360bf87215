"""How much of each image every class covers, as one CSV table.

A row per sample, a column per class and one for ignored pixels; a row's shares sum to 1.  It opens
in any spreadsheet and answers "which images hold a cyclist, and how large".
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from segstudio.api import (
    EXPORTERS,
    Exporter,
    ExportItem,
    LabelSpace,
    SegStudioError,
    UsageError,
    option,
    replacing,
)

SEGSTUDIO_API = 1

FILE_NAME = "class_shares.csv"


@EXPORTERS.register("class-shares")
class ClassSharesExporter(Exporter):
    """One table for all samples."""

    description = "CSV table of each sample's share of pixels per class."

    @dataclass(frozen=True)
    class Options:
        """What the numbers are."""

        pixels: bool = option(False, "Write numbers of pixels instead of shares from 0 to 1.")

    def write(
        self,
        items: Sequence[ExportItem],
        destination: Path,
        *,
        label_space: LabelSpace,
        options: Any = None,
        existing: Literal["refuse", "replace", "keep"] = "refuse",
        on_written: Callable[[ExportItem], None] | None = None,
        on_failed: Callable[[ExportItem, SegStudioError], None] | None = None,
    ) -> list[Path]:
        """Write the table; see `Exporter.write`.

        An existing table counts as a whole: "keep" leaves it as it is.
        """
        options = self.Options() if options is None else options
        path = destination / FILE_NAME
        if path.exists() and existing == "refuse":
            raise UsageError(
                f"{path} exists already; choose another folder, or replace or keep the table."
            )
        if path.exists() and existing == "keep":
            return [path]
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["sample", *label_space.names, "(ignored)"])
        for item in items:
            try:
                pixels = self._pixels(item, label_space)
            except SegStudioError as error:
                if on_failed is None:
                    raise
                on_failed(item, error)
                continue
            shares = pixels / max(1, pixels.sum())
            cells = pixels.tolist() if options.pixels else [f"{share:.6f}" for share in shares]
            writer.writerow([item.sample.sample_id, *cells])
            if on_written is not None:
                on_written(item)
        with replacing(path) as temporary:
            temporary.write_text(table.getvalue(), encoding="utf-8")
        return [path]

    @staticmethod
    def _pixels(item: ExportItem, label_space: LabelSpace) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return the (C + 1,) numbers of pixels per class, the ignored ones last."""
        label_map = item.read_label_map()
        label_space.check(label_map, f"The label map of {item.sample.sample_id}")
        found = np.bincount(label_map.ravel(), minlength=label_space.ignore_index + 1)
        return np.append(found[: len(label_space)], found[label_space.ignore_index])
