"""What a command says while it looks through a folder for long."""

from __future__ import annotations

import threading

import pytest

from segstudio.cli import common


def test_what_is_slow_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    told = threading.Event()

    def say(sentence: str) -> None:
        said.append(sentence)
        told.set()

    monkeypatch.setattr(common, "say", say)
    with common.said_when_slow("looking", 0.01):
        assert told.wait(30)
    assert said == ["looking"]


def test_what_is_quick_or_fails_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(common, "say", said.append)
    before = threading.active_count()
    with common.said_when_slow("looking", 30.0):
        pass
    with pytest.raises(ValueError), common.said_when_slow("looking", 30.0):
        raise ValueError
    ended = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    for thread in ended:
        thread.join(30)
    assert not said and threading.active_count() <= before
