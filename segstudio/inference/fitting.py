"""How much of a network a checkpoint fills, told from names and shapes without building it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from segstudio.architectures._base import ARCHITECTURES, SegmentationNetwork
from segstudio.checkpoints.blank import NoRandomValues
from segstudio.checkpoints.opening import Checkpoint

__all__ = ["Fit", "measure_fit"]

_COUNTER = "num_batches_tracked"
"""Batch counters: inference never reads them, and many programs do not save them."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What of a network is in a file.

    Attributes
    ----------
    tensors, filled : int
        Tensors of the network without batch counters; those of them that the file holds in the
        right shape.
    parameters : int or None
        Trainable parameters of the network; None when it keeps its weights to itself.
    misshapen : tuple of str
        Tensors that the file holds in another shape, as ``name (file's, network's)``.
    """

    tensors: int
    filled: int
    parameters: int | None
    misshapen: tuple[str, ...]


def measure_fit(checkpoint: Checkpoint) -> Fit:
    """Compare a checkpoint with its network; no memory is taken for weights."""
    network = checkpoint.network or _blank(checkpoint)
    wanted = {
        name: tensor.shape
        for name, tensor in network.state_dict().items()
        if not name.endswith(_COUNTER)
    }
    found = {
        name: checkpoint.state_dict[name].shape for name in wanted if name in checkpoint.state_dict
    }
    misshapen = tuple(
        f"{name} ({_words(shape)}, not {_words(wanted[name])})"
        for name, shape in found.items()
        if shape != wanted[name]
    )
    parameters = sum(entry.numel() for entry in network.parameters() if entry.requires_grad)
    return Fit(len(wanted), len(found) - len(misshapen), parameters or None, misshapen)


def _blank(checkpoint: Checkpoint) -> SegmentationNetwork:
    architecture = ARCHITECTURES.get(checkpoint.architecture)
    with torch.device("meta"), NoRandomValues():
        return architecture(checkpoint.classes, checkpoint.options)


def _words(shape: torch.Size) -> str:
    return " x ".join(map(str, shape)) or "a single number"
