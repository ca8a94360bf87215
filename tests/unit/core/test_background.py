"""A thread steps back for the window's, and only itself."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from segstudio.core.background import step_back


def _priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own here")
def test_a_thread_steps_back_and_the_others_stay() -> None:
    before = _priority()
    with ThreadPoolExecutor(1, initializer=step_back) as pool:
        stepped_back = pool.submit(_priority).result()
        pool.submit(step_back).result()  # again changes nothing
        assert pool.submit(_priority).result() == stepped_back
    assert stepped_back == max(5, before)
    assert _priority() == before
