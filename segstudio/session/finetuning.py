"""Fine-tuning on a project's corrections, and whether the result is better.

Images that were corrected or checked are split by their ids: most are learned from, the others are
predicted by the model before and after, and only they decide whether the result is kept.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.atomic import make_folder
from segstudio.core.errors import TrainingError, UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.datasets.base import Dataset
from segstudio.datasets.images import read_image_size
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import Store
from segstudio.session.beginnings import GROUND_TRUTH

if TYPE_CHECKING:
    from segstudio.checkpoints.opening import Checkpoint
    from segstudio.training.finetune import CorrectedImages, CorrectedSample
    from segstudio.training.finetune_options import FinetuneOptions

__all__ = ["ClassChange", "FinetuneReport", "FinetuneRequest", "finetune"]

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


@dataclass(frozen=True)
class ClassChange:
    """IoU of a class on the held-out images, None where it is not defined.

    ``interval`` is that of the difference: 95 %, paired bootstrap over the images.
    """

    name: str
    before: float | None
    after: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class FinetuneReport:
    """What a fine-tuning came to.

    Attributes
    ----------
    output : Path or None
        The checkpoint, None when the result was worse and was not kept.
    learned, held_out : tuple of str
        Ids of the samples.
    mean : ClassChange
        The mean IoU, 0..1.
    classes : tuple of ClassChange
        Those that appear on the held-out images or in their predictions.
    seconds : float
    reason : str
        One sentence: what was decided and why.
    """

    output: Path | None
    learned: tuple[str, ...]
    held_out: tuple[str, ...]
    mean: ClassChange
    classes: tuple[ClassChange, ...] = field(default=())
    seconds: float = 0.0
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""

        def change(entry: ClassChange) -> dict[str, Any]:
            interval = None if entry.interval is None else list(entry.interval)
            return {
                "name": entry.name,
                "before": entry.before,
                "after": entry.after,
                "difference_interval": interval,
            }

        return {
            "output": None if self.output is None else str(self.output),
            "learned": list(self.learned),
            "held_out": list(self.held_out),
            "miou": change(self.mean),
            "classes": [change(entry) for entry in self.classes],
            "seconds": self.seconds,
            "reason": self.reason,
        }


def finetune(
    request: FinetuneRequest, report: Report, *, cancelled: Callable[[], bool] = lambda: False
) -> FinetuneReport:
    """Fine-tune a model on the corrections of a project; runs networks in this process.

    Raises
    ------
    TrainingError
        When there are too few corrections, or they are of other classes than the model's.
    CancelledError
        When ``cancelled`` answered true; nothing is written.
    SegStudioError
        When the model, an image or a correction cannot be read, or the result cannot be written.
    """
    from segstudio.checkpoints.opening import open_checkpoint
    from segstudio.inference.catalogue import find_model
    from segstudio.training.finetune import CorrectedImages, split_held_out

    started = time.monotonic()
    _check_output(request.output)
    path = find_model(request.model)
    checkpoint = open_checkpoint(path)
    space = _label_space(checkpoint)
    samples = _collect(request, checkpoint, space)
    learned, judges = split_held_out(samples, request.options.held_out)
    judging = CorrectedImages(judges, space, pixels="all")
    before = _confusions(checkpoint, judging, request.options.device, "before", report, cancelled)
    make_folder(request.output.parent)
    with tempfile.TemporaryDirectory(prefix=".finetune-", dir=request.output.parent) as folder:
        best = _train(request, checkpoint, space, learned, judges, Path(folder), report, cancelled)
        tuned = open_checkpoint(best)
        after = _confusions(tuned, judging, request.options.device, "after", report, cancelled)
        result = _judge(request, space, learned, judges, before, after)
        result = _kept(request, result, best, time.monotonic() - started)
    return result


def _check_output(path: Path) -> None:
    if path.suffix != ".safetensors":
        raise UsageError(f"The result is a .safetensors file; {path} is called otherwise.")


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
    when: str,
    report: Report,
    cancelled: Callable[[], bool],
) -> NDArray[np.int64]:
    """Return the (S, C, C + 1) confusions of the held-out images, as a run predicts them."""
    from segstudio.core.errors import CancelledError
    from segstudio.inference.model import Model
    from segstudio.metrics.confusion import confusion_matrix

    model = Model(checkpoint, device=device, precision="fp32")
    space = data.label_space
    found = []
    for index in range(len(data)):
        report(f"Judging the model {when}", index, len(data), None)
        if cancelled():
            raise CancelledError("The fine-tuning was stopped; nothing was written.")
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
    from segstudio.core.errors import CancelledError
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
        raise CancelledError("The fine-tuning was stopped; nothing was written.") from error


def _judge(
    request: FinetuneRequest,
    space: LabelSpace,
    learned: list[CorrectedSample],
    judges: list[CorrectedSample],
    before: NDArray[np.int64],
    after: NDArray[np.int64],
) -> FinetuneReport:
    from segstudio.metrics.scores import bootstrap_interval, iou, mean_iou

    def change(name: str, old: Any, new: Any, low: Any, high: Any) -> ClassChange:
        values = [float(value) for value in (old, new, low, high)]
        old, new, low, high = (value if math.isfinite(value) else None for value in values)
        interval = None if low is None or high is None else (low, high)
        return ClassChange(name, old, new, interval)

    sums = before.sum(0), after.sum(0)
    mean_low, mean_high = bootstrap_interval(after, mean_iou, other=before)
    lows, highs = bootstrap_interval(after, iou, other=before)
    each = [iou(entry) for entry in sums]
    classes = tuple(
        change(name, each[0][index], each[1][index], lows[index], highs[index])
        for index, name in enumerate(space.names)
        if np.isfinite(each[0][index]) or np.isfinite(each[1][index])
    )
    means = [float(mean_iou(entry)) for entry in sums]
    return FinetuneReport(
        request.output,
        tuple(sample.sample_id for sample in learned),
        tuple(sample.sample_id for sample in judges),
        change("mean IoU", means[0], means[1], mean_low, mean_high),
        classes,
    )


def _kept(
    request: FinetuneRequest, result: FinetuneReport, best: Path, seconds: float
) -> FinetuneReport:
    """Write the checkpoint when it is better, or wanted all the same."""
    import dataclasses

    from segstudio.checkpoints.native import load_native, save_native

    before, after = result.mean.before or 0.0, result.mean.after or 0.0
    count = len(result.held_out)
    figures = (
        f"mean IoU {100 * before:.2f} before, {100 * after:.2f} after on {count} held-out images"
    )
    if after <= before and not request.replace_better:
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
