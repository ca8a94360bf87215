"""What a training is built from: optimizer, learning rate, class weights, arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from segstudio.checkpoints.devices import automatic_precision
from segstudio.training.recipe import TrainOptions

__all__ = ["build_optimizer", "choose_precision", "class_weights", "learning_rate"]

_TYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def class_weights(counts: NDArray[np.int64], kind: str, power: float) -> NDArray[np.float64]:
    """Return weights of mean 1 over the classes that appear.

    Parameters
    ----------
    counts : ndarray of shape (2, C)
        As `class_pixel_counts` returns.
    kind : str
        "enet": ``1 / ln(1.02 + p)`` with p the class's share of the labelled pixels (Paszke et
        al. 2016). "median": median frequency over frequency, frequencies taken over the samples
        that hold the class (Eigen and Fergus 2015).
    power : float
        Exponent on the weights.

    Returns
    -------
    ndarray of shape (C,), float64
        A class without a pixel gets weight 1.
    """
    present = counts[0] > 0
    weights = np.ones(counts.shape[1], np.float64)
    if kind == "enet":
        share = counts[0] / max(1, counts[0].sum())
        weights[present] = 1.0 / np.log(1.02 + share[present])
    else:
        frequency = counts[0][present] / counts[1][present]
        weights[present] = np.median(frequency) / frequency
    weights **= power
    weights[present] /= weights[present].mean()
    weights[~present] = 1.0
    return weights


def build_optimizer(modules: Iterable[nn.Module], options: TrainOptions) -> torch.optim.Optimizer:
    """Return the optimizer of a recipe over the parameters of modules that are not frozen."""
    # Norms, biases and PReLU slopes are not decayed: pulling them to zero regularises nothing.
    entries = [entry for module in modules for entry in module.parameters() if entry.requires_grad]
    groups: list[dict[str, Any]] = [
        {
            "params": [entry for entry in entries if entry.ndim > 1],
            "weight_decay": options.weight_decay,
        },
        {"params": [entry for entry in entries if entry.ndim <= 1], "weight_decay": 0.0},
    ]
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=options.learning_rate, momentum=options.momentum)
    return torch.optim.AdamW(groups, lr=options.learning_rate, betas=(options.momentum, 0.999))


def learning_rate(options: TrainOptions, step: int, steps: int) -> float:
    """Return the learning rate of a step.

    Parameters
    ----------
    options : TrainOptions
    step : int
        From 0.
    steps : int
        Of the whole training.
    """
    if step < options.warmup:
        return options.learning_rate * (step + 1) / options.warmup
    if options.schedule == "cosine":
        done = (step - options.warmup) / max(1, steps - options.warmup)
        return options.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
    return float(options.learning_rate * (1 - step / steps) ** options.power)


def choose_precision(name: str, device: torch.device) -> torch.dtype | None:
    """Return the autocast type of "auto", "fp32", "bf16" or "fp16"; None for fp32."""
    return _TYPES[automatic_precision(device) if name == "auto" else name]
