"""The network as PyTorch runs it, operator by operator."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from segstudio.architectures._base import SegmentationNetwork
from segstudio.inference.backends.base import Backend

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["EagerBackend", "cudnn_for"]

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class EagerBackend(Backend):
    """Calls the network itself, in float32 or with autocast.

    Parameters
    ----------
    network : SegmentationNetwork
        In evaluation mode, on ``device``, its weights channels last.
    device : torch.device
    precision : str
        "fp32", "bf16" or "fp16".
    notes : tuple of str
        Sentences for the user: why it is not another backend.
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        *,
        device: torch.device,
        precision: str,
        notes: tuple[str, ...] = (),
    ) -> None:
        self._network = network
        self._device = device
        self._precision = precision
        self._notes = notes

    @property
    def name(self) -> str:
        """The word eager and the precision."""
        return f"eager {self._precision}"

    @property
    def precision(self) -> str:
        """One of fp32, bf16 and fp16."""
        return self._precision

    @property
    def notes(self) -> tuple[str, ...]:
        """Why it is not another backend."""
        return self._notes

    @torch.inference_mode()
    def __call__(self, batch: Tensor) -> Tensor:
        """Return logits; see `Backend`."""
        rough = self._precision != "fp32"
        autocast = torch.autocast(self._device.type, dtype=_DTYPES[self._precision], enabled=rough)
        settings = cudnn_for(self._precision) if self._device.type == "cuda" else None
        with autocast, settings or contextlib.nullcontext():
            return self._network(batch.contiguous(memory_format=torch.channels_last)).float()


@contextlib.contextmanager
def cudnn_for(precision: str) -> Iterator[None]:
    """Choose what cuDNN may do for a precision, and put the settings back afterwards.

    For "fp32" neither TF32, whose products have 10 bits, nor a choice of algorithms by their speed
    on the day, which may change the last bits from process to process; otherwise the fastest.
    """
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.allow_tf32
    cudnn.benchmark, cudnn.allow_tf32 = precision != "fp32", precision != "fp32"
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.allow_tf32 = before
