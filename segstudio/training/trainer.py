"""The training loop: resumable, cancellable, reporting."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segstudio.architectures._base import ARCHITECTURES, SegmentationNetwork
from segstudio.checkpoints.devices import choose_device
from segstudio.checkpoints.native import NativeCheckpoint, save_native, state_dict_of
from segstudio.core.atomic import make_folder
from segstudio.core.errors import CancelledError, TrainingError, UsageError
from segstudio.core.options import options_to_json
from segstudio.training.building import (
    build_optimizer,
    choose_precision,
    class_weights,
    learning_rate,
)
from segstudio.training.data import Batch, class_pixel_counts, iterate_batches
from segstudio.training.distributed import Crew, joined
from segstudio.training.losses import PixelLoss
from segstudio.training.modes import build_objective, moving_average_of
from segstudio.training.objective import Normaliser, Parts
from segstudio.training.plan import (
    Report,
    TrainNotice,
    TrainPlan,
    TrainProgress,
    Validation,
)
from segstudio.training.record import Record
from segstudio.training.state import STATE_NAME, load_state, save_state
from segstudio.training.validation import pooled_miou

__all__ = ["TrainNotice", "TrainPlan", "TrainProgress", "Validation", "train"]

_PACE_STEPS = 50
"""The time left is told from the pace of so many steps."""


def train(
    plan: TrainPlan, report: Report, *, cancelled: Callable[[], bool] = lambda: False
) -> Path:
    """Train, resuming when the folder holds the same training unfinished.

    Started by torchrun, the processes share the work of every step; the first one writes.

    Returns
    -------
    Path
        The best checkpoint, ``folder/best.safetensors``.

    Raises
    ------
    UsageError
        When the folder holds a training with other options, or the plan does not fit together.
    TrainingError
        When the loss is not finite (the message names the samples of the step), the memory does
        not suffice, or there is nothing to learn.
    CancelledError
        When ``cancelled`` answered true; the state is saved and the training can be resumed.
    WriteError
        When a checkpoint cannot be written; the one before stays.
    """
    with joined(cuda=torch.cuda.is_available() and plan.options.device != "cpu") as crew:
        run = _Training(plan, report, crew)
        run.resume()
        return run.loop(cancelled)


class _Training:
    """State of one training: network, optimizer, moving average, step, best figure."""

    def __init__(self, plan: TrainPlan, report: Report, crew: Crew | None = None) -> None:
        self.plan = plan
        self.options = plan.options
        self.crew = Crew() if crew is None else crew
        self.report: Report = report if self.crew.leads else lambda news: None
        make_folder(plan.folder)
        self.device = self._device()
        torch.manual_seed(self.options.seed)
        self.network = self._network()
        self.ema = moving_average_of(plan)
        self.average = copy.deepcopy(self.network) if self.ema else None
        weights = self._class_weights()
        self.weights = weights
        autocast = choose_precision(self.options.precision, self.device)
        self.normalise = Normaliser(plan.preprocessing, self.device)
        per_step = self.options.batch * self.options.accumulate * self.crew.size
        self.steps_per_epoch = math.ceil(plan.training.epoch_length / per_step)
        self.steps = self.steps_per_epoch * self.options.epochs
        loss = PixelLoss(
            self.options, weights=weights, ignore_index=plan.training.label_space.ignore_index
        )
        self.objective = build_objective(
            Parts(
                plan,
                self.network,
                self.average,
                loss,
                self.normalise,
                self.device,
                autocast,
                self.crew,
                self.steps,
            )
        )
        self.optimizer = build_optimizer(self.objective.modules(), self.options)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=autocast == torch.float16)
        self.step = 0
        self.best = -1.0
        self.stale = 0
        self.losses: list[float] = []

    def _device(self) -> torch.device:
        device = choose_device(self.options.device)
        if device.type == "cuda" and self.crew.size > 1:
            device = torch.device("cuda", self.crew.local_rank)
            torch.cuda.set_device(device)
        return device

    def _network(self) -> SegmentationNetwork:
        plan = self.plan
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
        for name in plan.frozen:
            network.get_submodule(name).requires_grad_(False)
        if self.crew.size > 1 and self.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        network = network.to(self.device)
        network.to(memory_format=torch.channels_last)
        return network

    # -- the loop ---------------------------------------------------------------------------

    def loop(self, cancelled: Callable[[], bool]) -> Path:
        """Run the steps that are left; see `train`."""
        writes = self.crew.leads and not self._is_over()
        record = Record(self.plan.folder, self.step + 1) if writes else None
        self._record = record
        batches = iterate_batches(
            self.plan.training,
            self.options,
            first_step=self.step,
            steps=self.step if self._is_over() else self.steps,
            rank=self.crew.rank,
            size=self.crew.size,
        )
        try:
            with record or contextlib.nullcontext():
                self._run(batches, cancelled)
        finally:
            batches.close()  # type: ignore[attr-defined]
            self.objective.close()
        best = self.plan.folder / "best.safetensors"
        if self.crew.leads and not best.exists():
            self._save_weights(best, {})
        return best

    def _run(self, batches: Any, cancelled: Callable[[], bool]) -> None:
        times: deque[float] = deque(maxlen=_PACE_STEPS)
        for batch in batches:
            loss = self._train_step(batch)
            self.step = batch.step + 1
            self.losses.append(loss)
            times.append(time.monotonic())
            left = None
            if len(times) > 3:  # the first steps compile and warm up
                left = (times[-1] - times[0]) / (len(times) - 1) * (self.steps - self.step)
            epoch = self.step // self.steps_per_epoch
            rate = self.optimizer.param_groups[0]["lr"]
            self.report(TrainProgress(self.step, self.steps, epoch, loss, rate, left))
            if self.step % self.steps_per_epoch == 0:
                self._end_epoch(epoch, loss, rate)
            if self.step % self.options.checkpoint_every == 0 or self._is_over():
                self._save_state()
            if self._is_over():
                return
            if self.crew.any(cancelled(), self.device):
                self._save_state()
                raise CancelledError(
                    f"The training was stopped at step {self.step} of {self.steps}; "
                    f"start it again with the same folder {self.plan.folder} to go on."
                )

    def _is_over(self) -> bool:
        patience = self.options.patience
        return self.step >= self.steps or bool(patience and self.stale >= patience)

    def _end_epoch(self, epoch: int, loss: float, rate: float) -> None:
        mean = sum(self.losses) / len(self.losses)
        self._write(
            {
                "epoch": epoch,
                "step": self.step,
                "loss": loss,
                "mean_loss": mean,
                "learning_rate": rate,
            }
        )
        self.losses = []
        if epoch % self.options.validate_every == 0 or self.step == self.steps:
            self._validate(epoch)

    def _train_step(self, batch: Batch) -> float:
        torch.manual_seed(hash((self.options.seed, batch.step)) & 0x7FFFFFFF)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.options, *self.objective.phase(batch.step))
        self._set_training()
        self.optimizer.zero_grad(set_to_none=True)
        own = self._backward(batch)
        value = float(self.crew.sum(own.clone()))
        if not math.isfinite(value):
            names = ", ".join(batch.sample_ids)
            whose = "" if not math.isfinite(float(own)) else "of another process, not "
            raise TrainingError(
                f"The loss became {value} at step {batch.step} on the samples {whose}{names}; "
                "try a lower learning rate or fp32."
            )
        parameters = [entry for group in self.optimizer.param_groups for entry in group["params"]]
        self.crew.sum_gradients(parameters)
        if self.options.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(parameters, self.options.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        for module in self.objective.modules():
            self.crew.mean_buffers(module)
        self._update_average()
        self.objective.after_step(batch)
        return value

    def _backward(self, batch: Batch) -> Tensor:
        """Compute gradients; what can go wrong inside a network becomes one sentence."""

        def backward(loss: Tensor) -> None:
            if loss.requires_grad and bool(torch.isfinite(loss)):
                self.scaler.scale(loss).backward()

        try:
            return self.objective.backward(batch, backward)
        except torch.OutOfMemoryError as error:
            raise self._no_memory() from error
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise TrainingError(
                f"{self.plan.architecture} normalises over the images of a batch and cannot learn "
                "from one image at a time; use --batch 2 or more."
            ) from error
        except RuntimeError as error:
            if "memory" not in str(error):
                raise
            raise self._no_memory() from error

    def _no_memory(self) -> TrainingError:
        return TrainingError(
            f"The memory of {self.device} does not suffice for {self.options.batch} crops of "
            f"{self.options.crop_height} x {self.options.crop_width} pixels; use a smaller --batch "
            "with a larger --accumulate, or smaller crops."
        )

    def _set_training(self) -> None:
        for module in self.objective.modules():
            module.train()
        if self.plan.freeze_norms:
            for entry in self.network.modules():
                if isinstance(entry, nn.modules.batchnorm._BatchNorm):
                    entry.eval()

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average is None:
            return
        # The early average follows the weights closely, or it would remember the random start.
        decay = min(self.ema, (1 + self.step) / (10 + self.step))
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
        names = self.plan.training.label_space.names
        absent = [name for name, count in zip(names, counts[0], strict=True) if not count]
        if absent:
            shown = ", ".join(absent[:5]) + (" and others" if len(absent) > 5 else "")
            self.report(
                TrainNotice(f"No training mask has a pixel of {shown}: it will not be learned.")
            )
        if self.options.class_weights == "none":
            return None
        weights = class_weights(counts, self.options.class_weights, self.options.class_weight_power)
        return torch.from_numpy(weights).float().to(self.device)

    # -- validation and files ---------------------------------------------------------------

    def _validate(self, epoch: int) -> None:
        data = self.plan.validation
        if data is None:
            return
        network = self.average if self.average is not None else self.network
        miou = pooled_miou(network, data, self.normalise, self.crew)
        self.stale = 0 if miou > self.best else self.stale + 1
        if miou > self.best:
            self.best = miou
            figures = {"validation_miou": miou, "epoch": epoch, "step": self.step}
            self._save_weights(self.plan.folder / "best.safetensors", figures)
        self._write({"epoch": epoch, "step": self.step, "validation_miou": miou})
        self.report(Validation(epoch, self.step, miou, self.best))
        if self._is_over() and self.step < self.steps:
            self.report(
                TrainNotice(
                    f"Stopped early: {self.stale} validations in a row without a better mIoU."
                )
            )

    def _write(self, entry: dict[str, Any]) -> None:
        if self._record is not None:
            self._record.write(entry)

    def _save_weights(self, path: Path, figures: dict[str, Any]) -> None:
        if not self.crew.leads:
            return
        network = self.average if self.average is not None else self.network
        card = {**self.plan.card, "recipe": asdict(self.options), "mode": self.plan.mode}
        checkpoint = NativeCheckpoint(
            architecture=self.plan.architecture,
            options=options_to_json(self.plan.architecture_options),
            label_space=self.plan.training.label_space,
            preprocessing=self.plan.preprocessing,
            state_dict=state_dict_of(network),
            card={**card, **figures},
        )
        save_native(path, checkpoint)

    def _save_state(self) -> None:
        if not self.crew.leads:
            return
        values: dict[str, Any] = {
            "step": self.step,
            "best": self.best,
            "stale": self.stale,
            "losses": self.losses,
            "network": self.network.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "objective": self.objective.state(),
        }
        path = self.plan.folder / STATE_NAME
        save_state(path, self.plan, values, processes=self.crew.size)

    def resume(self) -> None:
        """Take up the state in the folder, if there is one."""
        path = self.plan.folder / STATE_NAME
        state = load_state(path, self.plan, device=self.device, processes=self.crew.size)
        if state is None:
            return
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state.get("scaler", {}))
        self.objective.load_state(state.get("objective", {}))
        self.step, self.best = int(state["step"]), float(state["best"])
        self.stale = int(state.get("stale", 0))
        self.losses = [float(value) for value in state.get("losses", [])]
