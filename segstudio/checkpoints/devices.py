"""Devices: what the machine has, what a user's word means on it, which arithmetic is fast there.

Inference and training both stand on this floor, so that one word means one device.
"""

from __future__ import annotations

import torch

from segstudio.core.errors import UsageError

__all__ = ["automatic_precision", "available_devices", "choose_device"]

_BF16_ABILITIES = ("avx512_bf16", "amx_bf16")
"""Of x86 processors: products of bfloat16 in hardware."""


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


def automatic_precision(
    device: torch.device,
    *,
    capability: tuple[int, int] | None = None,
    cpu_bf16: bool | None = None,
) -> str:
    """Return the precision at which PyTorch is fast on a device without losing labels.

    Parameters
    ----------
    device : torch.device
    capability : (int, int), optional
        CUDA's compute capability; None asks the device.
    cpu_bf16 : bool, optional
        Whether the CPU multiplies bfloat16; None asks it.

    Returns
    -------
    str
        "bf16" on CUDA from 8.0 on, before that "fp16"; "bf16" on a CPU with AMX or AVX512-BF16;
        "fp32" elsewhere.
    """
    if device.type == "cuda":
        found = torch.cuda.get_device_capability(device) if capability is None else capability
        return "bf16" if found >= (8, 0) else "fp16"
    if device.type == "cpu":
        fast = _cpu_multiplies_bf16() if cpu_bf16 is None else cpu_bf16
        return "bf16" if fast else "fp32"
    return "fp32"


def _cpu_multiplies_bf16() -> bool:
    """Ask PyTorch; versions that do not tell count as no."""
    ask = getattr(torch.cpu, "get_capabilities", None)
    abilities = {} if ask is None else ask()
    return any(abilities.get(name, False) for name in _BF16_ABILITIES)
