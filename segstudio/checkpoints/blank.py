"""Building networks without drawing the weights that a file is about to bring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

__all__ = ["NoRandomValues"]


class NoRandomValues(TorchFunctionMode):
    """Write zeros where initial weights would be drawn, which takes seconds for large networks.

    Leaving the memory as it is would not do: `torch.nn.init.trunc_normal_` draws again until
    every value is within its bounds.  Without memory the drawing has a price all the same: PyTorch
    loads its compiler to do it.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        values = kwargs or {}
        if func not in _RANDOM:
            return func(*args, **values)
        tensor: torch.Tensor = args[0] if args else values["tensor"]
        if tensor.is_meta:
            return tensor
        with torch.no_grad():
            return tensor.zero_()


_RANDOM = {
    torch.Tensor.normal_,
    torch.Tensor.uniform_,
    nn.init.normal_,
    nn.init.uniform_,
    nn.init.kaiming_uniform_,
    nn.init.kaiming_normal_,
}
