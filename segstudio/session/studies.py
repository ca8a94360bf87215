"""Studies of the open project that take their time: other categories, reports; and mappings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segstudio.core.class_style import OWN_COLORS, ClassStyle
from segstudio.core.errors import CancelledError, SegStudioError, UsageError
from segstudio.core.label_space import LabelMapping, LabelSpace
from segstudio.project.layout import PROJECT_FOLDER, ProjectLayout
from segstudio.session.mappings import MappingDocument, ProjectMappings, check_mapping
from segstudio.session.thread_jobs import Progress, ThreadJobs

if TYPE_CHECKING:
    from segstudio.analysis.ood_report import OodRun
    from segstudio.metrics.counts import SampleCounts
    from segstudio.session.ood_counts import OodAnalysis
    from segstudio.session.session import Session

__all__ = ["Studies"]


class Studies:
    """What the Analyse workspace asks of a session beside scores.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    jobs : ThreadJobs
        What runs: the unit is "analysed".
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.jobs = ThreadJobs(session)
        self._ood: tuple[int, OodAnalysis] | None = None

    # -- label mappings ---------------------------------------------------------------------

    @property
    def mappings(self) -> ProjectMappings:
        """The mappings chosen for the open project."""
        return ProjectMappings(self._session.store)

    def spaces(self, run: str) -> tuple[LabelSpace, LabelSpace] | None:
        """Return the label spaces of ground truth and run where they differ, else None."""
        dataset = self._session.dataset
        space = None if dataset is None or not dataset.has_targets else dataset.label_space
        if space is None:
            return None
        model = self._session.store.run(run).label_space
        return None if space.names == model.names else (space, model)

    def choose_mapping(self, document: MappingDocument) -> None:
        """Use a mapping for this project; its runs are scored through it from now on.

        Raises
        ------
        UsageError
            When it leads every class to ignore, or names a class that is not there.
        """
        mapping = document.mapping
        found = self._find_spaces(mapping)
        if found is not None:
            check_mapping(mapping, *found)
        self.mappings.choose(document)

    def _find_spaces(self, mapping: LabelMapping) -> tuple[LabelSpace, LabelSpace] | None:
        for record in self._session.runs():
            both = self.spaces(record.run)
            for source, target in (both, both[::-1]) if both is not None else ():
                if (mapping.source, mapping.target) == (source.name, target.name):
                    return source, target
        return None

    # -- out of distribution ----------------------------------------------------------------

    @property
    def ood(self) -> OodAnalysis:
        """The category counts of the open project."""
        from segstudio.session.ood_counts import OodAnalysis

        session = self._session
        if self._ood is None or self._ood[0] != session.generation:
            if session.dataset is None:
                raise UsageError("No dataset is open.")
            analysis = OodAnalysis(session.dataset, session.store, session.layout)
            self._ood = session.generation, analysis
        return self._ood[1]

    def ood_mapping(self, run: str) -> LabelMapping:
        """Return the mapping from the ground truth's categories to a run's classes.

        Raises
        ------
        UsageError
            When both are the same classes, or no mapping was chosen that leads this way.
        """
        both = self.spaces(run)
        if both is None:
            raise UsageError(
                "The ground truth and the model know the same classes; open data whose ground "
                "truth knows others, as COCO's animals for a network of street scenes."
            )
        source, target = both
        mapping = self.mappings(source, target)
        if mapping is None or mapping.source != source.name:
            raise UsageError(
                f"No label mapping from {source.name} to {target.name} is chosen yet; choose one, "
                "and the categories are analysed."
            )
        return mapping

    def start_ood(self, run: str) -> str | None:
        """Count the categories that a run lacks and return the job's id, None if none lack."""
        mapping, analysis = self.ood_mapping(run), self.ood
        total = analysis.missing(run, mapping)
        if not total:
            return None

        def work(progress: Progress) -> str:
            def step(problem: str | None, sample_id: str) -> None:
                if problem is not None:
                    progress.fail(sample_id, problem)
                else:
                    progress.step()

            analysis.analyse(run, mapping, step=step, cancelled=lambda: progress.cancelled)
            return ""

        return self.jobs.start(f"Categories of {run}", total, work, unit="analysed")

    def ood_result(self, run: str, inside: Path | None = None) -> tuple[OodRun, int]:
        """Return what was counted of a run's categories, and how many samples are missing.

        Parameters
        ----------
        run : str
        inside : Path, optional
            A dataset or a project that the same model was run on: data that it was made for.
        """
        mapping, analysis = self.ood_mapping(run), self.ood
        model = self._session.store.run(run).model
        counts = None if inside is None else stored_counts(inside, model)
        result = analysis.result(run, mapping, in_distribution=counts)
        return result, analysis.missing(run, mapping)

    # -- reports ----------------------------------------------------------------------------

    def start_report(
        self, runs: Sequence[str], folder: Path, *, style: ClassStyle = OWN_COLORS
    ) -> str:
        """Write a report of runs as a job and return its id; error regions are found first.

        Raises
        ------
        UsageError
            When there is no run, or no ground truth.
        """
        session = self._session
        if not runs:
            raise UsageError("Nothing has been run on this dataset yet; run a model first.")
        dataset = session.dataset
        if dataset is None or not dataset.has_targets:
            raise UsageError("A report needs ground truth to score against; this data has none.")
        errors = session.errors
        missing = {run: errors.missing(run) for run in runs}
        total = sum(len(part) for part in missing.values()) + 1  # the page itself

        def work(progress: Progress) -> str:
            return self._write_report(runs, folder, missing, progress, style)

        return self.jobs.start(f"Report of {', '.join(runs)}", total, work, unit="analysed")

    def _write_report(
        self,
        runs: Sequence[str],
        folder: Path,
        missing: dict[str, list[str]],
        progress: Progress,
        style: ClassStyle,
    ) -> str:
        from segstudio.session.report_files import write_report
        from segstudio.session.report_html import ReportSource, write_html_report

        session = self._session

        def is_cancelled() -> bool:
            return progress.cancelled

        for run, sample_ids in missing.items():
            for entry in session.errors.analyse(run, sample_ids, is_cancelled=is_cancelled):
                if entry.problem is not None:
                    progress.fail(entry.sample_id, entry.problem)
                else:
                    progress.step()
        report = session.evaluate(runs)
        if is_cancelled():
            raise CancelledError("Stopped; no report was written.")
        dataset = session.dataset
        assert dataset is not None  # a dataset that closes cancels the job first
        write_report(report, folder)
        source = ReportSource(dataset, session.store, session.layout, self.mappings, style)
        page = write_html_report(
            report, folder, source, ood=self._ood_parts(runs), cancelled=is_cancelled
        )
        progress.step()
        return f"The report is {page}."

    def _ood_parts(self, runs: Sequence[str]) -> list[OodRun]:
        """Return what was counted of runs whose ground truth knows other classes."""
        parts = []
        for run in runs:
            if self.spaces(run) is None:
                continue
            try:
                result, missing = self.ood_result(run)
            except SegStudioError:
                continue  # the mapping leads the other way
            if result.samples and not missing:
                parts.append(result)
        return parts


def stored_counts(place: Path, model: str) -> list[SampleCounts]:
    """Return the stored counts of a model on other data.

    Parameters
    ----------
    place : Path
        A project's folder, or the dataset beside it.
    model : str
        Its name or path, as in the run.

    Raises
    ------
    UsageError
        When there is no project, or the model has no scored sample there.
    """
    from segstudio.metrics.counts import SampleCounts
    from segstudio.project.store import Store

    for folder in (place, place / PROJECT_FOLDER):
        database = ProjectLayout(folder).database
        if database.is_file():
            break
    else:
        raise UsageError(f"There is no project in {place}; run the model on its own data first.")
    store = Store(database)
    try:
        for record in reversed(store.runs()):
            stored = store.counts(record.run) if record.model == model else {}
            if stored:
                return [SampleCounts.from_bytes(data) for _, data in stored.values()]
    finally:
        store.close()
    raise UsageError(f"The project {folder} holds no scored run of the model {model}.")
