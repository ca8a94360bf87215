"""Building networks without drawing the weights that a file is about to bring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

__all__ = ["NoRandomValues"]


class NoRandomValues(TorchFunctionMode):
    """Leave out the drawing of initial weights, for tensors that are overwritten or have no memory.

    Without memory it has a price all the same: PyTorch loads its compiler to do it.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        values = kwargs or {}
        if func in _RANDOM:
            return args[0] if args else values["tensor"]
        return func(*args, **values)


_RANDOM = {
    torch.Tensor.normal_,
    torch.Tensor.uniform_,
    nn.init.normal_,
    nn.init.uniform_,
    nn.init.kaiming_uniform_,
    nn.init.kaiming_normal_,
    nn.init.trunc_normal_,
    nn.init.xavier_uniform_,
}
