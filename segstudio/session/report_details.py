"""The sections of a report that not every report has: comparisons, other data, settings."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
import time
from collections.abc import Mapping, Sequence

from segstudio import __version__
from segstudio.analysis.compare import ClassDelta, Comparison, SamplePair
from segstudio.analysis.ood import Detection, detect, score_categories
from segstudio.analysis.ood_report import OodRun
from segstudio.core.class_style import OWN_COLORS, ClassStyle
from segstudio.project.records import RunRecord
from segstudio.session import report_plots
from segstudio.session.report_markup import (
    MISSING,
    Cell,
    Column,
    Notes,
    build_table,
    delta_cell,
    difference,
    escape,
    facts,
    interval,
    number_cell,
    percent,
    text_cell,
)
from segstudio.session.report_pictures import swatch_css
from segstudio.session.report_sections import pixels_cell, plot_grid

__all__ = [
    "comparison_section",
    "failed_section",
    "ood_section",
    "run_facts",
    "version_facts",
]

_LISTED_FAILURES = 100
_LISTED_WINS = 5
_PACKAGES = (
    "torch",
    "openvino",
    "onnxruntime",
    "numpy",
    "numba",
    "opencv-python-headless",
    "pillow",
    "matplotlib",
)


def comparison_section(
    comparison: Comparison, notes: Notes, name: str, style: ClassStyle = OWN_COLORS
) -> str:
    """Return two runs side by side with their differences."""
    first, second = comparison.pooled
    runs = [escape(run) for run in comparison.runs]
    titles = {"miou": "mean IoU", "pixel_accuracy": "pixel accuracy"}
    titles |= {"mean_accuracy": "mean class accuracy", "fw_iou": "frequency-weighted IoU"}
    titles["dice"] = "mean Dice"
    columns = [Column(f"over {comparison.scored:,} images, %", False)]
    columns += [Column(run) for run in runs]
    columns += [Column("difference"), Column("95 % interval")]
    pooled = []
    for key, title in titles.items():
        ends = comparison.miou_interval if key == "miou" else (math.nan, math.nan)
        pooled.append(
            [
                text_cell(title),
                number_cell(first[key], percent(first[key], 2)),
                number_cell(second[key], percent(second[key], 2)),
                _difference(second[key] - first[key], ends, 2),
                Cell(interval(ends, 2, signed=True), ends[0]),
            ]
        )
    reach = max((abs(value) for entry in comparison.classes for value in _ends(entry)), default=1.0)
    columns_of_classes = [Column("class", False), *(Column(f"{run}<br>IoU %") for run in runs)]
    columns_of_classes += [Column("difference"), Column("", False), Column("95 % interval")]
    colors = comparison.label_space.colors
    classes = [
        [
            text_cell(entry.name, swatch=swatch_css(style, entry.index, colors[entry.index])),
            number_cell(entry.iou[0]),
            number_cell(entry.iou[1]),
            _difference(entry.delta, entry.interval),
            delta_cell(entry.delta, entry.interval, reach or 1.0),
            Cell(interval(entry.interval, signed=True), entry.interval[0]),
        ]
        for entry in comparison.classes
    ]
    scatter = report_plots.plot_scatter(
        [entry.miou for entry in comparison.samples], comparison.runs, name
    )
    wins = "".join(_wins(comparison, side) for side in (0, 1))
    plot = plot_grid([("Mean IoU of the images", notes.mark("per image"), scatter)])
    return (
        build_table(columns, pooled, is_sortable=False)
        + build_table(columns_of_classes, classes)
        + f'<div class="beside">{plot}<div>{wins}</div></div>'
    )


def _ends(entry: ClassDelta) -> list[float]:
    """Return what of a difference and its interval exists."""
    return [value for value in (entry.delta, *entry.interval) if not math.isnan(value)]


def _difference(value: float, ends: tuple[float, float], digits: int = 1) -> Cell:
    """Return a difference, bold where its interval does not hold 0."""
    text = difference(value, digits)
    is_sure = ends[0] > 0 or ends[1] < 0
    return Cell(f"<b>{text}</b>" if is_sure else text, value)


def _wins(comparison: Comparison, side: int) -> str:
    """Return the images where one run is furthest ahead."""
    best: list[SamplePair] = comparison.wins(side, _LISTED_WINS)
    if not best:
        return ""
    columns = [Column(f"furthest ahead: {escape(comparison.runs[side])}", False)]
    columns += [Column(f"{escape(run)}<br>mIoU %") for run in comparison.runs]
    columns.append(Column("difference"))
    rows = [
        [
            text_cell(entry.sample_id),
            *(number_cell(value) for value in entry.miou),
            Cell(difference(entry.delta), entry.delta),
        ]
        for entry in best
    ]
    return build_table(columns, rows)


def ood_section(run: OodRun, notes: Notes, name: str) -> str:
    """Return the categories of one run, the detection figures and the shift."""
    source, target = run.categories.source.name, run.categories.target.name
    columns = [
        Column("category", False),
        Column("class", False),
        Column("images"),
        Column("pixels"),
        Column("recall %" + notes.mark("recall")),
        Column("taken for, % of its pixels", False),
        Column("mean entropy %" + notes.mark("entropy")),
        Column("confident errors %" + notes.mark("confident_error_share")),
    ]
    rows = [
        [
            text_cell(entry.name),
            text_cell(" or ".join(entry.mapped_to) or MISSING),
            number_cell(entry.images, f"{entry.images:,}"),
            pixels_cell(entry.pixels),
            number_cell(entry.recall),
            text_cell(
                ", ".join(f"{other} {_rounded(share)}" for other, share in entry.confused_with)
                or MISSING
            ),
            number_cell(entry.mean_entropy),
            number_cell(entry.confident_error_share),
        ]
        for entry in score_categories(run.categories, run.counts)
    ]
    return (
        f"<p>{escape(run.run)} on {run.samples:,} images: {escape(source)} seen as "
        f"{escape(target)}</p>\n"
        + build_table(columns, rows)
        + _detection(run, notes)
        + _shift(run, notes, name)
    )


def _rounded(share: float) -> str:
    return "<1" if share < 0.005 else percent(share, 0)


def _detection(run: OodRun, notes: Notes) -> str:
    found: tuple[Detection, Detection] = detect(run.categories, run.counts)
    rows = [
        [
            text_cell(title),
            number_cell(entry.auroc),
            number_cell(entry.auprc),
            number_cell(entry.fpr95),
        ]
        for title, entry in zip(("entropy", "1 - confidence"), found, strict=True)
    ]
    mark = notes.mark("out of the label space")
    columns = [Column(f"pixels out of the label space, by{mark}", False), Column("AUROC %")]
    columns += [Column("AUPRC %"), Column("FPR at 95 % TPR")]
    text = build_table(columns, rows, is_sortable=False)
    parts = run.components
    if parts is None:
        return text
    return text + (
        f"<p>Components: sIoU {percent(parts.siou)} %, PPV {percent(parts.ppv)} %, "
        f"F1 {percent(parts.f1)} %; {parts.targets:,} of at least {parts.smallest_target:,} "
        f"pixels, {parts.predicted:,} flagged of at least {parts.smallest_predicted:,} "
        f"(entropy from {percent(parts.threshold)} % of log C).</p>"
    )


def _shift(run: OodRun, notes: Notes, name: str) -> str:
    shift = run.shift
    if shift is None:
        return ""
    text = (
        f"<p>Against data that it was made for: pixel accuracy {percent(shift.in_accuracy)} to "
        f"{percent(shift.out_accuracy)} %, a drop of {percent(shift.drop)} points "
        f"(95 % interval {interval(shift.drop_interval)}); entropy is the higher one "
        f"here for {percent(shift.auroc)} % of pixel pairs{notes.mark('shift')}.</p>"
    )
    plot = report_plots.plot_shift(shift.in_entropy, shift.out_entropy, name)
    return text + plot_grid([("Entropy in and out of distribution", notes.mark("entropy"), plot)])


def failed_section(failed: Sequence[tuple[str, str]]) -> str:
    """Return the samples without a score, each with the reason."""
    rows = [[text_cell(key), text_cell(error)] for key, error in failed[:_LISTED_FAILURES]]
    text = build_table([Column("image", False), Column("why", False)], rows)
    more = len(failed) - _LISTED_FAILURES
    return text + (f"<p>and {more:,} more; report.json names them.</p>" if more > 0 else "")


def run_facts(dataset: Mapping[str, object], records: Sequence[RunRecord]) -> str:
    """Return what was evaluated and how each run was made."""
    parts = ["<h3>Data</h3>", facts(dataset)]
    for record in records:
        made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(record.created))
        entries: dict[str, object] = {"model": record.model, "created": made}
        entries["label space"] = record.label_space.name
        entries |= {name: _plain(value) for name, value in record.options.items()}
        # The identity decides the results: weights, preprocessing, precision.  Its label space is
        # a digest, which says nothing to a person.
        for name, value in json.loads(record.identity).items():
            if name != "label_space":
                entries.setdefault(name, _plain(value))
        parts += [f"<h3>Run {escape(record.run)}</h3>", facts(entries)]
    return "\n".join(parts)


def _plain(value: object) -> object:
    if value is None:
        return MISSING
    if isinstance(value, dict):
        known = [f"{key} {item}" for key, item in value.items() if item is not None]
        return ", ".join(known)
    return value


def version_facts() -> str:
    """Return the versions of the program and of what its numbers pass through."""
    entries: dict[str, object] = {"segstudio": __version__, "python": platform.python_version()}
    entries["system"] = platform.platform()
    for package in _PACKAGES:
        try:
            entries[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            entries[package] = MISSING
    return facts(entries)
