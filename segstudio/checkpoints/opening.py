"""From a file to a network: which architecture a checkpoint is, and what its outputs mean.

Names and shapes of the tensors decide: every registered architecture is asked, and exactly one
has to recognise them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from segstudio.architectures._base import ARCHITECTURES, Recognition, SegmentationNetwork
from segstudio.checkpoints.files import FileContent, find_checkpoint, is_safetensors, read_content
from segstudio.checkpoints.meaning import (
    label_space_of,
    output_classes,
    preprocessing_of,
    summary_of,
)
from segstudio.checkpoints.native import NativeCheckpoint, load_native
from segstudio.core.errors import NotACheckpointError, SegStudioError, UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.core.options import build_options
from segstudio.core.preprocessing import Preprocessing

__all__ = ["Checkpoint", "build_network", "open_checkpoint"]

_UNUSED = ("auxiliary_head.", "aux_classifier.", "aux_head.")
"""Heads that only help the training; inference leaves them out."""
_COUNTER = "num_batches_tracked"
"""Batch counters: inference never reads them, and many programs do not save them."""

_MAX_CLASSES = 65534
"""Class indices fit 16 bits, and one value is for ignored pixels."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that one architecture explains.

    Attributes
    ----------
    path : Path
        The file.
    architecture : str
        Name in the registry.
    options : Options
        The variant, a value of the architecture's Options.
    classes : int
        Number of outputs of the network.
    output_classes : tuple of int
        For each output the class index it stands for, or the label space's ignore index.  The
        argmax is taken over all outputs first and then looked up here: an output for void can
        win, and its pixels then count as not found, as in its authors' own evaluation.
    label_space : LabelSpace or None
        None when neither the file nor the number of outputs says what the classes are.
    preprocessing : Preprocessing
        How images become input.
    source : str
        Whose layout it was: "segstudio", "mmsegmentation", "huggingface", "pytorch-enet", ...
    state_dict : dict of str to Tensor
        Under the architecture's own names, float32.
    missing, unexpected : tuple of str
        Tensors that the network has and the file has not, and the other way round.  Only a
        checkpoint with neither can be built.
    unused : tuple of str
        Tensors of heads that only help the training.
    notes : tuple of str
        Sentences about what is odd in the file, for its user.
    card : dict
        Anything else the file says about itself.
    """

    path: Path
    architecture: str
    options: Any
    classes: int
    output_classes: tuple[int, ...]
    label_space: LabelSpace | None
    preprocessing: Preprocessing
    source: str
    state_dict: dict[str, Tensor] = field(repr=False)
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    card: dict[str, Any] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """Whether the file fills the network exactly."""
        return not (self.missing or self.unexpected)


def open_checkpoint(path: Path | str, *, label_space: LabelSpace | None = None) -> Checkpoint:
    """Open a checkpoint file, or the folder that holds one, and recognise it.

    Parameters
    ----------
    path : Path or str
        SegStudio's or another program's safetensors file, a file that ``torch.save`` wrote, or a
        folder with a single one of them.
    label_space : LabelSpace, optional
        What the outputs mean, when the user knows better than the file.

    Raises
    ------
    NotACheckpointError
        When it is no checkpoint, is damaged or unsafe, or when not exactly one architecture
        recognises it.
    UsageError
        When ``label_space`` has another number of classes than the network has outputs.
    """
    file = find_checkpoint(Path(path))
    native = load_native(file) if is_safetensors(file) else None
    if native is None:
        opened = _open_foreign(file, read_content(file), beside=Path(path).is_dir())
    else:
        opened = _open_native(file, native)
    if label_space is None:
        return opened
    outputs = output_classes(opened.classes, label_space)
    if outputs is None:
        raise UsageError(
            f"{file} has {opened.classes} outputs, but the label space {label_space.name} has "
            f"{len(label_space)} classes; choose another label space."
        )
    return replace(opened, label_space=label_space, output_classes=outputs)


def build_network(checkpoint: Checkpoint) -> SegmentationNetwork:
    """Build the network of a checkpoint on the CPU, in evaluation mode, with its weights.

    Raises
    ------
    NotACheckpointError
        When a tensor is missing, unexpected or of another shape; the message names it.
    """
    path, architecture = checkpoint.path, ARCHITECTURES.get(checkpoint.architecture)
    title = architecture.facts.title
    for names, what in ((checkpoint.missing, "lacks"), (checkpoint.unexpected, "also holds")):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise NotACheckpointError(
                f"{path} looks like {title} but {what} the tensor {names[0]}{more}; "
                "it is damaged or of a variant that is not known."
            )
    # Shapes are compared before any memory is taken for the weights.
    for name, wanted in _blank(path, architecture, checkpoint.classes, checkpoint.options).items():
        found = checkpoint.state_dict.get(name)
        if found is not None and found.shape != wanted.shape:
            raise NotACheckpointError(
                f"The tensor {name} of {path} is {_shape(found)}, but {title} needs "
                f"{_shape(wanted)}; the file is damaged or of a variant that is not known."
            )
    # Opening a file must not change what a seeded training draws next.
    with torch.random.fork_rng(devices=[]):
        network = architecture(checkpoint.classes, checkpoint.options)
    # Strict apart from the batch counters: everything else was compared by name above.
    network.load_state_dict(checkpoint.state_dict, strict=False)
    return network.eval()


def _open_native(path: Path, native: NativeCheckpoint) -> Checkpoint:
    try:
        architecture = ARCHITECTURES.get(native.architecture)
        options = build_options(architecture.Options, native.options)
    except SegStudioError as error:
        raise NotACheckpointError(f"{path} cannot be used here: {error}") from error
    recognition = _ask(architecture, native.state_dict, path)
    if recognition is None:
        raise NotACheckpointError(
            f"{path} says that it is {architecture.facts.title}, but its tensors are not."
        )
    outputs = output_classes(recognition.classes, native.label_space)
    if outputs is None:
        raise NotACheckpointError(
            f"{path} has {recognition.classes} outputs, but its label space "
            f"{native.label_space.name} has {len(native.label_space)} classes."
        )
    return _compared(
        Checkpoint(
            path=path,
            architecture=native.architecture,
            options=options,
            classes=recognition.classes,
            output_classes=outputs,
            label_space=native.label_space,
            preprocessing=native.preprocessing,
            source="segstudio",
            state_dict=native.state_dict,
            card=native.card,
        )
    )


def _open_foreign(path: Path, content: FileContent, *, beside: bool) -> Checkpoint:
    """Recognise somebody else's checkpoint; ``beside``: files in its folder belong to it."""
    name, recognition = _recognise(path, content.tensors)
    architecture = ARCHITECTURES.get(name)
    folder = path.parent if beside else None
    space = label_space_of(recognition, content, folder, path.stem)
    outputs = output_classes(recognition.classes, space)
    preprocessing = recognition.preprocessing
    if preprocessing is None:
        preprocessing = Preprocessing(align_corners=architecture.align_corners)
    with _as_damage(path, name):
        tensors = architecture.rename_keys(content.tensors)
    return _compared(
        Checkpoint(
            path=path,
            architecture=name,
            options=recognition.options,
            classes=recognition.classes,
            output_classes=outputs or tuple(range(recognition.classes)),
            label_space=space,
            preprocessing=preprocessing_of(preprocessing, folder),
            source=recognition.source,
            state_dict=tensors,
            card=summary_of(content),
        )
    )


