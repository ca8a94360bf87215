"""The training loop: resumable, cancellable, reporting."""

from __future__ import annotations

import copy
import json
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segstudio.architectures._base import ARCHITECTURES, SegmentationNetwork
from segstudio.checkpoints.native import NativeCheckpoint, save_native, state_dict_of
from segstudio.core.atomic import make_folder, replacing
from segstudio.core.errors import (
    CancelledError,
    NotACheckpointError,
    TrainingError,
    UsageError,
    WriteError,
)
from segstudio.core.options import options_to_json
from segstudio.core.preprocessing import Preprocessing
from segstudio.metrics.confusion import confusion_matrix
from segstudio.metrics.scores import mean_iou
from segstudio.training.building import (
    build_optimizer,
    choose_device,
    choose_precision,
    class_weights,
)
from segstudio.training.data import Batch, LabelledImages, class_pixel_counts, iterate_batches
from segstudio.training.recipe import TrainOptions

__all__ = ["TrainPlan", "TrainProgress", "Validation", "train"]

_STATE = "state.pt"
_PACE_STEPS = 50
"""The time left is told from the pace of so many steps."""


@dataclass(frozen=True)
class TrainPlan:
    """What to train, on what, where to.

    Attributes
    ----------
    architecture : str
        Name in the registry.
    architecture_options : object
        Its Options.
    training, validation : LabelledImages
        ``validation`` may be None: then the last weights are the best ones.
    folder : Path
        Where checkpoints and the log go.
    options : TrainOptions
        The recipe.
    preprocessing : Preprocessing
        Becomes part of the checkpoint.
    card : dict
        Written to the checkpoint's card (data, command, licence note).
    initial : dict of str to Tensor, optional
        Weights to start from; None starts from the architecture's random ones.
    """

    architecture: str
    architecture_options: Any
    training: LabelledImages
    validation: LabelledImages | None
    folder: Path
    options: TrainOptions
    preprocessing: Preprocessing
    card: dict[str, Any]
    initial: dict[str, Tensor] | None = None


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """News of a step; ``seconds_left`` is None before it can be told."""

    step: int
    steps: int
    epoch: int
    loss: float
    learning_rate: float
    seconds_left: float | None


@dataclass(frozen=True, slots=True)
class Validation:
    """News of a validation; ``miou`` is pooled, 0..1."""

    epoch: int
    step: int
    miou: float
    best_miou: float


Report = Callable[[TrainProgress | Validation], None]


def train(
    plan: TrainPlan, report: Report, *, cancelled: Callable[[], bool] = lambda: False
) -> Path:
    """Train, resuming when the folder holds the same training unfinished.

    Returns
    -------
    Path
        The best checkpoint, ``folder/best.safetensors``.

    Raises
    ------
    UsageError
        When the folder holds a training with other options.
    TrainingError
        When the loss is not finite; the message names the samples of the step.
    CancelledError
        When ``cancelled`` answered true; the state is saved and the training can be resumed.
    WriteError
        When a checkpoint cannot be written.
    """
    run = _Training(plan, report)
    run.resume()
    return run.loop(cancelled)


