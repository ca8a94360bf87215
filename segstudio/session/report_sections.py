"""The sections of a report, each from values to HTML."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from segstudio.analysis.objects import SIZE_EDGES
from segstudio.analysis.taxonomy import ErrorKind
from segstudio.core.class_style import OWN_COLORS, ClassStyle
from segstudio.core.label_space import LabelSpace
from segstudio.metrics import uncertainty
from segstudio.metrics.detection import by_class
from segstudio.metrics.report import EvaluationReport, RunReport
from segstudio.session import report_plots
from segstudio.session.error_analysis import ErrorSummary
from segstudio.session.report_markup import (
    MISSING,
    Cell,
    Column,
    Notes,
    bar_cell,
    build_table,
    difference,
    escape,
    interval,
    number_cell,
    percent,
    text_cell,
)
from segstudio.session.report_pictures import swatch_css

__all__ = [
    "class_section",
    "confusion_section",
    "error_section",
    "pixels_cell",
    "plot_grid",
    "plots_section",
    "pooled_section",
]

_LISTED_CONFUSIONS = 20


def pooled_section(report: EvaluationReport, notes: Notes) -> str:
    """Return the pooled scores and the numbers on uncertainty, a column for each run."""
    lines = [
        _Line("mean IoU", lambda run: run.miou, ("iou", "ignored prediction")),
        _Line("95 % interval", lambda run: run.miou_interval, ("miou_interval",), is_part=True),
        _Line("pixel accuracy", lambda run: run.pixel_accuracy),
        _Line("mean class accuracy", lambda run: run.mean_accuracy),
        _Line("frequency-weighted IoU", lambda run: run.fw_iou),
        _Line("mean Dice", lambda run: run.dice),
    ]
    if report.label_space.name == "ade20k":
        score = _Line(
            "ADE20K score", lambda run: (run.pixel_accuracy + run.miou) / 2, ("benchmark score",)
        )
        lines.append(score)
    lines.append(
        _Line("mean IoU, mean over images", lambda run: run.per_image_miou, ("per image",))
    )
    lines.append(_Line("images", lambda run: f"{len(run.per_sample):,}"))
    title = "pooled over all images, %" + notes.mark("pooled")
    text = _lines_table(title, lines, report.runs, notes)
    known = [run for run in report.runs if run.uncertainty is not None]
    if not known:
        return text
    title = "how sure it was, %" + notes.mark("entropy")
    sure = _lines_table(title, _uncertainty_lines(), known, notes)
    return f'<div class="beside">{text}\n{sure}</div>'


class _Line(NamedTuple):
    """A line of a table of runs: its title, its value of a run, its notes.

    A number is a share, a pair an interval of shares; ``is_part`` belongs to the line above.
    """

    title: str
    value: Callable[[RunReport], float | tuple[float, float] | str]
    terms: tuple[str, ...] = ()
    is_part: bool = False


def _lines_table(
    title: str, lines: Sequence[_Line], runs: Sequence[RunReport], notes: Notes
) -> str:
    rows = []
    for line in lines:
        mark = notes.mark(*line.terms) if line.terms else ""
        kind = ' class="part"' if line.is_part else ""
        cells = [Cell(f"<span{kind}>{escape(line.title)}</span>{mark}", line.title)]
        for run in runs:
            value = line.value(run)
            if isinstance(value, tuple):
                value = interval(value, 2)
            elif isinstance(value, float):
                value = percent(value, 2)
            cells.append(Cell(escape(value), math.nan))
        rows.append(cells)
    columns = [Column(title, False), *(Column(escape(run.run)) for run in runs)]
    return build_table(columns, rows, is_sortable=False)


def _uncertainty_lines() -> list[_Line]:
    def equal_mass(run: RunReport) -> float:
        return uncertainty.ece(run.pooled.confidence_histogram, equal_mass=True)

    def unsure(run: RunReport) -> float:
        return uncertainty.unsure_error_share(run.pooled.entropy_histogram)

    def at_edges(run: RunReport) -> str:
        value = _known(run, "edge_entropy_ratio")
        return MISSING if math.isnan(value) else f"{value:.2f} ×"

    return [
        _Line("calibration error (ECE)", lambda run: _known(run, "ece"), ("ece",)),
        _Line("15 equal-mass bins", equal_mass, is_part=True),
        _Line(
            "AUROC of finding errors by entropy",
            lambda run: _known(run, "auroc"),
            ("error detection",),
        ),
        _Line("AUPRC", lambda run: _known(run, "auprc"), is_part=True),
        _Line("FPR at 95 % TPR", lambda run: _known(run, "fpr95"), is_part=True),
        _Line("area of sparsification error (AUSE)", lambda run: _known(run, "ause"), ("ause",)),
        _Line(
            "confident errors, of all errors",
            lambda run: _known(run, "confident_error_share"),
            ("confident_error_share",),
        ),
        _Line("unsure errors (above 0.50 log C), of all errors", unsure),
        _Line("entropy at edges over elsewhere", at_edges, ("edge_entropy_ratio",)),
    ]


def _known(run: RunReport, name: str) -> float:
    return math.nan if run.uncertainty is None else float(getattr(run.uncertainty, name))


def class_section(
    space: LabelSpace, run: RunReport, notes: Notes, style: ClassStyle = OWN_COLORS
) -> str:
    """Return the table of classes with bars and intervals."""
    columns = [
        Column("class", False),
        Column("IoU %" + notes.mark("iou")),
        Column("", False),
        Column("95 % interval" + notes.mark("miou_interval")),
        Column("accuracy %"),
        Column("precision %"),
        Column("Dice %"),
    ]
    calibration: list[float] = []
    if run.uncertainty is not None:
        columns.append(Column("ECE %" + notes.mark("ece")))
        calibration = by_class(uncertainty.ece, run.pooled.confidence_histogram)
    columns += [Column("target px"), Column("predicted px")]
    rows = []
    for entry in run.classes:
        row = [
            text_cell(entry.name, swatch=swatch_css(style, entry.index, space.colors[entry.index])),
            number_cell(entry.iou),
            bar_cell(entry.iou, entry.iou_interval),
            Cell(interval(entry.iou_interval), entry.iou_interval[0]),
            number_cell(entry.accuracy),
            number_cell(entry.precision),
            number_cell(entry.dice),
        ]
        row += [number_cell(calibration[entry.index])] if calibration else []
        row += [pixels_cell(entry.target_pixels), pixels_cell(entry.predicted_pixels)]
        rows.append(row)
    return build_table(columns, rows)


def pixels_cell(count: int) -> Cell:
    """Return a cell of a whole number."""
    return number_cell(count, f"{count:,}")


def confusion_section(
    space: LabelSpace,
    run: RunReport,
    notes: Notes,
    name: str,
    style: ClassStyle = OWN_COLORS,
) -> str:
    """Return the confusion matrix and the largest confusions."""
    svg, left_out = report_plots.plot_confusion(run.confusion, space.names, name)
    if svg is None:
        return f"<p>{MISSING}</p>"
    noun = "class" if left_out == 1 else "classes"
    remark = f" Without {left_out} {noun} that neither side holds." if left_out else ""
    caption = f"Percent of the target class's pixels.{remark}"
    targets = run.confusion.sum(1)
    wrong = run.confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_LISTED_CONFUSIONS]
    names = [*space.names, "ignored"]
    rows = []
    for place in order.tolist():
        target, predicted = divmod(place, len(names))
        count = int(wrong[target, predicted])
        if count:
            rows.append(
                [
                    text_cell(
                        names[target], swatch=swatch_css(style, target, space.colors[target])
                    ),
                    text_cell(names[predicted]),
                    pixels_cell(count),
                    number_cell(count / int(targets[target])),
                    number_cell(count / int(wrong.sum())),
                ]
            )
    columns = [Column("target", False), Column("predicted", False), Column("pixels")]
    columns += [Column("of the target %"), Column("of all errors %")]
    return (
        f'<div class="beside"><figure><figcaption>{caption}'
        f"{notes.mark('confusion matrix')}</figcaption>"
        f'<div class="wide">{svg}</div></figure>\n'
        f"<div><figcaption>Largest confusions</figcaption>{build_table(columns, rows)}</div></div>"
    )


def plots_section(run: RunReport, notes: Notes, name: str) -> str:
    """Return the reliability diagram and its neighbours."""
    figures = []
    if run.uncertainty is not None:
        entropy, confidence = run.pooled.entropy_histogram, run.pooled.confidence_histogram
        figures = [
            (
                "Reliability",
                "reliability",
                report_plots.plot_reliability(confidence, f"{name}-reliability"),
            ),
            (
                "Entropy of right and of wrong pixels",
                "entropy",
                report_plots.plot_entropy(entropy, f"{name}-entropy"),
            ),
            (
                "Sparsification",
                "sparsification",
                report_plots.plot_sparsification(entropy, f"{name}-sparsification"),
            ),
        ]
    mious = [entry.miou for entry in run.per_sample]
    plot = report_plots.plot_mious(mious, f"{name}-mious")
    figures.append(("Mean IoU of the images", "per image", plot))
    return plot_grid([(title, notes.mark(term), svg) for title, term, svg in figures])


def plot_grid(figures: Sequence[tuple[str, str, str | None]]) -> str:
    """Return plots side by side: title, footnote as HTML, SVG or None where there is none."""
    body = "\n".join(
        f"<figure><figcaption><b>{escape(title)}</b>{mark}</figcaption>{svg or MISSING}</figure>"
        for title, mark, svg in figures
    )
    return f'<div class="plots">\n{body}\n</div>'


def error_section(summary: ErrorSummary, notes: Notes) -> str:
    """Return the stored error analysis: kinds, object sizes, boundary IoU."""
    images = f"{summary.analysed:,} of {summary.analysed + summary.missing:,} images analysed"
    kinds = [
        [
            Cell(kind.name.lower() + notes.mark(kind.name.lower()), kind.name.lower()),
            pixels_cell(int(summary.pixels[kind])),
            number_cell(float(summary.shares[kind])),
            number_cell(float(summary.if_fixed[kind])),
            Cell(difference(float(summary.if_fixed[kind]) - summary.miou), math.nan),
        ]
        for kind in ErrorKind
    ]
    columns = [Column("kind of error", False), Column("pixels"), Column("of all errors %")]
    columns += [Column("mIoU % if fixed" + notes.mark("if fixed")), Column("gain")]
    edges = [math.isqrt(edge) for edge in SIZE_EDGES]
    sizes = [f"below {edges[0]}² px"]
    sizes += [f"{low}² to {high}² px" for low, high in itertools.pairwise(edges)]
    sizes.append(f"{edges[-1]}² px and above")
    by_size = [
        [text_cell(size), number_cell(float(value))]
        for size, value in zip(sizes, summary.size_miou, strict=True)
    ]
    return (
        f"<p>{images}; {summary.regions:,} error regions"
        f"{notes.mark('error region')}; mean boundary IoU "
        f"{percent(summary.mean_boundary_iou)} %{notes.mark('boundary_iou')}.</p>"
        + build_table(columns, kinds)
        + build_table(
            [Column("objects" + notes.mark("by size"), False), Column("mIoU %")],
            by_size,
            is_sortable=False,
        )
    )
