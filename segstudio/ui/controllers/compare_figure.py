"""Exporting the comparison grid as figures."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QDialog, QMessageBox

from segstudio.core.errors import WriteError
from segstudio.core.types import BBox
from segstudio.session.comparison_figure import GridFigure, write_grid_figure
from segstudio.session.session import Session
from segstudio.ui.controllers.compare import CompareController
from segstudio.ui.controllers.desk import Desk
from segstudio.ui.controllers.tasks import Tasks, sentence
from segstudio.ui.dialogs.figure import FigureChoice, FigureDialog
from segstudio.ui.main_window import MainWindow
from segstudio.ui.models import number

__all__ = ["CompareFigureController"]


class CompareFigureController(QObject):
    """Joins "Export figure…" with the session; figures are drawn one after the other in a thread.

    Parameters
    ----------
    window : MainWindow
    session : Session
    tasks : Tasks
    desk : Desk
    compare : CompareController
        Whose models, pair and columns are drawn.
    """

    def __init__(
        self,
        window: MainWindow,
        session: Session,
        tasks: Tasks,
        desk: Desk,
        compare: CompareController,
    ) -> None:
        super().__init__(window)
        self._window, self._session, self._tasks = window, session, tasks
        self._desk, self._compare = desk, compare
        self._waiting: list[tuple[str, Path]] = []
        self._done: list[Path] = []
        window.actions_["export_figure"].triggered.connect(lambda _checked: self.ask())
        window.compare_grid.figure_requested.connect(self.ask)

    def ask(self) -> None:
        """Ask what to draw and where, ask again before files are replaced, then draw."""
        window, dataset = self._window, self._session.dataset
        if dataset is None or not self._desk.sample_id:
            self._say("Open a dataset first; then its images can be drawn as a figure.")
            return
        window.set_workspace("compare")  # what one sees is what is drawn
        if not self._compare.runs or not window.compare_grid.columns:
            self._say("There is nothing to draw yet: run a model, and choose a column.")
            return
        settings = self._session.settings
        dialog = FigureDialog(
            self._desk.sample_id,
            window.compare_panel.selected_samples(),
            Path(settings.get("figure_folder", str(dataset.root / "figures"))),
            zoomed=window.compare_grid.grid.part_in_view() is not None,
            form=settings.get("figure_format", "png"),
            dpi=settings.get("figure_dpi", 200),
            parent=window,
        )
        if dialog.exec() != QDialog.DialogCode.Accepted:
            return
        choice = dialog.choice()
        if not self._may_replace([path for path in choice.targets if path.exists()]):
            return
        for key, value in (
            ("figure_folder", dialog.folder),
            ("figure_format", choice.format),
            ("figure_dpi", choice.dpi),
        ):
            try:
                settings.set(key, value)
            except WriteError as error:
                window.show_notice("settings", str(error), kind="warning")
        self.start(choice)

    def _may_replace(self, existing: list[Path]) -> bool:
        """Ask whether files may be replaced; True without any."""
        if not existing:
            return True
        names = ", ".join(path.name for path in existing[:3])
        count = len(existing)
        words = f"{names} is there already." if count == 1 else f"{count} files are there already"
        if count > 1:
            words += f": {names}{', …' if count > 3 else ''}."
        box = QMessageBox(self._window)
        box.setWindowTitle("Export figure")
        box.setIcon(QMessageBox.Icon.Warning)
        box.setText(words)
        box.setInformativeText("Its old content is lost." if count == 1 else "They are lost.")
        replace = box.addButton("Replace", QMessageBox.ButtonRole.DestructiveRole)
        box.setDefaultButton(box.addButton(QMessageBox.StandardButton.Cancel))
        box.exec()
        return box.clickedButton() is replace

    def start(self, choice: FigureChoice) -> None:
        """Draw figures; files that are there are replaced."""
        part = self._window.compare_grid.grid.part_in_view() if choice.in_view else None
        self._waiting = list(zip(choice.samples, choice.targets, strict=True))
        self._done = []
        self._next(choice.dpi, part, len(self._waiting))

    def _next(self, dpi: int, part: BBox | None, total: int) -> None:
        if not self._waiting:
            self._finish()
            return
        sample_id, path = self._waiting.pop(0)
        if total > 1:
            words = f"Figure {len(self._done) + 1} of {total}: {path.name} …"
            buttons = [("Stop", self._stop)]
            self._window.show_notice("figure", words, buttons=buttons)
        else:
            self._say(f"Drawing {path.name} …")
        compare = self._compare
        runs, pair = compare.runs, compare.pair
        columns = tuple(self._window.compare_grid.columns)
        style = compare.style

        def work() -> Path:
            compared = self._session.comparisons.read(runs, sample_id, pair if all(pair) else ())
            scores = {
                run: f"mIoU {number(miou)}"
                for run in runs
                if (miou := self._session.sample_scores(run).get(sample_id)) is not None
            }
            content = GridFigure(compared, columns, style.opacity, part, scores, style.classes)
            write_grid_figure(path, content, dpi=dpi, existing="replace")
            return path

        self._tasks.start(
            "figure", work, partial(self._on_written, dpi, part, total), self._on_failed
        )

    def _on_written(self, dpi: int, part: BBox | None, total: int, path: Path) -> None:
        self._done.append(path)
        self._next(dpi, part, total)

    def _on_failed(self, error: Exception) -> None:
        self._waiting = []
        words = sentence(error)
        if self._done:
            words += f" {len(self._done)} figures were written before."
        self._window.show_notice("figure", words, kind="error")

    def _stop(self) -> None:
        """Draw none of those that wait; the one at hand is finished."""
        self._waiting = []

    def _finish(self) -> None:
        if len(self._done) == 1:
            words = f"The figure was written to {self._done[0]}."
        else:
            words = f"{len(self._done)} figures were written to {self._done[0].parent}."
        self._window.show_notice("figure", words, kind="done")

    def _say(self, text: str) -> None:
        self._window.show_notice("figure", text)
