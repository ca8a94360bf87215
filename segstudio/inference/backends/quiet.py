"""Silence for one thread: what exporters print, log and warn is no news for the user."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["quiet_thread"]


class _Muted:
    """A text stream that drops what one thread writes and hands on everything else."""

    def __init__(self, stream: Any, thread: int) -> None:
        self._stream = stream
        self._thread = thread

    def write(self, text: str) -> int:
        if threading.get_ident() == self._thread:
            return len(text)
        return self._stream.write(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def quiet_thread() -> Iterator[None]:
    """Drop what this thread prints, logs and warns; other threads are heard as ever.

    One thread at a time: the streams of the process are wrapped meanwhile.
    """
    thread = threading.get_ident()
    handlers = [handler for logger in _loggers() for handler in logger.handlers]

    def from_others(record: logging.LogRecord) -> bool:
        return record.thread != thread

    streams = {name: getattr(sys, name) for name in ("stdout", "stderr")}
    muted = {name: _Muted(stream, thread) for name, stream in streams.items() if stream is not None}
    for handler in handlers:
        handler.addFilter(from_others)
    for name, stream in muted.items():
        setattr(sys, name, stream)
    try:
        yield
    finally:
        for name, stream in muted.items():
            # Somebody else may have put another stream there meanwhile.
            if getattr(sys, name) is stream:
                setattr(sys, name, streams[name])
        for handler in handlers:
            handler.removeFilter(from_others)


def _loggers() -> list[logging.Logger]:
    """Return the root and torch's loggers, which have handlers of their own."""
    named = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
    return [logging.root, *(logger for logger in named if logger.name.startswith("torch"))]
