"""The jobs panel: a run that left something undone can be started again by a click."""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt

from segstudio.ui.models.jobs import JobsModel, JobView
from segstudio.ui.panels.jobs import JobsPanel, _again_rect


def test_run_again_is_a_click_on_the_words(qtbot) -> None:
    model = JobsModel()
    panel = JobsPanel(model)
    panel.resize(600, 300)
    qtbot.addWidget(panel)
    model.set_job(JobView("whole", "enet", 6, 6, state="done", is_run=True))
    model.set_job(JobView("lost", "enet", 2, 6, state="failed", is_run=True))
    asked: list[str] = []
    panel.again_requested.connect(asked.append)
    panel.grab()  # lays out the rows
    for row in range(2):
        rect = panel.view.visualRect(model.index(row))
        place = _again_rect(rect, panel.view.fontMetrics()).center()
        qtbot.mouseClick(panel.view.viewport(), Qt.MouseButton.LeftButton, pos=place)
        qtbot.mouseClick(
            panel.view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(20, rect.center().y())
        )
    assert asked == ["lost"]


def test_what_can_be_done_again() -> None:
    def job(state: str, failed: int = 0, is_run: bool = True) -> JobView:
        return JobView("a", "b", 3, 6, failed, state=state, is_run=is_run)

    again = [job("failed"), job("cancelled"), job("done", failed=1)]
    assert all(entry.repeatable for entry in again)
    not_again = [job("done"), job("running", failed=1), job("failed", is_run=False)]
    assert not any(entry.repeatable for entry in not_again)
