"""An evaluation, or an out-of-distribution analysis, as one HTML file that needs nothing else.

Numbers come from the report and from stored counts; pixels are read for the gallery alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segstudio.analysis.definitions import ERROR_DEFINITIONS
from segstudio.analysis.ood_report import OodRun
from segstudio.analysis.tables import build_run_table
from segstudio.core.atomic import write_text
from segstudio.core.class_style import OWN_COLORS, ClassStyle
from segstudio.core.errors import CancelledError, UsageError
from segstudio.datasets.base import Dataset
from segstudio.metrics.definitions import DEFINITIONS
from segstudio.metrics.report import EvaluationReport, RunReport
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import RunRecord, Store
from segstudio.session.analysis import Analysis
from segstudio.session.error_analysis import ErrorAnalysis
from segstudio.session.evaluation import read_run_counts
from segstudio.session.report_details import (
    comparison_section,
    failed_section,
    ood_section,
    run_facts,
    version_facts,
)
from segstudio.session.report_gallery import Gallery, Shown, choose_failures
from segstudio.session.report_markup import Notes, Section, build_page, escape, facts, percent
from segstudio.session.report_sections import (
    class_section,
    confusion_section,
    error_section,
    plots_section,
    pooled_section,
)
from segstudio.session.targets import MappingSource, build_target_reader, resolve_mapping

__all__ = ["REPORT_DEFINITIONS", "ReportSource", "write_html_report", "write_ood_html"]

PAGE_NAME = "report.html"
OOD_PAGE_NAME = "ood.html"

_PICTURE_BYTES = 12_000_000
"""For all pictures of a page, as they stand in it."""
_WORST, _BEST = 6, 3
_FAILURES = 24
"""Rows of the failure gallery of a run, of which several runs get their part but at least 6."""

REPORT_DEFINITIONS = {
    **DEFINITIONS,
    **ERROR_DEFINITIONS,
    "per image": (
        "The mean IoU of an image's own counts, over the classes that the image or its prediction "
        "holds; the table gives the mean over images."
    ),
    "error detection": (
        "How well entropy finds wrong pixels: AUROC (a tie is half), AUPRC (average precision), "
        "and the share of right pixels flagged when 95 % of the wrong ones are."
    ),
    "reliability": (
        "Share of pixels right in 15 bins of confidence, the darker a bar the more pixels it "
        "holds; dots stand at a bin's mean confidence. Below the diagonal is overconfident."
    ),
    "sparsification": (
        "Error rate of the pixels that remain when those of highest entropy are taken away; the "
        "oracle takes the wrong ones first. The shaded area is the AUSE."
    ),
    "confusion matrix": (
        "Row: target class, column: predicted class, in percent of the row's pixels; a cell's "
        "opacity is the square root of its share. detectron2's matrix is transposed."
    ),
    "difference": (
        "The second run minus the first over the images that both have, in percentage points; "
        "95 % paired bootstrap interval over images, bold where it does not hold 0."
    ),
    "gallery": (
        "Classes from the lowest pooled IoU up; of each the images with the most pixels missed or "
        "wrongly given to it, cropped to the largest connected error."
    ),
    "recall": "Share of a category's pixels predicted as a class that its mapping allows.",
    "out of the label space": (
        "Pixels of categories that lead to no class against pixels of those that do, by entropy "
        "and by 1 - confidence; components as in SegmentMeIfYouCan."
    ),
    "shift": (
        "Probability that a pixel of this data has higher entropy than one of the data that the "
        "model was made for; accuracy over the categories that have a class."
    ),
    "benchmark score": "ADE20K's: the mean of pixel accuracy and mean IoU.",
}
"""What the numbers of a report mean."""


@dataclass(frozen=True, slots=True, eq=False)
class ReportSource:
    """Where the settings, counts and pixels behind a report are.

    Attributes
    ----------
    dataset : Dataset
        That was evaluated.
    store, layout : Store, ProjectLayout
        The project that holds the runs.
    mapping : LabelMapping, callable or None
        Between the dataset's label space and the models'.
    style : ClassStyle
        Colours and patterns of the classes.
    """

    dataset: Dataset
    store: Store
    layout: ProjectLayout
    mapping: MappingSource = None
    style: ClassStyle = OWN_COLORS


def write_html_report(
    report: EvaluationReport,
    folder: Path,
    source: ReportSource | None = None,
    *,
    ood: Sequence[OodRun] = (),
    cancelled: Callable[[], bool] = lambda: False,
) -> Path:
    """Write ``report.html``: scores, plots, comparisons, a gallery of failures, definitions.

    Parameters
    ----------
    report : EvaluationReport
    folder : Path
        Made when missing; the file is written beside its place and renamed.
    source : ReportSource, optional
        Without it there are no settings, comparisons, stored error analysis and pictures.
    ood : sequence of OodRun
        Out-of-distribution results to append.
    cancelled : callable
        Asked before each run.

    Raises
    ------
    WriteError
        When the file or the folder cannot be written.
    CancelledError
        When it was cancelled; nothing is written.
    """
    notes = Notes(REPORT_DEFINITIONS)
    sections: list[Section] = [Section("scores", "Scores", pooled_section(report, notes))]
    if source is not None and len(report.runs) > 1:
        text = _comparisons(report, source, notes)
        sections.append(Section("differences", "Differences", text))
    for number, run in enumerate(report.runs, 1):
        if cancelled():
            raise CancelledError("Interrupted: the report was not written.")
        budget = _PICTURE_BYTES // len(report.runs)
        sections += _run_sections(report, number, run, source, notes, budget)
    if ood:
        text = "\n".join(ood_section(run, notes, f"ood-{n}") for n, run in enumerate(ood, 1))
        sections.append(Section("ood", "Out of distribution", text))
    if report.failed:
        sections.append(Section("failed", "Not scored", failed_section(report.failed)))
    sections.append(Section("settings", "Settings and versions", _settings(report, source)))
    sections.append(Section("definitions", "Definitions", notes.render()))
    title = "Evaluation"
    if source is not None:
        title += f" of {source.dataset.title or source.dataset.root.name}"
    path = folder / PAGE_NAME
    write_text(path, build_page(title, _subtitle(report), sections))
    return path


def write_ood_html(
    runs: Sequence[OodRun],
    failed: Sequence[tuple[str, str]],
    folder: Path,
    *,
    settings: Mapping[str, object] | None = None,
) -> Path:
    """Write ``ood.html``, the out-of-distribution results of runs; errors as `write_html_report`.

    Parameters
    ----------
    runs : sequence of OodRun
    failed : sequence of (str, str)
        Sample id and the reason, one plain sentence.
    folder : Path
    settings : mapping of str to object, optional
        What was analysed and how, to be listed.
    """
    notes = Notes(REPORT_DEFINITIONS)
    sections: list[Section] = [
        Section(f"run-{number}", run.run, ood_section(run, notes, f"ood-{number}"))
        for number, run in enumerate(runs, 1)
    ]
    if failed:
        sections.append(Section("failed", "Not counted", failed_section(failed)))
    settings_text = facts(settings or {}) + version_facts()
    sections.append(Section("settings", "Settings and versions", settings_text))
    sections.append(Section("definitions", "Definitions", notes.render()))
    names = ", ".join(dict.fromkeys(run.categories.source.name for run in runs))
    path = folder / OOD_PAGE_NAME
    title = f"Out of distribution: {names}" if names else "Out of distribution"
    write_text(path, build_page(title, _written(), sections))
    return path


def _run_sections(
    report: EvaluationReport,
    number: int,
    run: RunReport,
    source: ReportSource | None,
    notes: Notes,
    budget: int,
) -> list[Section]:
    """Return the sections of one run; only several runs name it in their headings."""
    several = len(report.runs) > 1
    of, at = (f" · {run.run}", f"-{number}") if several else ("", "")
    space = report.label_space
    style = OWN_COLORS if source is None else source.style

    def section(anchor: str, heading: str, content: str) -> Section:
        # The contents lead to the first section of each of several runs.
        link = None if not several else run.run if anchor == "classes" else ""
        return Section(anchor + at, heading + of, content, link)

    sections = [
        section("classes", "Classes", class_section(space, run, notes, style)),
        section(
            "confusion",
            "Confusion",
            confusion_section(space, run, notes, f"confusion{at}", style),
        ),
        section("plots", "Distributions", plots_section(run, notes, f"plots{at}")),
    ]
    if source is None:
        return sections
    errors = _errors(run, source, notes)
    if errors:
        sections.append(section("errors", "Errors", errors))
    worst, failures = _pictures(report, run, source, notes, budget)
    sections.append(section("images", "Worst and best images", worst))
    sections.append(section("failures", "Failures by class", failures))
    return sections


def _errors(run: RunReport, source: ReportSource, notes: Notes) -> str:
    """Return the tables of the stored error analysis; nothing where none was made."""
    stored = ErrorAnalysis(source.dataset, source.store, source.layout, mapping=source.mapping)
    summary = stored.summary(run.run)
    return error_section(summary, notes) if summary.analysed else ""


def _pictures(
    report: EvaluationReport, run: RunReport, source: ReportSource, notes: Notes, budget: int
) -> tuple[str, str]:
    """Return the worst and best images, and the failures by class."""
    record = source.store.run(run.run)
    reader = build_target_reader(source.dataset, record.label_space, source.mapping)
    assert reader is not None  # it was scored, so there is ground truth
    samples, _ = read_run_counts(reader, source.store, source.layout, run.run)
    table = build_run_table(samples, len(reader.space))
    gallery = Gallery(reader, source.layout, run.run, style=source.style)
    known = sorted(
        (entry for entry in run.per_sample if entry.miou == entry.miou),
        key=lambda entry: entry.miou,
    )
    worst = known[: min(_WORST, -(-len(known) // 2))]
    best = known[len(worst) :][-_BEST:][::-1]
    parts: list[str] = []
    used = 0
    for heading, entries in (("Worst", worst), ("Best", best)):
        shown = [Shown(entry.sample_id, f"mIoU {percent(entry.miou)} %") for entry in entries]
        text, size = gallery.render(shown, budget - used)
        used += size
        parts.append(f"<h3>{heading}{notes.mark('per image')}</h3>\n{text}")
    each = 2 if len(report.label_space) <= _FAILURES // 2 else 1
    most = max(6, _FAILURES // len(report.runs))
    failures = choose_failures(table, report.label_space.names, most=most, each=each)
    text, _ = gallery.render(failures, budget - used)
    note = f"<p>Where each class goes wrong most.{notes.mark('gallery')}</p>\n"
    return "\n".join(parts), note + text


def _comparisons(report: EvaluationReport, source: ReportSource, notes: Notes) -> str:
    """Return each other run against the first."""
    analysis = Analysis(source.dataset, source.store, source.layout, mapping=source.mapping)
    first, *others = (run.run for run in report.runs)
    parts = []
    for number, other in enumerate(others, 1):
        heading = f"<h3>{escape(other)} against {escape(first)}{notes.mark('difference')}</h3>"
        try:
            comparison, _ = analysis.compare(first, other, pixels=False)
        except UsageError as error:
            # They have no image in common: that is said, and the rest of the report stands.
            parts.append(f"{heading}\n<p>{escape(error)}</p>")
            continue
        text = comparison_section(comparison, notes, f"scatter-{number}", source.style)
        parts.append(f"{heading}\n{text}")
    return "\n".join(parts)


def _mapping_names(source: ReportSource, records: Sequence[RunRecord]) -> str:
    """Return the names of the mappings between the ground truth and the runs."""
    space = source.dataset.label_space
    if space is None:
        return ""
    found = [resolve_mapping(source.mapping, space, record.label_space) for record in records]
    return ", ".join(dict.fromkeys(mapping.name for mapping in found if mapping is not None))


def _settings(report: EvaluationReport, source: ReportSource | None) -> str:
    if source is None:
        return version_facts()
    dataset = source.dataset
    records = [source.store.run(run.run) for run in report.runs]
    entries: dict[str, object] = {
        "dataset": dataset.root.resolve(),
        "format": dataset.format,
        "splits": ", ".join(dataset.splits) or "–",
        "images": len(dataset),
        "label space": report.label_space.name,
        "mapping": _mapping_names(source, records) or "–",
        "project": source.layout.root.resolve(),
    }
    return run_facts(entries, records) + f"<h3>Versions</h3>{version_facts()}"


def _subtitle(report: EvaluationReport) -> str:
    images = "1 image" if report.samples == 1 else f"{report.samples:,} images"
    runs = ", ".join(run.run for run in report.runs)
    return f"{runs} · {images} · {report.label_space.name} · {_written()}"


def _written() -> str:
    return f"written {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}"
