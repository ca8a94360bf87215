"""Questions about networks: the newest of each kind counts, stopping ends what is slow."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from segstudio.session.look_values import LookAnswer, LookRequest, ModelChoice
from segstudio.session.looks import Looks

CHOICE = ModelChoice("model")


def question(topic: str, row: int = 0) -> LookRequest:
    return LookRequest(topic, CHOICE, row=row)


class Client:
    """Notes the questions; a test answers them when it wants to."""

    def __init__(self, on_message: Callable[[LookAnswer], None]) -> None:
        self.on_message = on_message
        self.asked: list[LookRequest] = []
        self.open: LookRequest | None = None
        self.killed = threading.Event()
        self.closed = threading.Event()

    def look(self, request: LookRequest) -> None:
        assert self.open is None, "one question at a time"
        self.open = request
        self.asked.append(request)

    def answer(self, error: str | None = None) -> LookRequest:
        request, self.open = self.open, None
        assert request is not None
        self.on_message(LookAnswer(request, None if error else "seen", error))
        return request

    def kill(self) -> None:
        self.killed.set()

    def close(self, timeout: float) -> None:
        self.closed.set()


@pytest.fixture
def made():
    answers: list[LookAnswer] = []
    clients: list[Client] = []

    def make(handler) -> Client:
        clients.append(Client(handler))
        return clients[0]

    looks = Looks(answers.append, make, grace=0.02, rest=0.02)
    yield looks, clients[0], answers
    looks.close()


def test_the_newest_question_of_a_topic_counts(made) -> None:
    looks, client, answers = made
    for row in range(4):
        looks.ask(question("attention", row))
    assert [request.row for request in client.asked] == [0], "the others wait"
    client.answer()
    assert answers == [], "a newer question waits"
    assert [request.row for request in client.asked] == [0, 3], "those between are never asked"
    client.answer()
    (answer,) = answers
    assert answer.request.row == 3 and looks.is_busy
    looks.ask(question("attention", 9))
    assert not looks.take(answer), "asked again before the answer was shown"
    client.answer()
    assert looks.take(answers[1]) and not looks.take(answers[1])
    assert not looks.is_busy


def test_topics_do_not_replace_each_other_and_clicks_go_first(made) -> None:
    looks, client, answers = made
    looks.ask(question("embeddings"))
    looks.ask(question("distances"))
    looks.ask(question("attention"))
    for _ in range(3):
        client.answer()
    assert [answer.request.topic for answer in answers] == ["embeddings", "attention", "distances"]


def test_dropped_answers_do_not_come(made) -> None:
    looks, client, answers = made
    looks.ask(question("attention", 1))
    looks.ask(question("stage"))
    looks.drop(["attention"])
    client.answer()
    client.answer()
    assert [answer.request.topic for answer in answers] == ["stage"]
    assert not client.killed.is_set()


def test_a_slow_look_that_is_dropped_or_stopped_ends_with_its_process(made) -> None:
    looks, client, answers = made
    looks.ask(question("distances"))
    looks.drop(["distances"])
    looks.ask(question("attention"))
    assert client.killed.wait(10)
    client.killed.clear()
    client.answer("The process was ended.")
    assert answers == [] and client.open is not None and client.open.topic == "attention"
    looks.cancel()
    assert not looks.is_busy
    assert client.killed.wait(10)


def test_a_look_that_ends_by_itself_is_not_killed(made) -> None:
    looks, client, answers = made
    ends: list[Callable[[], None]] = []
    looks._end_later = lambda number: ends.append(lambda: looks._end_firmly(number))
    looks.ask(question("attention"))
    looks.cancel()
    client.answer()
    looks.ask(question("attention"))
    ends[0]()
    assert not client.killed.is_set(), "the question of the time of the stop is over"
    client.answer()
    assert len(answers) == 1


def test_an_idle_process_ends_and_a_closed_one_is_not_asked(made) -> None:
    looks, client, answers = made
    looks.ask(question("parts"))
    assert not client.closed.is_set()
    client.answer()
    assert client.closed.wait(10)
    looks.close()
    assert looks.ask(question("parts")) == 0 and client.open is None
    assert len(answers) == 1


def test_in_a_process_that_dies_and_comes_again(tiny_model: Path, tmp_path: Path) -> None:
    image = tmp_path / "image.png"
    cv2.imwrite(str(image), np.zeros((48, 64, 3), np.uint8))
    answers: list[LookAnswer] = []
    came = threading.Condition()

    def on_answer(answer: LookAnswer) -> None:
        with came:
            answers.append(answer)
            came.notify_all()

    def wait_for(count: int) -> LookAnswer:
        with came:
            assert came.wait_for(lambda: len(answers) == count, timeout=120)
        return answers[-1]

    looks = Looks(on_answer)
    try:
        choice = ModelChoice(str(tiny_model), "cpu")
        looks.ask(LookRequest("stage", choice, image))
        found = wait_for(1)
        assert found.error is None and found.result.levels.shape == (48, 64)
        process = looks._client.process_id
        assert process is not None and process != os.getpid()
        os.kill(process, signal.SIGSTOP)
        looks.ask(LookRequest("stage", choice, image, index=1))
        os.kill(process, signal.SIGKILL)
        lost = wait_for(2)
        assert lost.error == (
            "The process that looked into tiny.safetensors ran out of memory or was ended."
        )
        looks.ask(LookRequest("stage", choice, image, index=1))
        found = wait_for(3)
        assert found.error is None and found.result.stride > 1
        assert looks._client.process_id != process
    finally:
        looks.close()
    assert looks._client.process_id is None
