"""Several processes that train one network, started by torchrun.

Each process computes a part of every step; gradients are added up and every process takes the same
step.  The sums are made here, after the backward pass, rather than by ``DistributedDataParallel``:
the losses are contributions to a sum already, accumulation and unused parameters need no special
care, and one flat sum is what the reader sees.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from segstudio.core.errors import TrainingError

__all__ = ["Crew", "joined"]


@dataclass(frozen=True, slots=True)
class Crew:
    """The processes of a training.

    Attributes
    ----------
    rank : int
        This process, from 0; process 0 writes and reports.
    size : int
        How many there are.
    local_rank : int
        This process on its machine: the number of its GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes files and tells news."""
        return self.rank == 0

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum of a tensor over the processes."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def any(self, answer: bool, device: torch.device) -> bool:
        """Return whether any process answers yes."""
        if self.size == 1:
            return answer
        return bool(self.sum(torch.tensor(int(answer), device=device)))

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add up the gradients over the processes; one that a process lacks counts as zero."""
        if self.size == 1:
            return
        entries = [entry for entry in parameters if entry.requires_grad]
        for entry in entries:
            if entry.grad is None:
                entry.grad = torch.zeros_like(entry)
        self._combine([entry.grad for entry in entries if entry.grad is not None])

    def mean_buffers(self, module: nn.Module) -> None:
        """Average running statistics, so that every process holds the same network."""
        if self.size == 1:
            return
        found = [entry for entry in module.buffers() if entry.is_floating_point()]
        self._combine(found)
        for entry in found:
            entry /= self.size

    @staticmethod
    def _combine(tensors: list[Tensor]) -> None:
        """Replace tensors by their sums over the processes, in one exchange."""
        if not tensors:
            return
        flat = torch.cat([entry.reshape(-1).float() for entry in tensors])
        dist.all_reduce(flat)
        start = 0
        for entry in tensors:
            entry.copy_(flat[start : start + entry.numel()].view(entry.shape))
            start += entry.numel()


@contextlib.contextmanager
def joined(*, cuda: bool) -> Iterator[Crew]:
    """Join the processes that torchrun started; without torchrun this process is alone.

    Raises
    ------
    TrainingError
        When the processes cannot reach each other.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ:
        yield Crew()
        return
    try:
        dist.init_process_group("nccl" if cuda else "gloo")
    except (RuntimeError, ValueError) as error:
        raise TrainingError(
            "The processes of this training do not reach each other "
            f"({str(error).splitlines()[0]}); start them with torchrun."
        ) from error
    try:
        local = int(os.environ.get("LOCAL_RANK", "0"))
        yield Crew(dist.get_rank(), dist.get_world_size(), local)
    finally:
        dist.destroy_process_group()