def _recognise(path: Path, tensors: Mapping[str, Tensor]) -> tuple[str, Recognition]:
    claims = []
    for name, architecture in ARCHITECTURES.items():
        recognition = _ask(architecture, tensors, path)
        if recognition is not None:
            claims.append((name, recognition))
    if len(claims) == 1:
        return claims[0]
    if claims:
        names = " and ".join(name for name, _ in claims)
        raise NotACheckpointError(f"{path} is recognised by {names}; remove one of these plugins.")
    shown = ", ".join(list(tensors)[:3])
    raise NotACheckpointError(
        f"{path} holds {len(tensors)} tensors ({shown}, ...) that no known architecture explains; "
        "known are " + ", ".join(entry.facts.title for _, entry in ARCHITECTURES.items()) + "."
    )


def _ask(
    architecture: type[SegmentationNetwork], tensors: Mapping[str, Tensor], path: Path
) -> Recognition | None:
    with _as_damage(path, architecture.name):
        found = architecture.recognise(tensors)
        if found is not None and not 1 <= found.classes <= _MAX_CLASSES:
            raise ValueError(f"{found.classes} classes")
    return found


@contextmanager
def _as_damage(path: Path, name: str) -> Iterator[None]:
    """Say in one sentence what names with senseless shapes behind them made of a page's code."""
    try:
        yield
    except (RuntimeError, LookupError, ValueError, TypeError) as error:
        raise NotACheckpointError(
            f"{path} has tensors named as in {name} but with other shapes; "
            "it is damaged or of a variant that is not known."
        ) from error


def _compared(checkpoint: Checkpoint) -> Checkpoint:
    """Fill in which tensors are missing, unexpected and unused, and what is odd."""
    architecture = ARCHITECTURES.get(checkpoint.architecture)
    blank = _blank(checkpoint.path, architecture, checkpoint.classes, checkpoint.options)
    tensors = checkpoint.state_dict
    extra = [name for name in tensors if name not in blank]
    unused = tuple(name for name in extra if name.startswith(_UNUSED))
    broken = [
        name
        for name, value in tensors.items()
        if value.is_floating_point() and not bool(torch.isfinite(value).all())
    ]
    notes = []
    if broken:
        notes.append(
            f"{len(broken)} of {len(tensors)} tensors hold values that are not finite, "
            f"{broken[0]} first."
        )
    return replace(
        checkpoint,
        state_dict={name: value for name, value in tensors.items() if name not in unused},
        missing=tuple(
            name for name in blank if name not in tensors and not name.endswith(_COUNTER)
        ),
        unexpected=tuple(
            name for name in extra if name not in unused and not name.endswith(_COUNTER)
        ),
        unused=unused,
        notes=tuple(notes),
    )


def _blank(
    path: Path, architecture: type[SegmentationNetwork], classes: int, options: Any
) -> dict[str, Tensor]:
    """Return the state dict of a network without memory: names and shapes only."""
    with _as_damage(path, architecture.name), torch.device("meta"), _NoRandomValues():
        return architecture(classes, options).state_dict()


class _NoRandomValues(TorchFunctionMode):
    """Leave out the drawing of initial weights, which on tensors without memory has no effect.

    It has a price all the same: PyTorch loads its compiler to do it, which takes a second.
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
}


def _shape(tensor: Tensor) -> str:
    return " x ".join(str(size) for size in tensor.shape) or "a single number"
