"""The review queue: states of samples, and the regions that a person should look at next."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from segstudio.analysis.regions import RegionFilter
from segstudio.analysis.uncertain import find_uncertain, pack_uncertain, unpack_uncertain
from segstudio.core.errors import CancelledError, SegStudioError, UsageError
from segstudio.core.types import LabelMap
from segstudio.metrics.counts import LEVELS, SampleCounts
from segstudio.project.reviews import REVIEW_STATES, Review, UncertainRecord
from segstudio.session.review_maps import RegionKind, ReviewMaps, ReviewRegion
from segstudio.session.targets import TargetReader, build_target_reader
from segstudio.session.thread_jobs import Progress, ThreadJobs

if TYPE_CHECKING:
    from segstudio.session.session import Session

__all__ = ["CONFIDENT", "DEFAULT_LEVEL", "Reviews", "SampleFacts", "SampleRegions"]

DEFAULT_LEVEL = 128
"""Entropy, 0..255 of log C, from which a pixel counts as uncertain: half."""

CONFIDENT = 0.9
"""Confidence from which an error counts as a confident one."""

_LISTED = 5000
"""Regions of all samples that are ranked together at most."""


@dataclass(frozen=True, slots=True)
class SampleFacts:
    """What samples are filtered and sorted by, beside their score.

    Attributes
    ----------
    mean_entropy : float or None
        Share of log C, 0..1; None where the uncertain regions were not found yet.
    confident_errors : float or None
        Share of the labelled pixels that are wrong with a confidence of at least `CONFIDENT`;
        None without ground truth.
    classes : frozenset of int
        Predicted class indices.
    """

    mean_entropy: float | None
    confident_errors: float | None
    classes: frozenset[int]


@dataclass(frozen=True, slots=True, eq=False)
class SampleRegions:
    """The regions of one sample.

    Attributes
    ----------
    open : tuple of ReviewRegion
        Those that are neither accepted nor fixed, in their order.
    total : int
        How many there are.
    maps : ReviewMaps
        What they are measured against.
    """

    open: tuple[ReviewRegion, ...]
    total: int
    maps: ReviewMaps

    def after(self, here: ReviewRegion | None) -> ReviewRegion | None:
        """Return the open region after one of them, by rank; the first after None, if any."""
        if here is None:
            return self.open[0] if self.open else None
        order = (-here.weight, here.anchor)
        later = [region for region in self.open if (-region.weight, region.anchor) > order]
        return later[0] if later else None


class Reviews:
    """What the review queue asks of a session; its methods read files and may run in any thread.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    jobs : ThreadJobs
        Searches for uncertain regions.
    level : int
        Entropy, 0..255 of log C, from which a pixel is uncertain.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self.jobs = ThreadJobs(session)
        self.level = DEFAULT_LEVEL

    # -- samples ------------------------------------------------------------------------------

    def review(self, sample_id: str) -> Review:
        """Return state, comment and time of a sample."""
        return self._session.store.review(sample_id)

    def set_state(self, sample_id: str, state: str, comment: str | None = None) -> None:
        """Set a sample's state by hand, "" to let it follow from what is painted.

        Raises
        ------
        UsageError
            When there is no such state.
        """
        if state and state not in REVIEW_STATES:
            raise UsageError(f"A sample is {', '.join(REVIEW_STATES)}, not {state!r}.")
        self._session.store.set_review(sample_id, state, comment)

    def facts(self, run: str) -> dict[str, SampleFacts]:
        """Return what is known of the samples of a run; no pixel is read."""
        store = self._session.store
        results, uncertain = store.results(run), store.uncertain(run)
        confident = {
            sample_id: _confident_errors(SampleCounts.from_bytes(data))
            for sample_id, (_, data) in store.counts(run).items()
        }
        facts = {}
        for sample_id, result in results.items():
            record = uncertain.get(sample_id)
            if record is not None and record.finished != result.finished:
                record = None
            indices = np.frombuffer(b"" if record is None else record.classes, "<u2")
            facts[sample_id] = SampleFacts(
                None if record is None else record.mean_entropy,
                confident.get(sample_id),
                frozenset(indices.tolist()),
            )
        return facts

    # -- uncertain regions of all samples -----------------------------------------------------

    def missing(self, run: str) -> list[str]:
        """Return the finished samples whose uncertain regions at this level are not stored."""
        store = self._session.store
        known, results = store.uncertain_keys(run), store.results(run)
        return [
            sample_id
            for sample_id, result in results.items()
            if result.error is None and known.get(sample_id) != (result.finished, self.level)
        ]

    def start_search(self, run: str) -> str | None:
        """Find the uncertain regions that a run lacks; return the job's id, None if none lack."""
        missing, level = self.missing(run), self.level
        if not missing:
            return None
        results = self._session.store.results(run)

        def work(progress: Progress) -> str:
            for sample_id in missing:
                try:
                    self._find(run, sample_id, results[sample_id].finished, level)
                except SegStudioError as error:
                    progress.fail(sample_id, str(error))
                else:
                    progress.step()
                if progress.cancelled:
                    raise CancelledError("Stopped; what was found is kept.")
            return f"The uncertain regions of {len(missing)} images are known."

        return self.jobs.start(f"Uncertain regions of {run}", len(missing), work, unit="searched")

    def _find(self, run: str, sample_id: str, finished: float, level: int) -> None:
        session = self._session
        labels = session.read_layer(run, "labels", sample_id)
        entropy = session.read_layer(run, "entropy", sample_id)
        if labels is None or entropy is None:
            raise UsageError(f"The run {run} keeps no entropy of {sample_id}; run it again.")
        classes = len(session.store.run(run).label_space)
        regions = find_uncertain(
            labels,
            entropy,
            session.read_layer(run, "runner_up", sample_id),
            level=level,
            classes=classes,
        )
        present = np.flatnonzero(np.bincount(labels.reshape(-1), minlength=classes)[:classes])
        session.store.save_uncertain(
            run,
            UncertainRecord(
                sample_id,
                finished,
                level,
                float(entropy.mean()) / (LEVELS - 1),
                present.astype("<u2").tobytes(),
                pack_uncertain(regions),
            ),
        )

    # -- regions ------------------------------------------------------------------------------

    def in_sample(
        self, run: str, kind: RegionKind, sample_id: str, correction: LabelMap | None = None
    ) -> SampleRegions:
        """Return the regions of one sample, the ones most worth a look first.

        Parameters
        ----------
        run : str
        kind : RegionKind
        sample_id : str
        correction : ndarray of shape (H, W), optional
            What is painted at the moment; without it the saved correction counts.

        Raises
        ------
        UsageError
            When the run has nothing for the sample, or errors are asked for without ground truth.
        """
        reader = self._reader(run) if kind is RegionKind.ERROR else None
        maps = self._maps(run, sample_id, reader)
        if kind is RegionKind.ERROR:
            regions = self._errors_of(run, sample_id)
        else:
            assert maps.entropy is not None
            found = find_uncertain(
                maps.labels,
                maps.entropy,
                self._session.read_layer(run, "runner_up", sample_id),
                level=maps.level,
                classes=maps.classes,
            )
            regions = [ReviewRegion.of_uncertain(region, sample_id) for region in found]
        accepted = self._session.store.accepted(run, kind.value, sample_id)
        if correction is None:
            correction = self._saved(run, sample_id, reader)
        if correction is not None and correction.shape != maps.labels.shape:
            correction = None
        still_open = tuple(
            region
            for region in regions
            if region.key not in accepted
            and not (correction is not None and maps.is_fixed(region, correction))
        )
        return SampleRegions(still_open, len(regions), maps)

    def ranked(self, run: str, kind: RegionKind) -> list[ReviewRegion]:
        """Return the stored regions of all samples that are not accepted, 5,000 at most.

        Whether a correction has fixed them is not looked at: that needs their pixels.
        """
        if kind is RegionKind.ERROR:
            table = self._session.error_regions(run, limit=_LISTED).table
            regions = [ReviewRegion.of_error(region) for region in table.regions()]
        else:
            regions = [
                ReviewRegion.of_uncertain(region, sample_id)
                for sample_id, record in self._session.store.uncertain(run).items()
                for region in unpack_uncertain(record.regions, sample_id)
            ]
            regions.sort(key=lambda region: -region.weight)
        accepted = self._session.store.accepted(run, kind.value)
        return [region for region in regions if region.key not in accepted][:_LISTED]

    def next_sample(
        self,
        run: str,
        kind: RegionKind,
        sample_ids: Sequence[str],
        cancelled: Callable[[], bool] = lambda: False,
    ) -> SampleRegions | None:
        """Return the regions of the first of the samples that has an open one."""
        for sample_id in sample_ids:
            if cancelled():
                return None
            try:
                found = self.in_sample(run, kind, sample_id)
            except UsageError:
                continue  # nothing was predicted, or there is no ground truth
            if found.open:
                return found
        return None

    def accept(self, run: str, regions: Iterable[ReviewRegion]) -> int:
        """Accept regions of one kind as they are; return the batch, for `take_back`."""
        listed = list(regions)
        kinds = {region.kind for region in listed}
        if len(kinds) != 1:
            raise UsageError("Choose regions of one kind to accept.")
        return self._session.store.accept(run, kinds.pop().value, [region.key for region in listed])

    def take_back(self, batch: int) -> int:
        """Take back that the regions of a batch were accepted; return how many there were."""
        return self._session.store.take_back(batch)

    # -- inside -------------------------------------------------------------------------------

    def _reader(self, run: str) -> TargetReader:
        session = self._session
        assert session.dataset is not None
        reader = build_target_reader(session.dataset, session.store.run(run).label_space)
        if reader is None:
            raise UsageError("Error regions need ground truth; this dataset has none.")
        return reader

    def _maps(self, run: str, sample_id: str, reader: TargetReader | None) -> ReviewMaps:
        session = self._session
        labels = session.read_layer(run, "labels", sample_id)
        entropy = session.read_layer(run, "entropy", sample_id)
        if labels is None or (entropy is None and reader is None):
            raise UsageError(f"The run {run} has no prediction of {sample_id} yet.")
        if reader is None:
            classes = len(session.store.run(run).label_space)
            return ReviewMaps(labels, entropy, None, classes, self.level)
        assert session.dataset is not None
        sample = session.dataset.sample(sample_id)
        if sample.target_path is None:
            raise UsageError(f"{sample_id} has no ground truth.")
        return ReviewMaps(
            reader.map_prediction(labels),
            entropy,
            reader.read_target(sample),
            len(reader.space),
            self.level,
        )

    def _errors_of(self, run: str, sample_id: str) -> list[ReviewRegion]:
        errors = self._session.errors
        with self._lock:  # two threads would analyse it twice
            if sample_id in errors.missing(run):
                for entry in errors.analyse(run, [sample_id]):
                    if entry.problem is not None:
                        raise UsageError(entry.problem)
        table = errors.regions(run, RegionFilter(sample_id=sample_id)).table
        return [ReviewRegion.of_error(region) for region in table.regions()]

    def _saved(self, run: str, sample_id: str, reader: TargetReader | None) -> LabelMap | None:
        """Return the saved correction where it is in the label space of the regions."""
        session = self._session
        space = session.store.correction_label_space(sample_id)
        wanted = session.store.run(run).label_space if reader is None else reader.space
        if space is None or space.names != wanted.names:
            return None
        return session.corrections.read_saved(sample_id)


def _confident_errors(counts: SampleCounts) -> float | None:
    """Return the share of labelled pixels that are wrong and confident."""
    histogram = counts.confidence_histogram
    pixels = int(histogram.sum())
    if not pixels:
        return None
    least = math.ceil(CONFIDENT * (LEVELS - 1))
    return int(histogram[:, 1, least:].sum()) / pixels
