"""Threads that work for a window without holding it up."""

from __future__ import annotations

import os
import sys
import threading

__all__ = ["step_back"]

_NICE = 5
"""Low enough that a window that wakes up gets its core at once, high enough to get on."""


def step_back() -> None:
    """Let the threads of a window go before the calling one, where the system can do that.

    On Linux each thread has a priority of its own; elsewhere, and where it is lower already,
    nothing changes.  It cannot be taken back.
    """
    if sys.platform != "linux":
        return
    thread = threading.get_native_id()
    if os.getpriority(os.PRIO_PROCESS, thread) < _NICE:
        os.setpriority(os.PRIO_PROCESS, thread, _NICE)
