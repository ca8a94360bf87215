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
from torch import Tensor

from segstudio.architectures._base import ARCHITECTURES, Recognition, SegmentationNetwork
from segstudio.checkpoints.blank import NoRandomValues
from segstudio.checkpoints.catalogue import CatalogueEntry, entry_of_file
from segstudio.checkpoints.files import (
    WHOLE_FOLDER_NAMES,
    FileContent,
    find_checkpoint,
    is_safetensors,
    read_content,
)
from segstudio.checkpoints.meaning import (
    label_space_beside,
    label_space_of,
    output_classes,
    preprocessing_of,
    summary_of,
)
from segstudio.checkpoints.native import NativeCheckpoint, load_native
from segstudio.checkpoints.readers import CheckpointReader, find_reader, read_network
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
    published : CatalogueEntry or None
        The published checkpoint that this is, told from the names of file and folder and borne out
        by the tensors.
    network : SegmentationNetwork or None
        What a plugin's reader built from a file that is no state dict; ``architecture`` and
        ``source`` are then the reader's name, and no entry of the registry.
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
    published: CatalogueEntry | None = None
    network: SegmentationNetwork | None = field(default=None, repr=False)

    @property
    def fits(self) -> bool:
        """Whether the file fills the network exactly."""
        return not (self.missing or self.unexpected)


def open_checkpoint(path: Path | str, *, label_space: LabelSpace | None = None) -> Checkpoint:
    """Open a checkpoint file, or the folder that holds one, and recognise it.

    Parameters
    ----------
    path : Path or str
        SegStudio's or another program's safetensors file, a file that ``torch.save`` wrote, one of
        a type that a plugin reads, or a folder with a single one of them.
    label_space : LabelSpace, optional
        What the outputs mean, when the user knows better than the file.

    Raises
    ------
    NotACheckpointError
        When it is no checkpoint, is damaged or unsafe, or when not exactly one architecture
        recognises it.
    UsageError
        When ``label_space``, or the one that lies beside the file, has another number of classes
        than the network has outputs.
    """
    file = find_checkpoint(Path(path))
    reader = find_reader(file)
    native = load_native(file) if reader is None and is_safetensors(file) else None
    if reader is not None:
        opened = _open_read(file, reader)
    elif native is None:
        beside = Path(path).is_dir() or file.name in WHOLE_FOLDER_NAMES
        opened = _open_foreign(file, read_content(file), beside=beside)
    else:
        opened = _open_native(file, native)
    if label_space is None and native is None and reader is None:
        label_space = label_space_beside(file)
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
    if checkpoint.network is not None:
        return checkpoint.network
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
    # Every weight comes from the file, so none is drawn: it would take seconds and change what a
    # seeded training draws next.
    with torch.random.fork_rng(devices=[]), NoRandomValues():
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


def _open_read(path: Path, reader: type[CheckpointReader]) -> Checkpoint:
    """Open a file whose network a plugin's reader builds."""
    found = read_network(reader, path)
    network = found.network.eval()
    outputs = output_classes(network.classes, found.label_space)
    if outputs is None:
        assert found.label_space is not None
        raise NotACheckpointError(
            f"{path} has {network.classes} outputs, but its label space "
            f"{found.label_space.name} has {len(found.label_space)} classes."
        )
    return Checkpoint(
        path=path,
        architecture=reader.name,
        options=network.options,
        classes=network.classes,
        output_classes=outputs,
        label_space=found.label_space,
        preprocessing=found.preprocessing,
        source=reader.name,
        state_dict=dict(network.state_dict()),
        notes=found.notes,
        card=dict(found.card),
        network=network,
    )


def _open_foreign(path: Path, content: FileContent, *, beside: bool) -> Checkpoint:
    """Recognise somebody else's checkpoint; ``beside``: files in its folder belong to it."""
    name, recognition = _recognise(path, content.tensors)
    architecture = ARCHITECTURES.get(name)
    folder = path.parent if beside else None
    published = _published(path, name, recognition)
    if published is not None:
        # Its name tells what tensors do not: at which size it was tested.
        recognition = replace(recognition, preprocessing=published.preprocessing)
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
            published=published,
        )
    )


def _published(path: Path, name: str, recognition: Recognition) -> CatalogueEntry | None:
    """Return the catalogue's entry of a file, None when the tensors are something else."""
    entry = entry_of_file(path)
    if entry is None:
        return None
    found = (name, recognition.source, recognition.classes)
    return entry if found == (entry.architecture, entry.source, entry.classes) else None


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
    with _as_damage(path, architecture.name), torch.device("meta"), NoRandomValues():
        return architecture(classes, options).state_dict()


def _shape(tensor: Tensor) -> str:
    return " x ".join(str(size) for size in tensor.shape) or "a single number"
