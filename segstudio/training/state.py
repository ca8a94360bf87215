"""The resumable state of a training: one file, replaced as a whole."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import torch

from segstudio.core.atomic import replacing
from segstudio.core.errors import NotACheckpointError, UsageError, WriteError
from segstudio.core.options import options_to_json
from segstudio.core.preprocessing import Preprocessing
from segstudio.training.plan import TrainPlan
from segstudio.training.recipe import TrainOptions

__all__ = ["STATE_NAME", "identity_of", "load_state", "save_state"]

STATE_NAME = "state.pt"

_FREE_TO_CHANGE = {"device", "checkpoint_every", "validate_every", "compile", "patience"}
"""Options that do not change what a step computes."""
_OLDEST = {
    "batch",
    "class_weight_power",
    "class_weights",
    "color_jitter",
    "crop_height",
    "crop_width",
    "ema",
    "epochs",
    "label_smoothing",
    "learning_rate",
    "momentum",
    "optimizer",
    "power",
    "precision",
    "scale_maximum",
    "scale_minimum",
    "seed",
    "warmup",
    "weight_decay",
}
"""Options that every state names.  Later ones are named where they are not at their default, so
that a state from before they existed is still the same training."""


def identity_of(plan: TrainPlan, *, processes: int = 1) -> dict[str, Any]:
    """Return everything that must not change between the parts of one training."""
    defaults = asdict(TrainOptions())
    recipe = {
        key: value
        for key, value in asdict(plan.options).items()
        if key not in _FREE_TO_CHANGE and (key in _OLDEST or value != defaults[key])
    }
    identity: dict[str, Any] = {
        "architecture": plan.architecture,
        "architecture_options": options_to_json(plan.architecture_options),
        "classes": plan.training.label_space.names,
        "samples": len(plan.training),
        "recipe": recipe,
    }
    usual = Preprocessing()
    preprocessing = plan.preprocessing
    later = {
        "epoch_length": (plan.training.epoch_length, len(plan.training)),
        "mode": (plan.mode, "supervised"),
        "unlabelled": (len(plan.unlabelled) if plan.unlabelled is not None else 0, 0),
        "teacher": (plan.teacher.digest if plan.teacher is not None else "", ""),
        "frozen": (list(plan.frozen), []),
        "freeze_norms": (plan.freeze_norms, False),
        "processes": (processes, 1),
        "mean": (preprocessing.mean, usual.mean),
        "std": (preprocessing.std, usual.std),
        "channel_order": (preprocessing.channel_order, usual.channel_order),
    }
    identity.update({key: value for key, (value, before) in later.items() if value != before})
    return identity


def save_state(path: Path, plan: TrainPlan, values: Mapping[str, Any], *, processes: int) -> None:
    """Write a state in place of the old one.

    Raises
    ------
    WriteError
        When it cannot be written; the old one stays.
    """
    identity = json.dumps(identity_of(plan, processes=processes), sort_keys=True)
    with replacing(path) as temporary, temporary.open("wb") as file:
        told = _Errors(file)
        try:
            torch.save({"identity": identity, **values}, told)  # type: ignore[arg-type]
        except Exception as error:
            if told.first is None:
                raise
            if told.first.errno == errno.ENOSPC:
                raise WriteError(
                    f"Cannot write {path}: the disk is full; free some space and start the "
                    "training again to go on from the last checkpoint."
                ) from error
            raise told.first from error


class _Errors:
    """A file that remembers why it could not be written: torch makes another error of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.first: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.first = self.first or error
            raise

    def flush(self) -> None:
        self._file.flush()


def load_state(
    path: Path, plan: TrainPlan, *, device: torch.device, processes: int
) -> dict[str, Any] | None:
    """Return the state that a training of the same options left, None when there is none.

    Raises
    ------
    NotACheckpointError
        When the file is damaged.
    UsageError
        When it is of a training with other options; the message names what differs.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        identity = json.loads(state["identity"])
        step = int(state["step"])
    except Exception as error:  # torch.load raises nearly anything on damaged files
        raise NotACheckpointError(
            f"{path} is damaged ({type(error).__name__}); remove it to start again."
        ) from error
    differences = _differences(identity, identity_of(plan, processes=processes))
    if differences:
        raise UsageError(
            f"{path.parent} holds a training with other options at step {step} "
            f"({'; '.join(differences)}); choose another folder, or repeat the options to go on."
        )
    return state


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return "name was X, is Y" of what differs, nested mappings flattened."""
    found = []
    for key in sorted({*then, *now}):
        before, after = then.get(key), now.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found += _differences(before, after)
        elif before != json.loads(json.dumps(after)):
            found.append(f"{key} was {_said(before)}, is {_said(after)}")
    return found


def _said(value: Any) -> str:
    text = "the default" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
