"""Work off the GUI thread, answered on it; an answer to an old question is dropped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QObject, QRunnable, Qt, QThreadPool, Signal, Slot

from segstudio.core.background import step_back
from segstudio.core.errors import SegStudioError

__all__ = ["SessionBridge", "Tasks"]


class _Task(QRunnable):
    def __init__(self, owner: Tasks, topic: str, generation: int, work: Callable[[], Any]) -> None:
        super().__init__()
        self._owner, self._topic, self._generation, self._work = owner, topic, generation, work

    def run(self) -> None:
        """Work, and send result or error to the GUI thread."""
        step_back()
        result, error = None, None
        try:
            result = self._work()
        except Exception as caught:  # noqa: BLE001 - shown by the one who asked
            error = caught
        self._owner.answered.emit((self._topic, self._generation, result, error))


class Tasks(QObject):
    """A pool of threads with one current question per topic.

    Asking again about a topic makes the answer to the earlier question stale: it is dropped when
    it comes.
    """

    answered = Signal(object)
    failed = Signal(object)  # an exception that nobody wanted

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = QThreadPool(self)
        self._pool.setMaxThreadCount(3)
        self._generations: dict[str, int] = {}
        self._waiting: dict[tuple[str, int], tuple[Any, Any]] = {}
        self.answered.connect(self._on_answer, Qt.ConnectionType.QueuedConnection)

    def start(
        self,
        topic: str,
        work: Callable[[], Any],
        on_result: Callable[[Any], None],
        on_error: Callable[[Exception], None] | None = None,
        *,
        priority: int = 0,
    ) -> None:
        """Do ``work`` in a thread, then call ``on_result`` or ``on_error`` in this one."""
        generation = self._generations.get(topic, 0) + 1
        self._generations[topic] = generation
        self._waiting[topic, generation] = on_result, on_error
        self._pool.start(_Task(self, topic, generation, work), priority)

    def forget(self) -> None:
        """Make every open question stale."""
        for topic in self._generations:
            self._generations[topic] += 1

    def close(self) -> None:
        """Wait for what runs; answers no longer come."""
        self.forget()
        self._pool.clear()
        self._pool.waitForDone()

    @Slot(object)
    def _on_answer(self, answer: tuple[str, int, Any, Exception | None]) -> None:
        topic, generation, result, error = answer
        on_result, on_error = self._waiting.pop((topic, generation), (None, None))
        if generation != self._generations[topic]:
            return
        if error is None:
            if on_result is not None:
                on_result(result)
        elif on_error is not None:
            on_error(error)
        else:
            self.failed.emit(error)


class SessionBridge(QObject):
    """The session's news as Qt signals, which arrive on the GUI thread."""

    dataset_opened = Signal(object)
    prediction_ready = Signal(object)
    sample_failed = Signal(object)
    job_changed = Signal(object)
    devices_changed = Signal(list)
    model_inspected = Signal(object)
    problem = Signal(str)

    def __init__(self, session: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        session.dataset_opened.connect(self.dataset_opened.emit)
        session.prediction_ready.connect(self.prediction_ready.emit)
        session.sample_failed.connect(self.sample_failed.emit)
        session.job_changed.connect(self.job_changed.emit)
        session.devices_changed.connect(self.devices_changed.emit)
        session.model_inspected.connect(self.model_inspected.emit)
        session.problem.connect(self.problem.emit)


def sentence(error: BaseException) -> str:
    """Return what a person reads of an exception."""
    if isinstance(error, SegStudioError):
        return str(error)
    return f"Something unexpected happened: {type(error).__name__}: {error}"
