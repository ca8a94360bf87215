"""Compiled networks on disk: a folder of files that may vanish, be damaged or be shared."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from segstudio.core.atomic import remove_leftovers, replacing

__all__ = ["BlobStore", "blob_key"]

_SUFFIX = ".blob"
_DIGEST_BYTES = 32
_LIMIT = 2 << 30
"""Bytes that a folder holds at most: some twenty networks of 30 million weights."""


def blob_key(*parts: object) -> str:
    """Return a file name that stands for these values in this order."""
    text = "\0".join(map(str, parts))
    return hashlib.sha256(text.encode()).hexdigest()


class BlobStore:
    """Files that can always be made again, the least recently used of which give way.

    A file is its own SHA-256 and then the content: a torn or altered one is never handed out, for
    the library that reads compiled networks does not expect them.

    Parameters
    ----------
    folder : Path
        Created when first written to.
    limit : int
        Bytes that its files take at most.
    """

    def __init__(self, folder: Path, limit: int = _LIMIT) -> None:
        self._folder = folder
        self._limit = limit

    def load(self, key: str) -> bytes | None:
        """Return the content of ``key``, None when there is none or it is damaged."""
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        content = data[_DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != data[:_DIGEST_BYTES]:
            self.discard(key)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # a read-only folder keeps its order
        return content

    def save(self, key: str, content: bytes) -> None:
        """Write ``content``, unless it would take more than half of the limit.

        Raises
        ------
        WriteError
            When it cannot be written.
        """
        size = _DIGEST_BYTES + len(content)
        if size > self._limit // 2:
            return
        with replacing(self._path(key), durable=False) as temporary, temporary.open("wb") as file:
            file.write(hashlib.sha256(content).digest())
            file.write(content)
        self._make_room()

    def discard(self, key: str) -> None:
        """Remove ``key`` if it is there."""
        with contextlib.suppress(OSError):
            self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}{_SUFFIX}"

    def _make_room(self) -> None:
        """Remove the files used least recently until the rest is within the limit."""
        remove_leftovers(self._folder)
        entries = []
        for path in self._folder.glob(f"*{_SUFFIX}"):
            with contextlib.suppress(OSError):  # another process may remove it meanwhile
                status = path.stat()
                entries.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self._limit:
                return
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
                total -= size
