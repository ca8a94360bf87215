"""SegStudio's own checkpoint files: safetensors whose metadata says what the weights are.

The metadata has one key, ``segstudio``, a JSON object with ``version``, ``architecture``,
``options``, ``label_space``, ``preprocessing`` and a free ``card``.  Safetensors files hold names,
shapes and numbers only: opening one can never run code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segstudio.core.atomic import replacing
from segstudio.core.errors import NotACheckpointError, SegStudioError
from segstudio.core.label_space import LabelSpace
from segstudio.core.preprocessing import Preprocessing

__all__ = ["NativeCheckpoint", "load_native", "save_native"]

_VERSION = 1


@dataclass(frozen=True)
class NativeCheckpoint:
    """Weights with everything that is needed to use them.

    Attributes
    ----------
    architecture : str
        Name in the registry.
    options : dict
        Fields of the architecture's Options.
    label_space : LabelSpace
        What the outputs mean, in order.
    preprocessing : Preprocessing
        How images become input.
    state_dict : dict of str to Tensor
        The weights, float32 (files may hold float16).
    card : dict
        Anything else worth keeping: figures, data, recipe.
    """

    architecture: str
    options: dict[str, Any]
    label_space: LabelSpace
    preprocessing: Preprocessing
    state_dict: dict[str, Tensor]
    card: dict[str, Any] = field(default_factory=dict)


def save_native(path: Path, checkpoint: NativeCheckpoint) -> None:
    """Write a checkpoint atomically.

    Raises
    ------
    WriteError
        When the file cannot be written.
    """
    from safetensors.torch import save_file

    description = {
        "version": _VERSION,
        "architecture": checkpoint.architecture,
        "options": checkpoint.options,
        "label_space": checkpoint.label_space.to_json(),
        "preprocessing": checkpoint.preprocessing.to_json(),
        "card": checkpoint.card,
    }
    tensors = {
        key: value.detach().cpu().contiguous() for key, value in checkpoint.state_dict.items()
    }
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"segstudio": json.dumps(description)})


def load_native(path: Path) -> NativeCheckpoint | None:
    """Read a checkpoint that `save_native` wrote.

    Returns
    -------
    NativeCheckpoint or None
        None when the file is a sound safetensors file of somebody else.

    Raises
    ------
    NotACheckpointError
        When the file is damaged or its description makes no sense.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("segstudio")
            if text is None:
                return None
            tensors = {key: _full_precision(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise NotACheckpointError(
            f"{path} is not a readable safetensors file ({error})."
        ) from error
    try:
        data: Mapping[str, Any] = json.loads(text)
        if int(data["version"]) > _VERSION:
            raise NotACheckpointError(
                f"{path} was written by a newer SegStudio; please update to open it."
            )
        return NativeCheckpoint(
            architecture=str(data["architecture"]),
            options=dict(data["options"]),
            label_space=LabelSpace.from_json(data["label_space"], f"The label space of {path}"),
            preprocessing=Preprocessing.from_json(data["preprocessing"]),
            state_dict=tensors,
            card=dict(data.get("card", {})),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise NotACheckpointError(f"{path} has a damaged description ({error}).") from error
    except NotACheckpointError:
        raise
    except SegStudioError as error:
        raise NotACheckpointError(str(error)) from error


def _full_precision(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def state_dict_of(network: torch.nn.Module) -> dict[str, Tensor]:
    """Return a network's weights without the batch counters, which inference never reads."""
    return {
        key: value
        for key, value in network.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
