"""What tells one label map from another: a hash that follows the brush."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable

import numpy as np

from segstudio.core.types import LabelMap
from segstudio.datasets.scratch import release_pages, row_bands

__all__ = ["LiveFingerprint", "fingerprint"]

_ROWS = 256


def fingerprint(label_map: LabelMap) -> str:
    """Return a hash of a label map's type, size and content (about 1 GB/s).

    It is the hash of the hashes of bands of 256 rows, so that a document hashes only those again
    that were painted on.
    """
    return _joined(label_map, [_digest(band) for band in row_bands(label_map, _ROWS)])


class LiveFingerprint:
    """The fingerprint of a map that is painted on.

    Attributes
    ----------
    revision : int
        How often the map was changed; another number, other pixels.

    Parameters
    ----------
    label_map : ndarray of shape (H, W)
        The map; `note` is called before each change.
    """

    def __init__(self, label_map: LabelMap) -> None:
        self.revision = 0
        self._map = label_map
        self._digests: list[bytes | None] = [None] * -(-label_map.shape[0] // _ROWS)
        self._lock = threading.Lock()

    def note(self, top: int, bottom: int) -> None:
        """Say that rows ``top..bottom-1`` are about to change."""
        # Counted first: a thread that reads the map sees that it did not read one state.
        with self._lock:
            self.revision += 1
            for number in range(top // _ROWS, (bottom - 1) // _ROWS + 1):
                self._digests[number] = None

    def now(self) -> str:
        """Return the `fingerprint`; any thread may ask.

        What is changed meanwhile makes the answer useless, which `revision` tells.
        """
        digests = []
        for number, digest in enumerate(list(self._digests)):
            if digest is None:
                before = self.revision
                digest = _digest(self._map[number * _ROWS : (number + 1) * _ROWS])
                release_pages(self._map)
                with self._lock:
                    if before == self.revision:
                        self._digests[number] = digest
            digests.append(digest)
        return _joined(self._map, digests)


def _joined(label_map: LabelMap, digests: Iterable[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{label_map.dtype.name} {label_map.shape}".encode())
    for part in digests:
        digest.update(part)
    return digest.hexdigest()


def _digest(band: LabelMap) -> bytes:
    little = band.dtype.newbyteorder("<")
    return hashlib.blake2b(np.ascontiguousarray(band, little).data, digest_size=16).digest()
