"""Whether a file is whole, told without loading a tensor or torch.

A safetensors file states in its header where its last tensor ends; a zip archive, which is what
`torch.save` writes, ends in a directory of its parts.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

__all__ = ["file_digest", "structure_problem"]

_MAX_HEADER = 100_000_000
"""Bytes of names and shapes that the safetensors format allows."""
_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80\x02"
"""How a file of `torch.save` begins that PyTorch before 1.6 wrote."""


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def structure_problem(path: Path, name: str) -> str | None:
    """Return what is wrong with a file that is to be called ``name``, None when nothing shows.

    Parameters
    ----------
    path : Path
        The file, under whatever name.
    name : str
        Its suffix says what it has to be: safetensors, a file of `torch.save`, or JSON; other
        kinds are not looked into.

    Returns
    -------
    str or None
        Words that continue "the file cannot be used: ...".
    """
    suffix = Path(name).suffix
    if suffix == ".safetensors":
        return _safetensors_problem(path)
    if suffix in {".pth", ".pt", ".bin", ".ckpt"}:
        with path.open("rb") as file:
            start = file.read(4)
        if start == _ZIP:
            return None if zipfile.is_zipfile(path) else "its end is missing"
        return None if start.startswith(_PICKLE) else "it is no checkpoint"
    if suffix == ".json":
        try:
            json.loads(path.read_bytes())
        except ValueError:
            return "it is no JSON"
    return None


def _safetensors_problem(path: Path) -> str | None:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_MAX_HEADER, size - 8):
            return "it is no safetensors file"
        header = file.read(length)
    try:
        tensors = json.loads(header)
        ends = [
            int(entry["data_offsets"][1])
            for name, entry in tensors.items()
            if name != "__metadata__"
        ]
    except (ValueError, LookupError, TypeError, AttributeError):
        return "it is no safetensors file"
    whole = 8 + length + max(ends, default=0)
    return None if whole == size else f"it has {size} bytes, but its header says {whole}"
