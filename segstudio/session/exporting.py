"""What a project has to export: corrections, ground truth or the predictions of a run."""

from __future__ import annotations

from functools import partial

from segstudio.core.errors import UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import LabelMap, Sample
from segstudio.datasets.base import Dataset
from segstudio.datasets.images import read_source_map
from segstudio.exporters.base import ExportItem
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import Store

__all__ = ["collect_export_items"]


def collect_export_items(
    dataset: Dataset, store: Store, layout: ProjectLayout, what: str
) -> tuple[list[ExportItem], LabelSpace]:
    """Return the samples that have ``what``, and its label space.

    Parameters
    ----------
    dataset : Dataset
    store, layout : Store, ProjectLayout
        The project.
    what : str
        "corrections", "ground-truth" or "prediction:RUN".

    Raises
    ------
    UsageError
        When there is nothing to export.
    """
    kind, _, run = what.partition(":")
    space: LabelSpace | None
    if kind == "prediction":
        space = store.run(run).label_space
        have = {key for key, entry in store.results(run).items() if entry.error is None}
    elif kind == "corrections":
        have = store.corrected_samples()
        spaces = [store.correction_label_space(sample_id) for sample_id in sorted(have)]
        space = spaces[0] if spaces else None
        if any(other != space for other in spaces):
            raise UsageError("The corrections are in several label spaces; export them apart.")
    elif kind == "ground-truth":
        space = dataset.label_space
        have = {entry.sample_id for entry in dataset.samples if entry.target_path is not None}
    else:
        raise UsageError(f"One exports corrections, ground-truth or prediction:RUN, not {what!r}.")
    if not have or space is None:
        raise UsageError(f"{dataset.root} has no {what.replace('-', ' ')} to export.")
    label_space = space

    def read(sample: Sample) -> LabelMap:
        if kind == "prediction":
            return read_source_map(layout.layer(run, "labels", sample.sample_id))
        if kind == "corrections":
            return read_source_map(layout.correction(sample.sample_id))
        return dataset.read_target(sample, label_space)

    items = [
        ExportItem(
            sample,
            read_label_map=partial(read, sample),
            read_image=partial(dataset.read_image, sample),
        )
        for sample in dataset.samples
        if sample.sample_id in have
    ]
    return items, label_space
