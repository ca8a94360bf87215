"""Predictions of other programs as a run: scored, compared and analysed like any other.

Such a run has label maps only: no entropy, confidence or runner-up is known.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from segstudio.core.errors import SegStudioError, UsageError, WriteError
from segstudio.core.label_space import LabelMapping, LabelSpace
from segstudio.core.types import Sample
from segstudio.datasets.base import Dataset
from segstudio.datasets.encoding import write_label_map
from segstudio.datasets.images import read_image_size
from segstudio.datasets.listing import plural
from segstudio.project.layout import ProjectLayout
from segstudio.project.locks import hold_run
from segstudio.project.signature import FileSignature, sign_file
from segstudio.project.store import ResultRecord, Store
from segstudio.session.import_sources import PredictionSource, open_source
from segstudio.session.results import count_prediction
from segstudio.session.targets import TargetReader, build_target_reader

__all__ = ["ImportRequest", "ImportResult", "default_run_name", "import_run"]

_NAME = re.compile(r"[\w][\w.+ -]{0,99}")


@dataclass(frozen=True)
class ImportRequest:
    """What to bring in.

    Attributes
    ----------
    dataset : Dataset
        The samples that were predicted.
    predictions : Path
        A folder of label maps, or a COCO results file.
    name : str or None
        What the run is called; None takes the folder's or file's name.
    values : str
        What the pixels of label maps hold, one of `segstudio.session.import_sources.VALUES`.
    label_space : LabelSpace or None
        What the predictions mean; None takes the dataset's.
    mapping : LabelMapping or None
        Between the dataset's label space and that of the predictions.
    """

    dataset: Dataset
    predictions: Path
    name: str | None = None
    values: str = "indices"
    label_space: LabelSpace | None = None
    mapping: LabelMapping | None = None


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What was brought in.

    Attributes
    ----------
    run : str
        Name of the run.
    done : int
        Samples whose prediction is in it now.
    failed : tuple of (str, str)
        Samples whose prediction cannot be used, and why.
    notes : tuple of str
        What was left out, and what the run lacks.
    """

    run: str
    done: int
    failed: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def default_run_name(predictions: Path) -> str:
    """Return the name of a run that nobody named."""
    stem = predictions.resolve().stem or "imported"
    return re.sub(r"[^\w.+ -]", "-", stem).lstrip(".+ -")[:100] or "imported"


def import_run(
    request: ImportRequest,
    store: Store,
    layout: ProjectLayout,
    *,
    on_done: Callable[[str, str, float | None], None] = lambda sample_id, run, miou: None,
    on_failed: Callable[[str, str], None] = lambda sample_id, reason: None,
) -> ImportResult:
    """Enter predictions as a run; started again, it takes only what is new or changed.

    Parameters
    ----------
    request : ImportRequest
    store, layout : Store, ProjectLayout
        The project.
    on_done : callable
        Told of each sample: its id, the run, its mIoU (None when it was not scored); raising from
        it stops the import, and what was entered stays.
    on_failed : callable
        Told of each sample whose prediction cannot be used, and why.

    Raises
    ------
    UsageError
        When nobody says what the predictions mean, or the name cannot be one.
    NoDatasetError
        When no prediction belongs to an image of the dataset.
    WriteError
        When the project cannot be written.
    """
    dataset = request.dataset
    space = request.label_space or dataset.label_space
    if space is None:
        raise UsageError(
            f"{dataset.root} does not say what class ids mean; name the label space of the "
            "predictions."
        )
    name = request.name or default_run_name(request.predictions)
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"A run cannot be called {name!r}; use letters, digits, blanks and . + - _ only."
        )
    source = open_source(dataset, request.predictions, space, request.values)
    reader, notes = _reader(request, space)
    run = store.begin_run(
        name, str(request.predictions), _identity(request, name, space), space, _options(request)
    )
    writer = _Writer(run, store, layout, reader, source)
    failed: list[tuple[str, str]] = []
    done, without = 0, 0
    with hold_run(layout.locks, run):
        results = store.results(run)
        signatures: dict[Path, FileSignature] = {}  # one results file is that of many samples
        for sample in dataset.samples:
            file = source.file_of(sample)
            if file is None:
                without += 1
                continue
            miou = None
            try:
                if file not in signatures:
                    signatures[file] = sign_file(file)
                if not _is_current(signatures[file], results.get(sample.sample_id)):
                    miou = writer.write(sample, signatures[file])
            except WriteError:
                raise
            except SegStudioError as error:
                store.fail_sample(run, sample.sample_id, str(error))
                failed.append((sample.sample_id, str(error)))
                on_failed(sample.sample_id, str(error))
                continue
            done += 1
            on_done(sample.sample_id, run, miou)
    if without:
        notes.append(f"{plural(without, 'image')} of {dataset.root} without a prediction.")
    notes.append(f"The run {run} has no entropy or confidence: label maps do not tell them.")
    return ImportResult(run, done, tuple(failed), (*source.notes, *notes))


def _reader(request: ImportRequest, space: LabelSpace) -> tuple[TargetReader | None, list[str]]:
    """Return what reads the ground truth, or why nothing is scored."""
    try:
        reader = build_target_reader(request.dataset, space, request.mapping)
    except UsageError as error:
        if request.mapping is not None:
            raise
        return None, [f"{error}  Until then nothing is scored."]
    return reader, [] if reader is None or reader.note is None else [reader.note]


def _identity(request: ImportRequest, name: str, space: LabelSpace) -> str:
    place = str(request.predictions.resolve())
    facts = {"imported": place, "name": name, "values": request.values, "space": space.fingerprint}
    return json.dumps(facts, sort_keys=True)


def _options(request: ImportRequest) -> dict[str, object]:
    return {
        "imported": True,
        "source": str(request.predictions.resolve()),
        "values": request.values,
        "device": "another program",
    }


def _is_current(found: FileSignature, result: ResultRecord | None) -> bool:
    """Return whether a sample was entered from a prediction's file as it is now.

    The content decides: a copy from elsewhere may be older than what it replaces.
    """
    if result is None or result.error is not None or result.signature is None:
        return False
    return (result.signature.size, result.signature.digest) == (found.size, found.digest)


class _Writer:
    """Enters predictions into one run."""

    def __init__(
        self,
        run: str,
        store: Store,
        layout: ProjectLayout,
        reader: TargetReader | None,
        source: PredictionSource,
    ) -> None:
        self._run, self._store, self._layout = run, store, layout
        self._reader, self._source = reader, source

    def write(self, sample: Sample, signature: FileSignature) -> float | None:
        """Write one sample's label map, then its row with the prediction's signature.

        Returns
        -------
        float or None
            The sample's mIoU, None when it is not scored.
        """
        started = time.monotonic()
        label_map = self._source.read(sample, read_image_size(sample.image_path))
        path = self._layout.layer(self._run, "labels", sample.sample_id)
        write_label_map(path, label_map, durable=False)
        counts, miou = None, None
        if self._reader is not None and sample.target_path is not None:
            try:
                key, miou, found = count_prediction(self._reader, sample, label_map, None, None)
                counts = key, miou, found.to_bytes()
            except SegStudioError:
                counts, miou = None, None  # evaluating tries again and says what is wrong with it
        self._store.finish_sample(
            self._run,
            sample.sample_id,
            seconds=time.monotonic() - started,
            counts=counts,
            signature=signature,
        )
        return miou
