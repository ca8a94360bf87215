"""Reading checkpoint files of any origin without ever running what they contain.

Only two readers are used: safetensors, which holds names, shapes and numbers, and PyTorch's own
unpickler restricted to tensors and plain values (``weights_only``).  What stands in a file's first
bytes decides, not its suffix.
"""

from __future__ import annotations

import importlib
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segstudio.checkpoints.readers import CHECKPOINT_SUFFIXES, checkpoint_suffixes
from segstudio.core.errors import NotACheckpointError

__all__ = [
    "CHECKPOINT_SUFFIXES",
    "WHOLE_FOLDER_NAMES",
    "FileContent",
    "find_checkpoint",
    "is_safetensors",
    "read_content",
]

_PREFERRED = ("model.safetensors", "pytorch_model.bin")
"""Names that mean "the model" in a Hugging Face folder; the first one there is taken."""
_BYSTANDERS = {"optimizer.pt", "optimizer.bin", "scheduler.pt", "scaler.pt", "training_args.bin"}
"""What trainers leave beside a model."""
WHOLE_FOLDER_NAMES = (*_PREFERRED, "checkpoint.pth")
"""Names so general that what lies beside such a file belongs to it."""

_ZIP = b"PK\x03\x04"
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How `torch.save` began files before PyTorch 1.6: a pickled number."""
_MAX_HEADER = 100_000_000
"""Bytes of names and shapes that the safetensors format allows."""

_NESTS = ("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network")
"""Keys under which programs keep the tensors, beside optimizer state and the like."""
_WRAPPERS = ("module.", "model.", "_orig_mod.", "network.", "net.")
"""Prefixes that data-parallel, compiling and training wrappers put before every name."""


@dataclass(frozen=True)
class FileContent:
    """What a checkpoint file of somebody else holds.

    Attributes
    ----------
    tensors : dict of str to Tensor
        On the CPU, dense; floating-point ones as float32.
    extras : dict
        What stood beside the tensors: ``meta`` and numbers.
    """

    tensors: dict[str, Tensor]
    extras: dict[str, Any] = field(default_factory=dict)


def find_checkpoint(path: Path) -> Path:
    """Return the checkpoint file that ``path`` is, or the single one in the folder it is.

    Raises
    ------
    NotACheckpointError
        When there is none, or several and nothing says which is meant.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise NotACheckpointError(f"{path} does not exist; choose a checkpoint file or its folder.")
    suffixes = checkpoint_suffixes()
    found = sorted(
        entry
        for entry in path.iterdir()
        if entry.suffix in suffixes and entry.is_file() and entry.name not in _BYSTANDERS
    )
    for name in _PREFERRED:
        if path / name in found:
            return path / name
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotACheckpointError(
            f"{path} holds no checkpoint: no file ends in {', '.join(suffixes)}."
        )
    names = ", ".join(entry.name for entry in found[:4]) + (", ..." if len(found) > 4 else "")
    raise NotACheckpointError(
        f"{path} holds {len(found)} checkpoints ({names}); choose one of them."
    )


def read_content(path: Path) -> FileContent:
    """Read a safetensors file or one that `torch.save` wrote.

    Raises
    ------
    NotACheckpointError
        When the file is something else, is damaged, or holds objects whose reading would run code.
    """
    if is_safetensors(path):
        return _read_safetensors(path)
    content = _read_torch(path)
    tensors, extras = _unwrap(content, path)
    return FileContent(_cleaned(tensors, path), extras)


def is_safetensors(path: Path) -> bool:
    """Tell from the first bytes whether a file is in the safetensors format.

    Raises
    ------
    NotACheckpointError
        When the file cannot be read at all.
    """
    start = _start(path)
    length = int.from_bytes(start[:8], "little")
    return len(start) > 8 and start[8:9] == b"{" and length <= _MAX_HEADER


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(512)
    except OSError as error:
        reason = error.strerror or error
        raise NotACheckpointError(f"{path} cannot be read: {str(reason).lower()}.") from error


def _read_safetensors(path: Path) -> FileContent:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise NotACheckpointError(
            f"{path} is not a readable safetensors file ({error})."
        ) from error
    return FileContent(_cleaned(_without_wrappers(tensors), path))


def _read_torch(path: Path) -> Any:
    start = _start(path)
    zipped = start.startswith(_ZIP)
    if not zipped and not start.startswith(_LEGACY):
        raise NotACheckpointError(f"{path} is not a checkpoint: it is {_kind(path, start)}.")
    if zipped:
        _check_archive(path)
    try:
        stand_ins = [*_plain_numpy(), *_training_logs()]
        with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins):
            warnings.simplefilter("ignore")  # about storages of old files
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+) was not an allowed", str(error))
        if found is None:
            raise NotACheckpointError(f"{path} is damaged and cannot be read.") from error
        raise NotACheckpointError(
            f"{path} is refused: it holds a Python object ({found[1]}), and reading that could run "
            "code from the file; save its state_dict alone and open that."
        ) from error
    except Exception as error:
        # The unpickler follows the file's instructions, so a damaged or hostile file can make it
        # raise nearly anything; for the user each of them means the same.
        raise NotACheckpointError(
            f"{path} is damaged and cannot be read ({_first_line(error)})."
        ) from error


