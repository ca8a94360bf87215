"""File types that are no state dict, taught by plugins.

A checkpoint is a table of tensors, and the architectures explain it.  A reader is for files that
hold a whole network, an exported graph for instance: it builds the network itself and says what
its outputs are.  This module loads no torch, so that a plugin that enters a reader costs nothing
until a file of its type is opened.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from segstudio.core.errors import NotACheckpointError, SegStudioError
from segstudio.core.label_space import LabelSpace
from segstudio.core.preprocessing import Preprocessing
from segstudio.core.registry import Registry

if TYPE_CHECKING:
    from segstudio.architectures._base import SegmentationNetwork

__all__ = [
    "CHECKPOINT_SUFFIXES",
    "READERS",
    "CheckpointReader",
    "ReadNetwork",
    "checkpoint_suffixes",
    "find_reader",
    "read_network",
]

CHECKPOINT_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
"""What tables of tensors are called; no reader is asked for these."""


@dataclass(frozen=True)
class ReadNetwork:
    """A network as a reader found it.

    Attributes
    ----------
    network : SegmentationNetwork
        Built, with its weights; ``network.facts`` holds its title, ``network.classes`` the number
        of its outputs.
    label_space : LabelSpace or None
        What the outputs mean, None when nothing says so.
    preprocessing : Preprocessing
        How images become input.
    notes : tuple of str
        Sentences about what is odd in the file, for its user.
    card : mapping
        Anything else that the file says about itself: short text and numbers.
    """

    network: SegmentationNetwork
    label_space: LabelSpace | None
    preprocessing: Preprocessing
    notes: tuple[str, ...] = ()
    card: Mapping[str, Any] = field(default_factory=dict)


class CheckpointReader(abc.ABC):
    """Turns files of one type into networks.

    Attributes
    ----------
    suffixes : tuple of str
        How such files end, in lower case and with the dot; not one of `CHECKPOINT_SUFFIXES`.
    description : str
        One sentence.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    description: ClassVar[str]

    @abc.abstractmethod
    def read(self, path: Path) -> ReadNetwork:
        """Build the network of a file.

        A file may come from anywhere: reading it must never run code that it brings along.

        Parameters
        ----------
        path : Path
            An existing file with one of the suffixes.

        Raises
        ------
        NotACheckpointError
            In one plain sentence, when the file or what belongs to it is damaged or missing.
        """


class _Readers(Registry[type[CheckpointReader]]):
    """The registry of readers; all of them come from plugins, so there is no package to walk."""

    def load(self) -> None:
        """Do nothing: there are no built-in readers."""


READERS = _Readers("checkpoint reader", __name__)


def checkpoint_suffixes() -> tuple[str, ...]:
    """Return how files end that can be opened as a model, those of plugins last."""
    taught = {suffix for _, reader in READERS.items() for suffix in reader.suffixes}
    return (*CHECKPOINT_SUFFIXES, *sorted(taught - set(CHECKPOINT_SUFFIXES)))


def find_reader(path: Path) -> type[CheckpointReader] | None:
    """Return the reader for a file, None when it is for the architectures to explain.

    Raises
    ------
    NotACheckpointError
        When several plugins read this type of file.
    """
    suffix = path.suffix.lower()
    if suffix in CHECKPOINT_SUFFIXES:
        return None
    found = [reader for _, reader in READERS.items() if suffix in reader.suffixes]
    if len(found) > 1:
        names = " and ".join(reader.name for reader in found)
        raise NotACheckpointError(f"{path} can be read by {names}; remove one of these plugins.")
    return found[0] if found else None


def read_network(reader: type[CheckpointReader], path: Path) -> ReadNetwork:
    """Read a file; whatever a stranger's reader raises becomes one sentence.

    Raises
    ------
    NotACheckpointError
        When it cannot be read.
    """
    try:
        return reader().read(path)
    except SegStudioError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        reason = f"{type(error).__name__}: {lines[0][:160]}".rstrip(".: ")
        raise NotACheckpointError(
            f"{path} cannot be read by the plugin for {reader.name} files ({reason})."
        ) from error
