"""Devices and precisions as inference means them; the devices themselves are one floor down."""

from __future__ import annotations

import torch

from segstudio.checkpoints.devices import (
    automatic_precision,
    available_devices,
    choose_device,
)
from segstudio.core.errors import UsageError

__all__ = ["automatic_precision", "available_devices", "choose_device", "choose_precision"]


def choose_precision(name: str, device: torch.device, *, exact: bool = False) -> str:
    """Return "fp32", "bf16" or "fp16" for a user's "auto" or one of these.

    "auto" is the fastest precision that keeps the labels of a trained network in 99.5 % of the
    pixels, see `automatic_precision`.

    Parameters
    ----------
    name : str
    device : torch.device
    exact : bool
        Whether "auto" has to be fp32.

    Raises
    ------
    UsageError
        When the name is unknown or the device cannot do it.
    """
    if name == "auto":
        return "fp32" if exact else automatic_precision(device)
    if name not in {"fp32", "bf16", "fp16"}:
        raise UsageError(f"A precision is auto, fp32, bf16 or fp16, not {name!r}.")
    if name == "fp16" and device.type == "cpu":
        raise UsageError("The precision fp16 needs a GPU; use fp32 or bf16 on the CPU.")
    return name
