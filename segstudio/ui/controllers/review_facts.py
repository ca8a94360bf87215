"""What images are filtered and sorted by, and the search that finds some of it."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QObject

from segstudio.core.label_space import LabelSpace
from segstudio.session.events import JobState
from segstudio.session.reviews import SampleFacts
from segstudio.session.session import Session
from segstudio.ui.controllers.desk import Desk
from segstudio.ui.controllers.tasks import SessionBridge, Tasks, sentence
from segstudio.ui.main_window import MainWindow
from segstudio.ui.models.legend import short_name

__all__ = ["ReviewFacts"]


class ReviewFacts(QObject):
    """Gives the list of images what the run at hand says of them."""

    def __init__(
        self,
        window: MainWindow,
        session: Session,
        bridge: SessionBridge,
        tasks: Tasks,
        desk: Desk,
    ) -> None:
        super().__init__(window)
        self._window, self._session, self._tasks, self._desk = window, session, tasks, desk
        window.actions_["find_uncertain"].triggered.connect(lambda _checked: self._search())
        desk.run_changed.connect(lambda _run: self._read())
        bridge.job_changed.connect(self._on_job)

    def _search(self) -> None:
        run = self._desk.run
        if not run:
            self._tell("Run a model first; then its uncertain regions can be found.")
            return

        def tell(job_id: str | None) -> None:
            if job_id is None:
                self._tell("The uncertain regions of all images are known.", kind="done")

        self._tasks.start(
            "search", partial(self._session.reviews.start_search, run), tell, self._on_failed
        )

    def _on_job(self, state: JobState) -> None:
        # A run that ended has new scores; a search has found entropies and classes.
        if state.is_over and state.unit in ("searched", "samples"):
            self._read()

    def _on_failed(self, error: Exception) -> None:
        self._tell(sentence(error), kind="warning")

    def _tell(self, text: str, *, kind: str = "info") -> None:
        self._window.show_notice("review", text, kind=kind, seconds=8)

    def _read(self) -> None:
        run, samples = self._desk.run, self._window.samples
        if not run:
            samples.set_facts({}, ())
            return

        def work() -> tuple[dict[str, SampleFacts], LabelSpace]:
            return self._session.reviews.facts(run), self._session.store.run(run).label_space

        def keep(answer: tuple[dict[str, SampleFacts], LabelSpace]) -> None:
            facts, space = answer
            names = tuple(short_name(entry.name) for entry in space.classes)
            samples.set_facts(
                {
                    key: (entry.mean_entropy, entry.confident_errors, entry.classes)
                    for key, entry in facts.items()
                },
                names,
            )
            self._window.samples_panel.set_classes(names)

        self._tasks.start("facts", work, keep, self._on_failed)
