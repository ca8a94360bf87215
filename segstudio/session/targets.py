"""Where a model's label space and a dataset's ground truth meet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from segstudio.core.errors import UnreadableImageError, UsageError
from segstudio.core.label_space import LabelMapping, LabelSpace, load_label_space
from segstudio.core.types import LabelMap, Sample
from segstudio.datasets.base import Dataset
from segstudio.datasets.containers import stat_source

__all__ = [
    "MappingSource",
    "TargetReader",
    "build_target_reader",
    "category_space",
    "resolve_mapping",
]

MappingSource = LabelMapping | Callable[[LabelSpace, LabelSpace], LabelMapping | None] | None
"""A mapping, or who knows the one between two label spaces."""


def resolve_mapping(
    mapping: MappingSource, source: LabelSpace, target: LabelSpace
) -> LabelMapping | None:
    """Return the mapping between two label spaces; who is asked is not asked for equal ones."""
    if mapping is None or isinstance(mapping, LabelMapping):
        return mapping
    return None if source.names == target.names else mapping(source, target)


@dataclass(frozen=True, eq=False)
class TargetReader:
    """Reads ground truth and predictions into the label space in which they are compared.

    Attributes
    ----------
    space : LabelSpace
        Where both meet.
    note : str or None
        A sentence on an assumption that was made.
    """

    space: LabelSpace
    dataset: Dataset
    source_space: LabelSpace
    target_table: NDArray[Any] | None
    prediction_table: NDArray[Any] | None
    note: str | None = None

    def read_target(self, sample: Sample) -> LabelMap:
        """Return the sample's ground truth in `space`; errors as `Dataset.read_target`."""
        target = self.dataset.read_target(sample, self.source_space)
        return target if self.target_table is None else self.target_table[target]

    def map_prediction(self, prediction: LabelMap) -> LabelMap:
        """Return a prediction of the model's label space in `space`."""
        return prediction if self.prediction_table is None else self.prediction_table[prediction]

    def check_mapped(self) -> None:
        """Refuse a mapping with which nothing could be scored.

        Raises
        ------
        UsageError
            When it leads every class to ignore.
        """
        for table in (self.target_table, self.prediction_table):
            if table is not None and bool((table == self.space.ignore_index).all()):
                raise UsageError(
                    f"The mapping to {self.space.name} leads every class to ignore, so nothing "
                    "could be scored; give at least one class a counterpart."
                )

    def key(self, sample: Sample) -> str:
        """Return what identifies the sample's ground truth: the file's state and the spaces.

        Counts stored under another key were made against something else and are made again.

        Raises
        ------
        UsageError
            When the sample has no ground truth.
        """
        path = sample.target_path
        if path is None:
            raise UsageError(f"{sample.image_path} has no ground truth.")
        try:
            state = stat_source(path)
        except OSError as error:
            raise UnreadableImageError(f"{path} cannot be read: {error.strerror}.") from error
        tables = (self.target_table, self.prediction_table)
        digests = ["" if table is None else _digest(table) for table in tables]
        spaces = (self.source_space.fingerprint, self.space.fingerprint)
        parts = (path, state.st_size, state.st_mtime_ns, *spaces, *digests)
        return "|".join(str(part) for part in parts)


def build_target_reader(
    dataset: Dataset, model_space: LabelSpace, mapping: MappingSource = None
) -> TargetReader | None:
    """Decide how a model's predictions are compared with a dataset's ground truth.

    Without a mapping both must be in the same label space.  A mapping from the dataset's space to
    the model's maps the ground truth, one from the model's to the dataset's maps the predictions.

    Returns
    -------
    TargetReader or None
        None when the dataset has no ground truth.

    Raises
    ------
    UsageError
        When the spaces differ and no mapping joins them.
    """
    if not dataset.has_targets:
        return None
    space = dataset.label_space
    if space is None:
        note = (
            f"{dataset.root} does not say what its mask values mean; they are taken for class "
            f"indices of {model_space.name}, the model's label space."
        )
        return TargetReader(model_space, dataset, _by_index(model_space), None, None, note)
    mapping = resolve_mapping(mapping, space, model_space)
    if mapping is not None:
        ends = (mapping.source, mapping.target)
        if ends == (space.name, model_space.name):
            table = mapping.table(space, model_space)
            return TargetReader(model_space, dataset, space, table, None)
        if ends == (model_space.name, space.name):
            return TargetReader(space, dataset, space, None, mapping.table(model_space, space))
        raise UsageError(
            f"The mapping {mapping.name} joins {mapping.source} and {mapping.target}, but the "
            f"dataset is {space.name} and the model {model_space.name}."
        )
    if space.names == model_space.names:
        return TargetReader(space, dataset, space, None, None)
    raise UsageError(
        f"The ground truth of {dataset.root} is in the label space {space.name}, the model's is "
        f"{model_space.name}; name a mapping between them with --mapping, or choose one in the "
        "window under Analyse."
    )


def category_space(dataset: Dataset, mapping: LabelMapping) -> LabelSpace:
    """Return the label space of a dataset's ground truth, where the mapping has to start.

    Raises
    ------
    UsageError
        When there is no ground truth, or it is in another label space.
    """
    if not dataset.has_targets:
        raise UsageError(
            f"{dataset.root} has no ground truth that says what is in its images; name a folder "
            "of label maps with --ground-truth, or a COCO instances file."
        )
    space = dataset.label_space or load_label_space(mapping.source)
    if space.name != mapping.source:
        raise UsageError(
            f"The mapping {mapping.name} starts at {mapping.source}, but the ground truth of "
            f"{dataset.root} is in the label space {space.name}; choose another mapping, or say "
            "with --label-space what the ground truth is."
        )
    return space


def _by_index(space: LabelSpace) -> LabelSpace:
    """Return the space with class indices as source ids and its ignore index ignored."""
    data = space.to_json()
    for index, entry in enumerate(data["classes"]):
        entry["id"] = index
    data["ignore_ids"] = [space.ignore_index]
    return LabelSpace.from_json(data)


def _digest(table: NDArray[Any]) -> str:
    return hashlib.sha256(table.tobytes()).hexdigest()[:16]
