"""The window's composition root: the one place where everything is made and joined."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer
from PySide6.QtWidgets import QApplication

from segstudio.core.errors import SegStudioError, WriteError
from segstudio.session.settings import Settings
from segstudio.ui.icons import load_icons
from segstudio.ui.main_window import MainWindow
from segstudio.ui.theme import ThemeManager

if TYPE_CHECKING:
    from segstudio.session.session import Session

__all__ = ["Application", "main"]

_SETTLE_MS = 400
"""Between the first image and the screenshot: thumbnails and tables arrive meanwhile."""


class Application(QObject):
    """The window with its controllers, made in two steps.

    The window is shown first; session and controllers follow once it is on the screen, so that
    their imports do not delay it.

    Parameters
    ----------
    settings : Settings
    themes : ThemeManager
    """

    def __init__(self, settings: Settings, themes: ThemeManager) -> None:
        super().__init__()
        self.settings = settings
        self.themes = themes
        self.window = MainWindow()
        self.window.restore_layout(settings.get("layout"))
        self.window.tool_strip.set_size(int(settings.get("brush_size", 20)))
        shortcuts = settings.get("shortcuts")
        if isinstance(shortcuts, dict):
            lists = {name: keys for name, keys in shortcuts.items() if isinstance(keys, list)}
            self.window.actions_.set_custom_keys(lists)
        self.session: Session | None = None
        self._closed = False
        themes.changed.connect(self.window.notices.refresh)
        self.window.closing.connect(self.close)

    def join(self) -> None:
        """Make the session and the controllers."""
        from segstudio.session.session import Session
        from segstudio.ui.controllers.analyse import AnalyseController
        from segstudio.ui.controllers.browse import BrowseController
        from segstudio.ui.controllers.commands import CommandsController
        from segstudio.ui.controllers.compare import CompareController
        from segstudio.ui.controllers.compare_figure import CompareFigureController
        from segstudio.ui.controllers.compare_numbers import CompareNumbersController
        from segstudio.ui.controllers.desk import Desk
        from segstudio.ui.controllers.edit import EditController
        from segstudio.ui.controllers.finetune import FinetuneController
        from segstudio.ui.controllers.history import HistoryController
        from segstudio.ui.controllers.inside import InsideController
        from segstudio.ui.controllers.interpolate import InterpolateController
        from segstudio.ui.controllers.mapping import MappingController
        from segstudio.ui.controllers.models import ModelsController
        from segstudio.ui.controllers.ood import OodController
        from segstudio.ui.controllers.predict import PredictController
        from segstudio.ui.controllers.readout import ReadoutController
        from segstudio.ui.controllers.replacing import ReplaceController
        from segstudio.ui.controllers.reports import ReportsController
        from segstudio.ui.controllers.review import ReviewController
        from segstudio.ui.controllers.score import ScoreController
        from segstudio.ui.controllers.second_view import SecondViewController
        from segstudio.ui.controllers.slices import SlicesController
        from segstudio.ui.controllers.tasks import SessionBridge, Tasks
        from segstudio.ui.controllers.transfer import TransferController
        from segstudio.ui.thumbnails import ThumbnailLoader

        if self._closed:
            return
        load_icons()
        window = self.window
        self.session = session = Session(self.settings)
        self.tasks = tasks = Tasks(self)
        tasks.failed.connect(self.show_error)
        self.bridge = bridge = SessionBridge(session, self)
        self.thumbnails = ThumbnailLoader(_cache_folder(), self)
        self.desk = desk = Desk(window, session, tasks)
        self.browse = BrowseController(window, session, bridge, tasks, desk, self.thumbnails)
        self.predict = PredictController(window, session, bridge, desk)
        self.scores = ScoreController(window, session, tasks, desk, self.predict)
        self.edit = EditController(window, session, tasks, desk, self.scores)
        self.second_view = SecondViewController(window, session, desk, self.edit)
        self.replacing = ReplaceController(window, session, tasks, desk, self.edit)
        self.models = ModelsController(window, session, bridge, tasks, self.predict)
        self.browse.checkpoint_found.connect(self.models.open_checkpoint)
        self.finetune = FinetuneController(window, session, bridge)
        self.analyse = AnalyseController(
            window, session, bridge, tasks, desk, self.predict, self.edit
        )
        self.slices = SlicesController(window, session, tasks, desk, self.analyse)
        self.mapping = MappingController(window, session, tasks, desk)
        self.mapping.chosen.connect(self.scores.refresh)
        self.mapping.chosen.connect(self.analyse.recount)
        self.ood = OodController(window, session, bridge, tasks, desk, self.predict, self.mapping)
        self.reports = ReportsController(window, session, bridge, tasks, desk)
        self.inside = InsideController(window, session, bridge, tasks, desk)
        self.compare = CompareController(
            window, session, bridge, tasks, desk, self.predict, self.edit
        )
        self.compare_numbers = CompareNumbersController(
            window, session, bridge, tasks, desk, self.predict, self.compare
        )
        self.figures = CompareFigureController(window, session, tasks, desk, self.compare)
        self.interpolate = InterpolateController(window, session, bridge, tasks, desk, self.edit)
        self.history = HistoryController(window, session, tasks, self.edit)
        self.review = ReviewController(window, session, bridge, tasks, desk, self.edit)
        self.readout = ReadoutController(window, session, desk)
        self.transfer = TransferController(window, session, bridge, tasks, desk, self.edit)
        self.commands = CommandsController(
            window, session, tasks, desk, self.edit, self.models, self.themes
        )

    def open(self, path: Path | None, run: Sequence[str] = ()) -> None:
        """Open a path, or where one was last time; then run these models."""
        if run:
            self.browse.opened.connect(lambda _dataset: self.predict.start(list(run)))
        if path is not None:
            sample_id = ""
            if self.settings.get("last") == str(path.resolve()):
                sample_id = self.settings.get("last_sample", "")
            self.browse.open(path, sample_id=sample_id)
            return
        last = self.settings.get("last")
        if isinstance(last, str) and Path(last).exists():
            self.browse.open(Path(last), sample_id=self.settings.get("last_sample", ""))

    def close(self) -> None:
        """Save what is painted and how the window looks; stop what runs."""
        if self._closed:
            return
        self._closed = True
        if self.session is None:
            return
        sample_id = self.desk.sample_id
        self.edit.save_if_dirty()
        try:
            self.review.states.close()
        except SegStudioError as error:
            print(f"segstudio: {error}", file=sys.stderr)  # noqa: T201 - the window is closing
        self.models.save_state()
        self.slices.stop()
        self.desk.stop_reading()
        self.tasks.close()
        self.thumbnails.close()
        self.session.close()
        try:
            self.settings.set("layout", self.window.save_layout())
            self.settings.set("brush_size", self.window.tool_strip.brush_size)
            self.settings.set("last_sample", sample_id)
        except WriteError as error:
            print(f"segstudio: {error}", file=sys.stderr)  # noqa: T201 - the window is gone

    def show_error(self, error: BaseException) -> None:
        """Show an error as one sentence; its details can be copied when it is a surprise."""
        if isinstance(error, SegStudioError):
            self.window.show_notice("error", str(error), kind="error")
            return
        details = "".join(traceback.format_exception(error))
        print(details, file=sys.stderr)  # noqa: T201 - a strip holds one sentence only

        def copy() -> None:
            QApplication.clipboard().setText(details)

        self.window.show_notice(
            "error",
            f"Something unexpected happened: {type(error).__name__}: {error}",
            kind="error",
            buttons=[("Copy details", copy)],
        )

    def hook(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        """Take the place of ``sys.excepthook`` while the window is open."""
        if issubclass(kind, KeyboardInterrupt):
            QApplication.quit()
        else:
            self.show_error(error)


_SETTLED_MS = 20_000
"""By then the first image is shown and what is imported late has come."""


def main(path: Path | None, screenshot: Path | None = None, *, run: Sequence[str] = ()) -> int:
    """Open the window and return the exit status when it is closed.

    Parameters
    ----------
    path : Path or None
        Folder, image or checkpoint to open; None opens what was open last.
    screenshot : Path, optional
        Save a picture of the window there once the first image is drawn, and quit.
    run : sequence of str
        Models to run on what was opened.
    """
    qt = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(qt, QApplication)
    qt.setApplicationName("SegStudio")
    qt.setApplicationDisplayName("SegStudio")
    settings = Settings()
    themes = ThemeManager(qt, settings.get("theme", "system"))
    application = Application(settings, themes)
    status: dict[str, Any] = {"exit": 0}

    def join() -> None:
        application.join()
        if screenshot is not None:
            _take_screenshot_later(application, screenshot, status)
        application.open(path, run)
        # What is there now stays: a full collection would halt the window for 40 to 80 ms each.
        gc.freeze()
        QTimer.singleShot(_SETTLED_MS, application, gc.freeze)

    application.window.first_shown.connect(lambda: QTimer.singleShot(0, join))
    hook = sys.excepthook
    sys.excepthook = application.hook
    try:
        application.window.show()
        code = qt.exec()
    finally:
        sys.excepthook = hook
        application.close()
    return status["exit"] or code


def _take_screenshot_later(application: Application, file: Path, status: dict[str, Any]) -> None:
    """Save the window once a sample is shown, or the sentence that there is none, and quit."""

    def save() -> None:
        picture = application.window.grab()
        if not picture.save(str(file), "PNG"):
            sentence = f"segstudio: Cannot write {file}; choose another folder."
            print(sentence, file=sys.stderr)  # noqa: T201 - nobody looks at the window
            status["exit"] = 2
        application.window.close()

    def on_shown(shown: object) -> None:
        if shown is not None:
            application.desk.shown_changed.disconnect(on_shown)
            QTimer.singleShot(_SETTLE_MS, save)

    application.desk.shown_changed.connect(on_shown)
    QTimer.singleShot(20_000, save)


def _cache_folder() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("segstudio", appauthor=False)) / "thumbnails"
