"""Devices and precisions: what the machine has, and what a user's word means on it."""

from __future__ import annotations

import torch

from segstudio.core.errors import UsageError

__all__ = ["available_devices", "choose_device", "choose_precision"]


def available_devices() -> list[str]:
    """Return the devices that networks can run on, best first."""
    found = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]


def choose_device(name: str) -> torch.device:
    """Return the device of "auto", "cpu", "cuda", "cuda:N" or "mps".

    Raises
    ------
    UsageError
        When the machine has no such device; the message names those it has.
    """
    devices = available_devices()
    if name == "auto":
        return torch.device(devices[0])
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in devices:
        raise UsageError(
            f"There is no device {name!r} on this machine; there is {', '.join(devices)}."
        )
    return torch.device(wanted)


def choose_precision(name: str, device: torch.device) -> str:
    """Return "fp32", "bf16" or "fp16" for a user's "auto" or one of these.

    "auto" is fp32 on every device: labels then reproduce from machine to machine.

    Raises
    ------
    UsageError
        When the name is unknown or the device cannot do it.
    """
    if name == "auto":
        return "fp32"
    if name not in {"fp32", "bf16", "fp16"}:
        raise UsageError(f"A precision is auto, fp32, bf16 or fp16, not {name!r}.")
    if name == "fp16" and device.type == "cpu":
        raise UsageError("The precision fp16 needs a GPU; use fp32 or bf16 on the CPU.")
    return name
