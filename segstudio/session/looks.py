"""Looking inside networks from the window: one question at a time, the newest of each kind.

The questions go to a worker process of their own, so that a click is answered while a run goes on
and stopping a slow look ends nothing else.  The process ends when nobody has asked for a while.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace

from segstudio.session.look_values import LookAnswer, LookRequest
from segstudio.session.worker import Message, WorkerClient

__all__ = ["Looks"]

_GRACE_SECONDS = 2.0
"""How long a look that was stopped may take to end; loading its model again costs more."""
_REST_SECONDS = 300.0
"""How long the process keeps its model for the next question."""
_FIRST = ("parts", "attention", "probability", "stage", "embeddings", "distances")
"""Topics in the order in which waiting questions are asked: clicks before what takes long."""
_SLOW = "distances"
"""It goes through the attention of all patches: clicks must not wait for one that is not wanted."""


class Looks:
    """Asks questions about networks; answers that nobody waits for any more are dropped.

    Of each topic only the newest question counts: asking again makes an earlier one stale, whether
    it waits or is being answered.

    Parameters
    ----------
    on_answer : callable
        Receives every wanted `LookAnswer`, in a thread of the worker client's.
    make_client : callable
        Makes the worker client from a message handler.
    grace, rest : float
        Seconds that a stopped look may take to end, and that an idle process is kept.
    """

    def __init__(
        self,
        on_answer: Callable[[LookAnswer], None],
        make_client: Callable[[Callable[[Message], None]], WorkerClient] = WorkerClient,
        *,
        grace: float = _GRACE_SECONDS,
        rest: float = _REST_SECONDS,
    ) -> None:
        self._on_answer = on_answer
        self._client = make_client(self._on_message)
        self._grace, self._rest_seconds = grace, rest
        self._lock = threading.RLock()
        self._count = 0
        self._asked: LookRequest | None = None
        self._waiting: dict[str, LookRequest] = {}
        self._wanted: dict[str, int] = {}
        self._rest: threading.Timer | None = None
        self._closed = False

    @property
    def is_busy(self) -> bool:
        """Whether an answer is still wanted."""
        with self._lock:
            return bool(self._wanted)

    def ask(self, request: LookRequest) -> int:
        """Ask, or let the question wait for the one at hand; return its number."""
        with self._lock:
            if self._closed:
                return 0
            if self._rest is not None:
                self._rest.cancel()
            self._count += 1
            request = replace(request, number=self._count)
            self._wanted[request.topic] = request.number
            self._waiting[request.topic] = request
            self._ask_next()
            return request.number

    def drop(self, topics: Iterable[str]) -> None:
        """Want no answer of these topics any more; what is quick and under way may end."""
        with self._lock:
            for topic in topics:
                self._wanted.pop(topic, None)
                self._waiting.pop(topic, None)
                if topic == _SLOW and self._asked is not None and self._asked.topic == topic:
                    self._end_later(self._asked.number)

    def cancel(self) -> None:
        """Want no answer any more; what does not end by itself soon is ended with its process."""
        with self._lock:
            self._wanted.clear()
            self._waiting.clear()
            if self._asked is not None and not self._closed:
                self._end_later(self._asked.number)

    def take(self, answer: LookAnswer) -> bool:
        """Tell whether an answer is still wanted, and want it no more: it is being shown."""
        with self._lock:
            wanted = self._is_wanted(answer)
            if wanted:
                del self._wanted[answer.request.topic]
            return wanted

    def close(self) -> None:
        """Stop the process; nothing is answered any more."""
        with self._lock:
            self._closed = True
            self._wanted.clear()
            self._waiting.clear()
            if self._rest is not None:
                self._rest.cancel()
        self._client.close(0.0)  # it only reads: nothing is lost

    # -- inside -----------------------------------------------------------------------------------

    def _ask_next(self) -> None:
        if self._asked is not None or not self._waiting:
            return
        topic = min(self._waiting, key=_FIRST.index)
        self._asked = self._waiting.pop(topic)
        self._client.look(self._asked)

    def _is_wanted(self, answer: LookAnswer) -> bool:
        return self._wanted.get(answer.request.topic) == answer.request.number

    def _end_later(self, number: int) -> None:
        timer = threading.Timer(self._grace, self._end_firmly, args=(number,))
        timer.daemon = True
        timer.start()

    def _end_firmly(self, number: int) -> None:
        with self._lock:
            if self._closed or self._asked is None or self._asked.number != number:
                return
        self._client.kill()

    def _on_message(self, message: Message) -> None:
        if not isinstance(message, LookAnswer) or self._closed:
            return
        with self._lock:
            self._asked = None
            wanted = self._is_wanted(message)
            self._ask_next()
            if self._asked is None:
                self._rest = threading.Timer(self._rest_seconds, self._end_idle_process)
                self._rest.daemon = True
                self._rest.start()
        if wanted:
            self._on_answer(message)

    def _end_idle_process(self) -> None:
        with self._lock:
            if self._asked is None and not self._closed:
                self._client.close(0.0)