def _check_archive(path: Path) -> None:
    """Refuse archives that are not PyTorch's, or that unpack to more than they are."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise NotACheckpointError(
            f"{path} is damaged: its end is missing or broken; fetch the file again."
        ) from error
    names = [entry.filename for entry in entries]
    if any(name.endswith("/constants.pkl") for name in names):
        raise NotACheckpointError(
            f"{path} is a TorchScript program, not a checkpoint; save its state_dict and open that."
        )
    if not any(name.endswith("/data.pkl") for name in names):
        raise NotACheckpointError(f"{path} is not a checkpoint: it is a zip archive.")
    # PyTorch stores without compression, so the parts are never larger than the whole.
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise NotACheckpointError(
            f"{path} is refused: it claims to unpack to more than it holds, as no checkpoint does."
        )


def _plain_numpy() -> list[Any]:
    """Return what NumPy numbers and arrays in a checkpoint's description are rebuilt with.

    They make values from bytes and call nothing.
    """
    multiarray: Any = importlib.import_module("numpy._core.multiarray")
    kinds = {type(np.dtype(code)) for code in "?bBhHiIlLqQefd"} | {type(np.dtype("U1"))}
    return [
        *(
            (getattr(multiarray, name), f"numpy.{module}.multiarray.{name}")
            for name in ("scalar", "_reconstruct")
            for module in ("core", "_core")
        ),
        np.dtype,
        np.ndarray,
        *kinds,
    ]


class _LeftOut:
    """Stands in for an object of a training's log: keeps nothing and does nothing."""

    def __new__(cls, *_: Any) -> _LeftOut:
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Forget the state."""


def _nothing(*_: Any) -> None:
    """Stand in for a function that a file would call."""


def _training_logs() -> list[Any]:
    """Return stand-ins for what trainers pickle beside the weights.

    MMEngine keeps its logged losses as objects that name their own methods, others keep the
    arguments of their command line.  None of it is of use here, and nothing of theirs is run.
    """
    objects = (
        "mmengine.logging.history_buffer.HistoryBuffer",
        "argparse.Namespace",
        "pathlib.PosixPath",
        "pathlib.WindowsPath",
    )
    return [
        *((_LeftOut, name) for name in objects),
        *((_nothing, f"{module}.getattr") for module in ("builtins", "__builtin__")),
    ]


def _kind(path: Path, start: bytes) -> str:
    """Say what a file is that is no checkpoint, as a person would."""
    if not start:
        return "an empty file"
    if path.suffix == ".safetensors":
        return "a damaged safetensors file"
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer; fetch the file itself with git lfs pull"
    if start.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        return "a web page, perhaps from a download that failed"
    if start.startswith((b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\x00", b"MM\x00*")):
        return "an image"
    if start[:1] == b"\x80" and start[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}:
        return "a Python pickle that PyTorch did not write"
    text = start.decode("utf-8", errors="replace")
    readable = sum(char.isprintable() or char in "\r\n\t" for char in text)
    if b"\x00" not in start and readable >= 0.95 * len(text):
        return "a text file"
    return "neither a safetensors nor a PyTorch file"


def _unwrap(content: Any, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors by name and what stood beside them, however they are nested."""
    extras: dict[str, Any] = {}
    for _ in range(4):
        if not isinstance(content, Mapping):
            break
        tensors = {
            key: value
            for key, value in content.items()
            if isinstance(key, str) and isinstance(value, Tensor)
        }
        nested = [key for key in _NESTS if isinstance(content.get(key), Mapping)]
        if tensors and (2 * len(tensors) > len(content) or not nested):
            return _without_wrappers(tensors), extras
        if not nested:
            break
        extras |= {key: value for key, value in content.items() if key not in nested}
        content = content[nested[0]]
    raise NotACheckpointError(f"{path} is not a checkpoint: it holds {_summary(content)}.")


def _summary(content: Any) -> str:
    if isinstance(content, Tensor):
        return "a single tensor without a name"
    if isinstance(content, Mapping):
        names = ", ".join(str(key) for key in list(content)[:4])
        return f"no weights, only {names}" if names else "nothing"
    return f"a {type(content).__name__}, not weights by name"


def _without_wrappers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take off prefixes that all names share because a wrapper put them there."""
    again = bool(tensors)
    while again:
        again = False
        for prefix in _WRAPPERS:
            if all(key.startswith(prefix) and key != prefix for key in tensors):
                tensors = {key[len(prefix) :]: value for key, value in tensors.items()}
                again = True
    return tensors


def _cleaned(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return dense CPU tensors, floating-point ones in float32."""
    for key, value in tensors.items():
        dense = value.layout == torch.strided and value.device.type == "cpu"
        # A tensor may claim to be large while all its elements are the same few bytes.
        if not dense or value.is_quantized or not _fits(value):
            raise NotACheckpointError(
                f"{path} is refused: its tensor {key} is not stored as plain numbers."
            )
    return {
        key: value.detach().float() if value.is_floating_point() else value.detach()
        for key, value in tensors.items()
    }


def _fits(tensor: Tensor) -> bool:
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:160].rstrip(".")
