"""Fine-tuning on a project's corrections, and whether the result is better.

Images that were corrected or checked are split by their ids: most are learned from, the others are
predicted by the model before and after, and only they decide whether the result is kept.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import (
    CancelledError,
    SegStudioError,
    TrainingError,
    UsageError,
)
from segstudio.core.label_space import LabelSpace
from segstudio.datasets.base import Dataset
from segstudio.datasets.images import read_image_size
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import Store
from segstudio.session.beginnings import GROUND_TRUTH
from segstudio.session.finetune_folder import working_folder
from segstudio.session.finetune_report import ClassChange, FinetuneReport, compare

if TYPE_CHECKING:
    from segstudio.checkpoints.opening import Checkpoint
    from segstudio.training.finetune import CorrectedImages, CorrectedSample
    from segstudio.training.finetune_options import FinetuneOptions

__all__ = ["STOPPED", "ClassChange", "FinetuneReport", "FinetuneRequest", "finetune"]

STOPPED = "The fine-tuning was stopped; start it again with the same choices to go on."
"""What a stopped one says; the output is as it was."""

Report = Callable[[str, int, int, float | None], None]
"""Receives what is being done, steps done, steps in all, and the seconds left or None."""


@dataclass(frozen=True)
class FinetuneRequest:
    """What to fine-tune; a value that can be sent to another process.

    Attributes
    ----------
    dataset : Dataset
    project : Path
        Folder of the project with the corrections.
    model : str
        Name or path.
    output : Path
        The checkpoint to write (``.safetensors``).
    options : FinetuneOptions
    replace_better : bool
        Whether the result is written even when it is worse.
    """

    dataset: Dataset
    project: Path
    model: str
    output: Path
    options: FinetuneOptions
    replace_better: bool = False


def finetune(
    request: FinetuneRequest, report: Report, *, cancelled: Callable[[], bool] = lambda: False
) -> FinetuneReport:
    """Fine-tune a model on the corrections of a project; runs networks in this process.

    Stopped or killed, the same request goes on where it was; one of other corrections or options
    starts again.

    Raises
    ------
    TrainingError
        When there are too few corrections, or they are of other classes than the model's.
    UsageError
        When the output cannot be what it is to become, or is being written by another fine-tuning.
    CancelledError
        When ``cancelled`` answered true; the output is as it was.
    SegStudioError
        When the model, an image or a correction cannot be read, or the result cannot be written.
    """
    from segstudio.checkpoints.opening import open_checkpoint
    from segstudio.inference.catalogue import find_model
    from segstudio.training.finetune import CorrectedImages, split_held_out

    started = time.monotonic()
    _check_output(request.output)
    checkpoint = open_checkpoint(find_model(request.model))
    space = _label_space(checkpoint)
    there = _model_there(request, checkpoint, space)
    samples = _collect(request, checkpoint, space)
    learned, judges = split_held_out(samples, request.options.held_out)
    judging = CorrectedImages(judges, space, pixels="all")

    def judge(model: Checkpoint, which: str) -> NDArray[np.int64]:
        stage = f"Judging the model {which}"
        return _confusions(model, judging, request.options.device, stage, report, cancelled)

    before = judge(checkpoint, "before")
    standing = judge(there, "that is there") if there is not None else before
    with working_folder(request.output, _identity(request, checkpoint, learned, judges)) as folder:
        best = _train(request, checkpoint, space, learned, judges, folder, report, cancelled)
        after = judge(open_checkpoint(best), "after")
        result = compare(
            space,
            before,
            after,
            output=request.output,
            learned=[sample.sample_id for sample in learned],
            held_out=[sample.sample_id for sample in judges],
        )
        return _kept(request, result, best, standing, time.monotonic() - started)


def _check_output(path: Path) -> None:
    if path.suffix != ".safetensors":
        raise UsageError(f"The result is a .safetensors file; {path} is called otherwise.")


def _model_there(
    request: FinetuneRequest, checkpoint: Checkpoint, space: LabelSpace
) -> Checkpoint | None:
    """Return the model that the result would replace, None when there is no other one."""
    from segstudio.checkpoints.opening import open_checkpoint

    output = request.output
    if request.replace_better or not output.exists() or output.samefile(checkpoint.path):
        return None
    try:
        found: Checkpoint | None = open_checkpoint(output)
    except SegStudioError:
        found = None
    if found is None or found.label_space is None or found.label_space.names != space.names:
        raise UsageError(
            f"{output} exists and is no model of {space.name} that the result could be compared "
            "with; name another file."
        )
    return found


def _identity(
    request: FinetuneRequest,
    checkpoint: Checkpoint,
    learned: list[CorrectedSample],
    judges: list[CorrectedSample],
) -> dict[str, Any]:
    """Return what has to be the same when a fine-tuning is gone on with."""

    def version(path: Path | None) -> list[Any] | None:
        if path is None:
            return None
        status = path.stat()
        return [str(path), status.st_size, status.st_mtime_ns]

    options = dataclasses.asdict(request.options)
    return {
        "model": version(checkpoint.path),
        "options": {key: value for key, value in options.items() if key != "device"},
        "learned": [
            [sample.sample_id, version(sample.label_path), version(sample.predicted_path)]
            for sample in learned
        ],
        "held_out": [sample.sample_id for sample in judges],
    }


def _label_space(checkpoint: Checkpoint) -> LabelSpace:
    space = checkpoint.label_space
    if space is None or checkpoint.output_classes != tuple(range(len(space))):
        raise TrainingError(
            f"The outputs of {checkpoint.path} are not the classes of one label space, so it "
            "cannot be fine-tuned."
        )
    return space


def _collect(
    request: FinetuneRequest, checkpoint: Checkpoint, space: LabelSpace
) -> list[CorrectedSample]:
    """Return the corrected samples and the checked ones, in the order of the dataset."""
    from segstudio.inference.preprocess import target_size
    from segstudio.training.finetune import CorrectedSample

    layout = ProjectLayout(request.project)
    found: list[CorrectedSample] = []
    with closing(Store(layout.database)) as store:
        origins = store.correction_origins()
        checked = {key for key, state in store.reviews().items() if state == "checked"}
        runs = [record for record in store.runs() if record.label_space.names == space.names]
        for sample in request.dataset.samples:
            key = sample.sample_id
            source = origins.get(key)
            label_path = layout.correction(key)
            corrected = key in origins and label_path.is_file()
            if corrected:
                _check_space(store.correction_label_space(key), space, key)
            elif key in checked:
                # Accepted as it is: the newest prediction that there is.
                accepted = [
                    layout.layer(record.run, "labels", key)
                    for record in runs
                    if layout.layer(record.run, "labels", key).is_file()
                ]
                if not accepted:
                    continue
                label_path = accepted[-1]
            else:
                continue
            predicted = entropy = None
            if corrected and key not in checked and source not in (None, GROUND_TRUTH):
                predicted = _existing(layout.layer(str(source), "labels", key))
                entropy = _existing(layout.layer(str(source), "entropy", key))
            height, width = read_image_size(sample.image_path)
            size = target_size(height, width, checkpoint.preprocessing)
            found.append(
                CorrectedSample(key, sample.image_path, label_path, predicted, entropy, size)
            )
    return found


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


def _check_space(found: LabelSpace | None, wanted: LabelSpace, sample_id: str) -> None:
    if found is not None and found.names != wanted.names:
        raise TrainingError(
            f"The correction of {sample_id} is in the label space {found.name}, but the model "
            f"knows the classes of {wanted.name}; fine-tune a model of {found.name}."
        )


def _confusions(
    checkpoint: Checkpoint,
    data: CorrectedImages,
    device: str,
    stage: str,
    report: Report,
    cancelled: Callable[[], bool],
) -> NDArray[np.int64]:
    """Return the (S, C, C + 1) confusions of the held-out images, as a run predicts them."""
    from segstudio.inference.model import Model
    from segstudio.metrics.confusion import confusion_matrix

    model = Model(checkpoint, device=device, precision="fp32")
    space = data.label_space
    found = []
    for index in range(len(data)):
        report(stage, index, len(data), None)
        if cancelled():
            raise CancelledError(STOPPED)
        image, target = data.read_whole(index)
        prediction = model.predict(image).label_map.astype(space.dtype)
        found.append(
            confusion_matrix(target, prediction, len(space), ignore_index=space.ignore_index)
        )
    return np.stack(found)


def _train(
    request: FinetuneRequest,
    checkpoint: Checkpoint,
    space: LabelSpace,
    learned: list[CorrectedSample],
    judges: list[CorrectedSample],
    folder: Path,
    report: Report,
    cancelled: Callable[[], bool],
) -> Path:
    from segstudio.training.finetune import CorrectedImages, frozen_parts
    from segstudio.training.plan import TrainPlan, TrainProgress
    from segstudio.training.trainer import train

    options = request.options
    plan = TrainPlan(
        architecture=checkpoint.architecture,
        architecture_options=checkpoint.options,
        training=CorrectedImages(learned, space, pixels=options.pixels),
        validation=None,
        folder=folder,
        options=options.recipe(),
        preprocessing=checkpoint.preprocessing,
        card={
            "fine_tuned_from": checkpoint.path.name,
            "base_card": dict(checkpoint.card),
            "project": str(request.project),
            "pixels": options.pixels,
            "freeze": options.freeze,
            "learned": [sample.sample_id for sample in learned],
            "held_out": [sample.sample_id for sample in judges],
        },
        initial=checkpoint.state_dict,
        frozen=frozen_parts(
            checkpoint.architecture, checkpoint.options, len(space), options.freeze
        ),
        freeze_norms=options.freeze != "none",
    )

    def told(news: Any) -> None:
        if isinstance(news, TrainProgress):
            report("Fine-tuning", news.step, news.steps, news.seconds_left)

    try:
        return train(plan, told, cancelled=cancelled)
    except CancelledError as error:
        raise CancelledError(STOPPED) from error


def _kept(
    request: FinetuneRequest,
    result: FinetuneReport,
    best: Path,
    standing: NDArray[np.int64],
    seconds: float,
) -> FinetuneReport:
    """Write the checkpoint when it is better than what stands, or wanted all the same."""
    from segstudio.checkpoints.native import load_native, save_native
    from segstudio.metrics.scores import mean_iou

    before, after = result.mean.before or 0.0, result.mean.after or 0.0
    there = float(np.nan_to_num(mean_iou(standing.sum(0))))
    figures = (
        f"mean IoU {100 * before:.2f} before, {100 * after:.2f} after on "
        f"{len(result.held_out)} held-out images"
    )
    if there != before:
        figures += f", {100 * there:.2f} of the model that was there"
    if after <= max(before, there) and not request.replace_better:
        reason = f"The result is not better ({figures}), so {request.output} was not written."
        return dataclasses.replace(result, output=None, seconds=seconds, reason=reason)
    checkpoint = load_native(best)
    assert checkpoint is not None
    result = dataclasses.replace(
        result, seconds=seconds, reason=f"{request.output} was written: {figures}."
    )
    card = {**checkpoint.card, "fine_tuning": result.to_json()}
    save_native(request.output, dataclasses.replace(checkpoint, card=card))
    return result
