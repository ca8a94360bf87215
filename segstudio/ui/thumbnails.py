"""Thumbnails: made by a few threads, newest wish first, kept in memory and on disk."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
from PySide6.QtCore import QByteArray, QObject, QRunnable, QThreadPool, Signal
from PySide6.QtGui import QImage, QImageReader, QImageWriter

from segstudio.core.background import step_back
from segstudio.core.errors import SegStudioError
from segstudio.core.types import Image
from segstudio.datasets.containers import stat_source

__all__ = ["THUMBNAIL_EDGE", "ImageCache", "ThumbnailLoader", "to_qimage"]

THUMBNAIL_EDGE = 128
"""Pixels of a thumbnail's long side: twice what the list shows, for dense screens."""

_PENDING = 400  # older wishes than this have been scrolled away long ago


def to_qimage(image: Image) -> QImage:
    """Return a copy of an (H, W, 3) uint8 RGB image as a `QImage`."""
    height, width = image.shape[:2]
    data = np.ascontiguousarray(image)
    return QImage(data.data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()


class ImageCache:
    """Images by key, the least recently used dropped beyond a number of bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0
        self._images: OrderedDict[str, QImage] = OrderedDict()

    def __len__(self) -> int:
        return len(self._images)

    def __contains__(self, key: str) -> bool:
        return key in self._images

    def get(self, key: str) -> QImage | None:
        """Return an image and count it as used."""
        image = self._images.get(key)
        if image is not None:
            self._images.move_to_end(key)
        return image

    def put(self, key: str, image: QImage) -> None:
        """Keep an image."""
        self.drop(key)
        self._images[key] = image
        self._bytes += image.sizeInBytes()
        while self._bytes > self._limit and len(self._images) > 1:
            _, oldest = self._images.popitem(last=False)
            self._bytes -= oldest.sizeInBytes()

    def drop(self, key: str) -> None:
        """Forget an image."""
        old = self._images.pop(key, None)
        if old is not None:
            self._bytes -= old.sizeInBytes()

    def clear(self) -> None:
        """Forget all."""
        self._images.clear()
        self._bytes = 0


class ThumbnailLoader(QObject):
    """Reads thumbnails off the GUI thread.

    Parameters
    ----------
    cache_folder : Path or None
        Where thumbnails are kept between sessions, keyed by path, time and size of the image;
        None keeps none.
    """

    loaded = Signal(str, QImage)
    failed = Signal(str)

    def __init__(
        self, cache_folder: Path | None, parent: QObject | None = None, *, threads: int = 2
    ) -> None:
        super().__init__(parent)
        self._folder = cache_folder
        self._pool = QThreadPool(self)
        self._pool.setMaxThreadCount(threads)
        self._threads = threads
        self._lock = threading.Lock()
        self._pending: OrderedDict[str, Path] = OrderedDict()
        self._forgotten: list[str] = []
        self._active = 0
        self._closed = False

    def request(self, sample_id: str, path: Path) -> None:
        """Ask for a thumbnail; asking again moves it to the front of the queue."""
        with self._lock:
            if self._closed:
                return
            self._pending[sample_id] = path
            self._pending.move_to_end(sample_id)
            while len(self._pending) > _PENDING:
                dropped, _ = self._pending.popitem(last=False)
                self._forgotten.append(dropped)
            start = self._active < self._threads
            self._active += start
        if start:
            self._pool.start(_Reader(self))

    def take_forgotten(self) -> list[str]:
        """Return the samples whose wish was dropped since the last call, to be asked again."""
        with self._lock:
            dropped = list(self._forgotten)
            self._forgotten.clear()
        return dropped

    def clear(self) -> None:
        """Forget every wish that is not being read."""
        with self._lock:
            self._pending.clear()
            self._forgotten.clear()

    def close(self) -> None:
        """Stop after what is being read."""
        with self._lock:
            self._closed = True
            self._pending.clear()
        self._pool.waitForDone()

    def take(self) -> tuple[str, Path] | None:
        """Return the newest wish; None ends the asking thread."""
        with self._lock:
            if not self._pending or self._closed:
                self._active -= 1
                return None
            return self._pending.popitem(last=True)

    def read(self, path: Path) -> QImage | None:
        """Return the thumbnail of an image file, None when it cannot be read."""
        from segstudio.datasets.images import read_thumbnail

        cached = self._cache_path(path)
        if cached is not None and cached.exists():
            image = QImageReader(str(cached)).read()
            if not image.isNull():
                return image
        try:
            image = to_qimage(read_thumbnail(path, THUMBNAIL_EDGE))
        except SegStudioError:
            return None  # opening the image itself says why
        if cached is not None:
            self._keep(image, cached)
        return image

    def _keep(self, image: QImage, cached: Path) -> None:
        """Write beside and rename; a cache that cannot be written is only slower."""
        partial = cached.with_suffix(f".{threading.get_ident()}.part")
        try:
            cached.parent.mkdir(parents=True, exist_ok=True)
            writer = QImageWriter(str(partial), QByteArray(b"jpg"))
            writer.setQuality(85)
            if writer.write(image):
                del writer  # it holds the file open
                os.replace(partial, cached)
        except OSError:
            partial.unlink(missing_ok=True)

    def _cache_path(self, path: Path) -> Path | None:
        if self._folder is None:
            return None
        try:
            status = stat_source(path)
        except OSError:
            return None
        key = f"{path.absolute()}|{status.st_mtime_ns}|{status.st_size}|{THUMBNAIL_EDGE}"
        digest = hashlib.sha1(key.encode("utf-8", "surrogatepass"), usedforsecurity=False)
        name = digest.hexdigest()
        return self._folder / name[:2] / f"{name}.jpg"


class _Reader(QRunnable):
    """One thread's work: thumbnails until no wish is left."""

    def __init__(self, loader: ThumbnailLoader) -> None:
        super().__init__()
        self._loader = loader

    def run(self) -> None:
        """Read until the queue is empty."""
        step_back()
        while (wish := self._loader.take()) is not None:
            sample_id, path = wish
            image = self._loader.read(path)
            if image is None:
                self._loader.failed.emit(sample_id)
            else:
                self._loader.loaded.emit(sample_id, image)
