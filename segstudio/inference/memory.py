"""Will it fit: free memory of a device, and what a pass of a network needs."""

from __future__ import annotations

import ctypes
import os
import platform
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["PassMemory", "free_memory", "is_out_of_memory", "measure_pass"]

_SAFETY = 1.3
"""Work spaces of convolutions and fragmentation are not seen by `measure_pass`."""
_LEAST = 256.0
"""Bytes per pixel for networks whose inside PyTorch does not see."""
_PROBES = (128, 256)
_INPUT_BYTES = 24.0
"""Bytes per pixel of the input in float32, twice: as it comes and as channels-last."""
_CGROUP = Path("/sys/fs/cgroup")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that memory did not suffice."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and "memory" in str(error).lower()


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that can still be used on a device, None where that cannot be told."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + cached)
    system = platform.system()
    if system == "Linux":
        return _free_on_linux()
    if system == "Windows":
        return _free_on_windows()
    # macOS counts what it can compress or page out as used: half of everything is a fair guess.
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _free_on_linux() -> int | None:
    """Return what the kernel calls available, or what a container may still use if that is less."""
    try:
        text = Path("/proc/meminfo").read_text()
        free = int(text.partition("MemAvailable:")[2].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        return None
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        # Pages of files count as used, but are given up on demand.
        text = (_CGROUP / "memory.stat").read_text()
        cache = int(text.partition("\ninactive_file ")[2].split()[0])
    except (OSError, IndexError, ValueError):
        return free  # not in a container, or no limit ("max")
    return max(0, min(free, limit - used + cache))


def _free_on_windows() -> int | None:
    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((f"value{index}", ctypes.c_ulonglong) for index in range(7)),
        )

    status = Status(ctypes.sizeof(Status))
    library: Any = getattr(ctypes, "windll").kernel32  # noqa: B009 - other systems lack it
    if not library.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None
    return int(status.value1)  # ullAvailPhys


@dataclass(frozen=True, slots=True)
class PassMemory:
    """What one pass of a network needs as a function of its input's pixels.

    Attributes
    ----------
    linear, quadratic : float
        Bytes per pixel, and per pixel squared (attention that keeps its matrix).
    output : float
        Bytes per pixel of the logits.
    """

    linear: float
    quadratic: float
    output: float

    def of(self, pixels: int) -> float:
        """Return the bytes of a pass over so many pixels."""
        return _SAFETY * (self.linear * pixels + self.quadratic * pixels**2)

    def of_tiles(self, side: int, width: int) -> float:
        """Return the bytes of square tiles, of which a row's logits are kept at once."""
        # Tiles overlap by a quarter, so their logits have 4/3 of the width.
        return self.of(side * side) + self.output * side * (width * 4 / 3 + side)


def measure_pass(forward: Callable[[Tensor], Tensor], device: torch.device) -> PassMemory:
    """Measure what a network's tensors take on two small inputs, and carry it on to others.

    Parameters
    ----------
    forward : callable
        From (1, 3, h, w) to (1, C, h', w').
    device : torch.device
        Where the inputs are made.
    """
    found, output = [], 0.0
    for side in _PROBES:
        image = torch.zeros((1, 3, side, side), device=device)
        with _LiveBytes() as meter:
            logits = forward(image)
        found.append((side * side, float(meter.peak)))
        output = logits.numel() * logits.element_size() / (side * side)
    (few, low), (many, high) = found
    quadratic = max(0.0, (high / many - low / few) / (many - few))
    linear = max(_LEAST, high / many - quadratic * many)
    return PassMemory(linear + _INPUT_BYTES, quadratic, output)


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that were made and are still held."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._now = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(value, torch.Tensor):
                self._enter(value.untyped_storage())
        return out

    def _enter(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._sizes:
            return
        self._sizes[key] = storage.nbytes()
        self._now += self._sizes[key]
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._leave, key)

    def _leave(self, key: int) -> None:
        self._now -= self._sizes.pop(key)