class _Training:
    """State of one training: network, optimizer, moving average, step, best figure."""

    def __init__(self, plan: TrainPlan, report: Report) -> None:
        self.plan = plan
        self.options = plan.options
        self.report = report
        make_folder(plan.folder)
        self.device = choose_device(self.options.device)
        self.autocast = choose_precision(self.options.precision, self.device)
        torch.manual_seed(self.options.seed)
        network = ARCHITECTURES.get(plan.architecture)(
            len(plan.training.label_space), plan.architecture_options
        )
        if not network.trainable:
            raise UsageError(
                f"{plan.architecture} with these options learns from more than label maps, so it "
                "cannot be trained here."
            )
        if plan.initial is not None:
            network.load_state_dict(plan.initial, strict=False)  # batch counters are not kept
        self.network: SegmentationNetwork = network.to(self.device)
        self.network.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network) if self.options.ema else None
        self.optimizer = build_optimizer(self.network, self.options)
        self.weights = self._class_weights()
        self.mean = torch.tensor(plan.preprocessing.mean, device=self.device).view(1, 3, 1, 1)
        self.std = torch.tensor(plan.preprocessing.std, device=self.device).view(1, 3, 1, 1)
        self.steps_per_epoch = math.ceil(len(plan.training) / self.options.batch)
        self.steps = self.steps_per_epoch * self.options.epochs
        self.step = 0
        self.best = -1.0
        self._loss = torch.compile(self._plain_loss) if self.options.compile else self._plain_loss

    # -- the loop ---------------------------------------------------------------------------

    def loop(self, cancelled: Callable[[], bool]) -> Path:
        """Run the steps that are left; see `train`."""
        times: deque[float] = deque(maxlen=_PACE_STEPS)
        for batch in iterate_batches(
            self.plan.training, self.options, first_step=self.step, steps=self.steps
        ):
            loss = self._train_step(batch)
            self.step = batch.step + 1
            times.append(time.monotonic())
            left = None
            if len(times) > 3:  # the first steps compile and warm up
                left = (times[-1] - times[0]) / (len(times) - 1) * (self.steps - self.step)
            epoch = self.step // self.steps_per_epoch
            rate = self.optimizer.param_groups[0]["lr"]
            self.report(TrainProgress(self.step, self.steps, epoch, loss, rate, left))
            if self.step % self.steps_per_epoch == 0:
                self._log({"epoch": epoch, "step": self.step, "loss": loss, "learning_rate": rate})
                if epoch % self.options.validate_every == 0 or self.step == self.steps:
                    self._validate(epoch)
            if self.step % self.options.checkpoint_every == 0 or self.step == self.steps:
                self._save_state()
            if cancelled():
                self._save_state()
                raise CancelledError(
                    f"The training was stopped at step {self.step} of {self.steps}; "
                    f"start it again with the same folder {self.plan.folder} to go on."
                )
        best = self.plan.folder / "best.safetensors"
        if not best.exists():
            self._save_weights(best, {})
        return best

    def _train_step(self, batch: Batch) -> float:
        torch.manual_seed(hash((self.options.seed, batch.step)) & 0x7FFFFFFF)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(batch.step)
        self.network.train()
        image = torch.from_numpy(batch.images).to(self.device).permute(0, 3, 1, 2).float()
        image = ((image - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        target = torch.from_numpy(batch.label_maps.astype(np.int64)).to(self.device)
        loss: Tensor = self._loss(image, target)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"The loss became {value} at step {batch.step} on the samples "
                f"{', '.join(batch.sample_ids)}; try a lower learning rate or fp32."
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self._update_average()
        return value

    def _plain_loss(self, image: Tensor, target: Tensor) -> Tensor:
        enabled = self.autocast is not None
        dtype = self.autocast or torch.bfloat16
        with torch.autocast(self.device.type, dtype=dtype, enabled=enabled):
            logits = self.network.logits(image)
        ignore_index = self.plan.training.label_space.ignore_index
        total = F.cross_entropy(
            logits.float(),
            target,
            weight=self.weights,
            ignore_index=ignore_index,
            label_smoothing=self.options.label_smoothing,
            reduction="sum",
        )
        # The weighted mean, but 0 rather than NaN when every pixel of the batch is ignored.
        labelled = target != ignore_index
        if self.weights is None:
            return total / labelled.sum().clamp(min=1)
        share = self.weights[target.masked_fill(~labelled, 0)] * labelled
        return total / share.sum().clamp(min=1e-6)

    def _learning_rate(self, step: int) -> float:
        if step < self.options.warmup:
            return self.options.learning_rate * (step + 1) / self.options.warmup
        return self.options.learning_rate * (1 - step / self.steps) ** self.options.power

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average is None:
            return
        # The early average follows the weights closely, or it would remember the random start.
        decay = min(self.options.ema, (1 + self.step) / (10 + self.step))
        current = self.network.state_dict()
        for key, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(current[key], 1 - decay)
            else:
                value.copy_(current[key])

    def _class_weights(self) -> Tensor | None:
        counts = class_pixel_counts(self.plan.training)
        if not counts[0].any():
            raise TrainingError(
                "Every pixel of the training samples is ignored, so there is nothing to learn; "
                "check the masks and their label space."
            )
        if self.options.class_weights == "none":
            return None
        weights = class_weights(counts, self.options.class_weights, self.options.class_weight_power)
        return torch.from_numpy(weights).float().to(self.device)

    # -- validation and files ---------------------------------------------------------------

    @torch.inference_mode()
    def _validate(self, epoch: int) -> None:
        data = self.plan.validation
        if data is None:
            return
        network = self.average if self.average is not None else self.network
        network.eval()
        space = data.label_space
        total = np.zeros((len(space), len(space) + 1), np.int64)
        for index in range(len(data)):
            pixels, target = data.read(index)
            image = torch.from_numpy(pixels).to(self.device).permute(2, 0, 1)[None].float()
            logits = network.logits((image - self.mean) / self.std)
            prediction = logits[0].argmax(0).cpu().numpy().astype(space.dtype)
            total += confusion_matrix(
                target, prediction, len(space), ignore_index=space.ignore_index
            )
        # No pixel of the validation set may be labelled: nothing was found then.
        miou = float(np.nan_to_num(mean_iou(total)))
        if miou > self.best:
            self.best = miou
            figures = {"validation_miou": miou, "epoch": epoch, "step": self.step}
            self._save_weights(self.plan.folder / "best.safetensors", figures)
        self._log({"epoch": epoch, "step": self.step, "validation_miou": miou})
        self.report(Validation(epoch, self.step, miou, self.best))

    def _save_weights(self, path: Path, figures: dict[str, Any]) -> None:
        network = self.average if self.average is not None else self.network
        checkpoint = NativeCheckpoint(
            architecture=self.plan.architecture,
            options=options_to_json(self.plan.architecture_options),
            label_space=self.plan.training.label_space,
            preprocessing=self.plan.preprocessing,
            state_dict=state_dict_of(network),
            card={**self.plan.card, "recipe": asdict(self.options), **figures},
        )
        save_native(path, checkpoint)

    def _identity(self) -> str:
        """Everything that must not change between the parts of one training."""
        return json.dumps(
            {
                "architecture": self.plan.architecture,
                "architecture_options": options_to_json(self.plan.architecture_options),
                "classes": self.plan.training.label_space.names,
                "samples": len(self.plan.training),
                "recipe": {
                    key: value
                    for key, value in asdict(self.options).items()
                    if key not in {"device", "checkpoint_every", "validate_every", "compile"}
                },
            },
            sort_keys=True,
        )

    def _save_state(self) -> None:
        state = {
            "identity": self._identity(),
            "step": self.step,
            "best": self.best,
            "network": self.network.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
            "optimizer": self.optimizer.state_dict(),
        }
        with replacing(self.plan.folder / _STATE) as temporary:
            torch.save(state, temporary)

    def resume(self) -> None:
        """Take up the state in the folder, if there is one."""
        path = self.plan.folder / _STATE
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            identity = state["identity"]
        except Exception as error:  # torch.load raises nearly anything on damaged files
            raise NotACheckpointError(
                f"{path} is damaged ({type(error).__name__}); remove it to start again."
            ) from error
        if identity != self._identity():
            raise UsageError(
                f"{self.plan.folder} holds a training with other options; "
                "choose another folder, or repeat the options to go on."
            )
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.best = int(state["step"]), float(state["best"])

    def _log(self, entry: dict[str, Any]) -> None:
        path = self.plan.folder / "log.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise WriteError.from_os_error(path, error) from error
