"""What a training is built from: optimizer, class weights, device and arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from segstudio.core.errors import UsageError
from segstudio.training.recipe import TrainOptions

__all__ = ["build_optimizer", "choose_device", "choose_precision", "class_weights"]


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


def build_optimizer(network: nn.Module, options: TrainOptions) -> torch.optim.Optimizer:
    """Return the optimizer of a recipe over a network's parameters."""
    # Norms, biases and PReLU slopes are not decayed: pulling them to zero regularises nothing.
    decayed = [entry for entry in network.parameters() if entry.ndim > 1]
    plain = [entry for entry in network.parameters() if entry.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": options.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=options.learning_rate, momentum=options.momentum)
    return torch.optim.AdamW(groups, lr=options.learning_rate, betas=(options.momentum, 0.999))


def choose_device(name: str) -> torch.device:
    """Return the device of "auto" (the fastest there is), "cpu", "cuda", "cuda:N" or "mps".

    Raises
    ------
    UsageError
        When this machine cannot use it.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"The device {name!r} cannot be used on this machine.") from error
    return device


def choose_precision(name: str, device: torch.device) -> torch.dtype | None:
    """Return the autocast type, None for fp32."""
    if name == "bf16":
        return torch.bfloat16
    if name == "fp32":
        return None
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else None
    if device.type == "cpu":
        # Without these instructions bf16 is emulated and slower than fp32.
        return torch.bfloat16 if _cpu_has_bf16() else None
    return None


def _cpu_has_bf16() -> bool:
    """Return whether the processor multiplies bf16 natively (AVX512-BF16 or AMX)."""
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in names)
