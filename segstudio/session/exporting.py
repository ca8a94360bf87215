"""What a project has to export: corrections, ground truth or the predictions of a run."""

from __future__ import annotations

from functools import partial
from typing import Literal

from segstudio.core.errors import UsageError
from segstudio.core.label_space import LabelMapping, LabelSpace
from segstudio.core.types import LabelMap, Sample
from segstudio.datasets.base import Dataset
from segstudio.datasets.images import read_source_map
from segstudio.exporters.base import ExportItem
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import Store
from segstudio.session.beginnings import GROUND_TRUTH
from segstudio.session.targets import TargetReader, build_target_reader

__all__ = ["collect_export_items", "export_label_space"]


def export_label_space(
    dataset: Dataset, store: Store, layout: ProjectLayout, what: str
) -> LabelSpace | None:
    """Return the label space in which ``what`` would leave, None when there is nothing of it.

    Raises
    ------
    UsageError
        When ``what`` is nothing that can be exported, or corrections are in several spaces.
    """
    kind, _, run = what.partition(":")
    if kind == "prediction":
        return store.run(run).label_space
    if kind == "ground-truth":
        return dataset.label_space
    if kind != "corrections":
        raise UsageError(f"One exports corrections, ground-truth or prediction:RUN, not {what!r}.")
    spaces = [store.correction_label_space(key) for key in sorted(_corrected(store, layout))]
    if any(other != spaces[0] for other in spaces):
        raise UsageError("The corrections are in several label spaces; export them apart.")
    return spaces[0] if spaces else None


def collect_export_items(
    dataset: Dataset,
    store: Store,
    layout: ProjectLayout,
    what: str,
    *,
    mapping: LabelMapping | None = None,
) -> tuple[list[ExportItem], LabelSpace]:
    """Return the samples that have ``what``, and its label space.

    Parameters
    ----------
    dataset : Dataset
    store, layout : Store, ProjectLayout
        The project.
    what : str
        "corrections", "ground-truth" or "prediction:RUN".
    mapping : LabelMapping, optional
        From the dataset's label space to that of ``what``, for exporters that compare the two.

    Raises
    ------
    UsageError
        When there is nothing to export.
    """
    kind, _, run = what.partition(":")
    space = export_label_space(dataset, store, layout, what)
    if kind == "prediction":
        have = {key for key, entry in store.results(run).items() if entry.error is None}
    elif kind == "corrections":
        have = _corrected(store, layout)
    else:
        have = {entry.sample_id for entry in dataset.samples if entry.target_path is not None}
    if kind == "ground-truth" and have and space is None:
        raise UsageError(
            f"{dataset.root} does not say what the values of its masks mean; choose a label space "
            "or put a label_space.json into the folder."
        )
    if not have or space is None:
        raise UsageError(f"{dataset.root} has no {what.replace('-', ' ')} to export.")
    maker = _ItemMaker(dataset, store, layout, what, space, mapping)
    return [maker.item(entry) for entry in dataset.samples if entry.sample_id in have], space


def _corrected(store: Store, layout: ProjectLayout) -> set[str]:
    # The row is entered just before the file: after a crash between them there is none.
    rows = store.corrected_samples()
    return {sample_id for sample_id in rows if layout.correction(sample_id).exists()}


class _ItemMaker:
    """Makes the items of one export."""

    def __init__(
        self,
        dataset: Dataset,
        store: Store,
        layout: ProjectLayout,
        what: str,
        space: LabelSpace,
        mapping: LabelMapping | None,
    ) -> None:
        self._dataset, self._layout, self._space = dataset, layout, space
        self._kind, _, self._run = what.partition(":")
        self._reader = None if self._kind == "ground-truth" else self._target_reader(mapping)
        is_correction = self._kind == "corrections"
        self._origins = store.correction_origins() if is_correction else {}
        self._run_spaces = {record.run: record.label_space for record in store.runs()}

    def item(self, sample: Sample) -> ExportItem:
        """Return the item of a sample."""
        reader = self._reader
        with_target = reader is not None and sample.target_path is not None
        origin, source = self._origin(sample)
        return ExportItem(
            sample,
            read_label_map=partial(self._read, sample),
            read_image=partial(self._dataset.read_image, sample),
            read_target=partial(reader.read_target, sample) if with_target and reader else None,
            origin=origin,
            read_origin=None if source is None else partial(self._read_origin, sample, source),
        )

    def _target_reader(self, mapping: LabelMapping | None) -> TargetReader | None:
        try:
            reader = build_target_reader(self._dataset, self._space, mapping)
        except UsageError:
            if mapping is not None:
                raise
            return None  # exporters that compare say that there is no ground truth
        if reader is not None and reader.space.names != self._space.names:
            raise UsageError(
                f"An export is in the label space {self._space.name}; name a mapping that leads "
                "from the ground truth to it, not away from it."
            )
        return reader

    def _read(self, sample: Sample) -> LabelMap:
        if self._kind == "prediction":
            return read_source_map(self._layout.layer(self._run, "labels", sample.sample_id))
        if self._kind == "corrections":
            return read_source_map(self._layout.correction(sample.sample_id))
        return self._dataset.read_target(sample, self._space)

    def _origin(
        self, sample: Sample
    ) -> tuple[Literal["model", "imported", "empty"] | None, str | None]:
        """Return what a correction started from, and what of it can be read."""
        if sample.sample_id not in self._origins:
            return None, None
        source = self._origins[sample.sample_id]
        if source is None:
            return "empty", None
        names = self._space.names
        if source == GROUND_TRUTH:
            own = self._dataset.label_space
            known = own is not None and own.names == names and sample.target_path is not None
            return ("imported", source) if known else (None, None)
        space = self._run_spaces.get(source)
        there = self._layout.layer(source, "labels", sample.sample_id).exists()
        known = space is not None and space.names == names and there
        return ("model", source) if known else (None, None)

    def _read_origin(self, sample: Sample, source: str) -> LabelMap:
        if source == GROUND_TRUTH:
            return self._dataset.read_target(sample, self._dataset.label_space)
        return read_source_map(self._layout.layer(source, "labels", sample.sample_id))
