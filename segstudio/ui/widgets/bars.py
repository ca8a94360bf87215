"""The bar at the top and the bar at the bottom of the window."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QMenuBar,
    QProgressBar,
    QPushButton,
    QStatusBar,
    QToolButton,
    QWidget,
)

from segstudio.ui.actions import MENUS, WORKSPACES, Actions
from segstudio.ui.icons import icon
from segstudio.ui.models.jobs import JobView
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import ElidedLabel, Segmented, icon_button

__all__ = ["StatusBar", "TopBar", "build_menus"]


def build_menus(bar: QMenuBar, actions: Actions) -> None:
    """Fill a menu bar from the table of actions."""
    for title in MENUS:
        menu = bar.addMenu(f"&{title}")
        menu.setObjectName(f"menu{title}")
        for spec, action in actions.in_menu(title):
            if spec.separated:
                menu.addSeparator()
            menu.addAction(action)


class TopBar(QWidget):
    """Menus at the left, workspaces in the middle, the run button at the right."""

    def __init__(self, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("topBar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedHeight(5 * GRID + 4)
        self.menus = QMenuBar()
        build_menus(self.menus, actions)
        self._workspaces = Segmented([actions[f"workspace_{name}"] for name in WORKSPACES], self)
        self.dataset = ElidedLabel("", mode=Qt.TextElideMode.ElideMiddle, role="muted")
        self.run = QPushButton("Run")
        self.run.setIcon(icon("run", role="on_accent"))
        self.run.setProperty("primary", "true")
        self.run.setToolTip(actions["run"].toolTip())
        self.run.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.run.clicked.connect(lambda _checked=False: actions["run"].trigger())
        actions["run"].enabledChanged.connect(self._follow_run)
        palette = QToolButton()
        palette.setDefaultAction(actions["command_palette"])
        palette.setIconSize(QSize(18, 18))
        palette.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(GRID, 0, GRID + 4, 0)
        layout.setSpacing(GRID)
        layout.addWidget(self.menus, 0, Qt.AlignmentFlag.AlignVCenter)
        layout.addStretch(1)
        layout.addWidget(palette)
        layout.addWidget(self.run)
        self._actions = actions
        self._follow_run()

    def _follow_run(self, _enabled: bool = True) -> None:
        enabled = self._actions["run"].isEnabled()
        self.run.setEnabled(enabled)
        self.run.setIcon(icon("run", role="on_accent" if enabled else "faint"))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the workspaces in the middle of the window, whatever is at the sides."""
        super().resizeEvent(event)
        size = self._workspaces.sizeHint()
        left = (self.width() - size.width()) // 2
        left = max(left, self.menus.sizeHint().width() + 2 * GRID)
        self._workspaces.setGeometry(
            left, (self.height() - size.height()) // 2, size.width(), size.height()
        )


class StatusBar(QStatusBar):
    """What is under the pointer, the zoom, and the job that runs."""

    cancel_requested = Signal(str)
    jobs_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeGripEnabled(False)
        self.readout = ElidedLabel("", role="muted")
        self._zoom = QLabel("")
        self._zoom.setMinimumWidth(7 * GRID)
        self._zoom.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._job_id = ""
        self._job = QWidget()
        self._words = QLabel("")
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._bar.setFixedWidth(14 * GRID)
        self._cancel = icon_button(
            "cancel", "Stop this job; what is finished is kept", self._on_cancel, size=14
        )
        layout = QHBoxLayout(self._job)
        layout.setContentsMargins(GRID, 0, 0, 0)
        layout.setSpacing(GRID)
        layout.addWidget(self._words)
        layout.addWidget(self._bar)
        layout.addWidget(self._cancel)
        self.addWidget(self.readout, 1)
        self.addPermanentWidget(self._zoom)
        self.addPermanentWidget(self._job)
        self.setContentsMargins(GRID, 0, GRID, 0)
        self.setFixedHeight(3 * GRID + 4)
        self._job.hide()

    def set_readout(self, text: str) -> None:
        """Say what is under the pointer."""
        self.readout.set_text(text)
        self.readout.setToolTip("")

    def set_zoom(self, percent: float | None) -> None:
        """Show the zoom; None shows none."""
        if percent is None:
            self._zoom.setText("")
        else:
            self._zoom.setText(f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %")

    @property
    def zoom_text(self) -> str:
        """The zoom as it is written."""
        return self._zoom.text()

    def set_job(self, job: JobView | None) -> None:
        """Show the job that runs; None when none does."""
        self._job.setVisible(job is not None)
        if job is None:
            self._job_id = ""
            return
        self._job_id = job.job_id
        self._words.setText(f"{job.title}  {job.summary}")
        # In thousandths: the bytes of a large file do not fit a progress bar's numbers.
        self._bar.setRange(0, 1000 if job.total else 0)
        self._bar.setValue(round(1000 * job.done / job.total) if job.total else 0)
        self._cancel.setEnabled(job.state in ("starting", "running"))

    def _on_cancel(self) -> None:
        if self._job_id:
            self.cancel_requested.emit(self._job_id)
