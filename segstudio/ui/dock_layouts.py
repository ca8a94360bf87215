"""Where the panels are in each workspace: at first, and as a person left them."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QByteArray, Qt
from PySide6.QtWidgets import QMainWindow, QTabBar, QTabWidget

from segstudio.ui.actions import WORKSPACES
from segstudio.ui.widgets.docks import PanelDock

__all__ = ["ANALYSIS_DOCKS", "LAYERS_WIDTH", "LAYOUT_VERSION", "DockLayouts"]

LAYERS_WIDTH = 312
"""Pixels of layers and classes at first."""

LAYOUT_VERSION = 4
"""Saved layouts of another version are not restored."""

ANALYSIS_DOCKS = (
    "confusion",
    "regions",
    "kinds",
    "objects",
    "uncertainty",
    "slices",
    "ood",
    "inside",
)
"""Docks that only the Analyse workspace shows at first."""

_AREAS = Qt.DockWidgetArea
_LEFT, _RIGHT, _BOTTOM = (
    _AREAS.LeftDockWidgetArea,
    _AREAS.RightDockWidgetArea,
    _AREAS.BottomDockWidgetArea,
)


class DockLayouts:
    """The layouts of a window's workspaces.

    Parameters
    ----------
    window : QMainWindow
    docks : dict of str to PanelDock
        By name; all are added to the window.
    """

    def __init__(self, window: QMainWindow, docks: dict[str, PanelDock]) -> None:
        self._window, self._docks = window, docks
        self._layouts: dict[str, QByteArray] = {}
        for area in (_LEFT, _RIGHT, _BOTTOM):
            window.setTabPosition(area, QTabWidget.TabPosition.North)
        window.setCorner(Qt.Corner.BottomLeftCorner, _LEFT)
        window.setCorner(Qt.Corner.BottomRightCorner, _RIGHT)
        self._arrange("browse")

    def switch(self, before: str, after: str) -> None:
        """Leave one workspace for another."""
        self._layouts[before] = self._window.saveState(LAYOUT_VERSION)
        # Correct begins as Browse was left; Analyse has an arrangement of its own.
        for name in (after, *(("browse",) if after == "correct" else ())):
            if name in self._layouts and self._restored(name):
                return
        self._arrange(after)

    def reset(self, workspace: str) -> None:
        """Put every panel where it was at first, in all workspaces."""
        self._layouts.clear()
        self._arrange(workspace)

    def save(self, workspace: str) -> dict[str, Any]:
        """Return the layouts as JSON-ready values."""
        layouts = {**self._layouts, workspace: self._window.saveState(LAYOUT_VERSION)}
        return {
            "layouts": {name: encode(state) for name, state in layouts.items()},
            "folded": [name for name, dock in self._docks.items() if dock.folded],
        }

    def restore(self, saved: dict[str, Any], workspace: str) -> None:
        """Restore what `save` returned; anything else is ignored."""
        layouts = saved.get("layouts")
        if isinstance(layouts, dict):
            self._layouts = {
                name: decode(state)
                for name, state in layouts.items()
                if name in WORKSPACES and isinstance(state, str)
            }
        if workspace in self._layouts:
            self._restored(workspace)
        for name in saved.get("folded") or ():
            if name in ("layers", "classes"):
                self._docks[name].set_folded(True)

    # -- inside -------------------------------------------------------------------------------

    def _restored(self, workspace: str) -> bool:
        """Restore a layout; one that cannot be is forgotten."""
        before = self._tab_bars()
        if self._window.restoreState(self._layouts[workspace], LAYOUT_VERSION):
            _hide(before)
            return True
        del self._layouts[workspace]
        return False

    def _tab_bars(self) -> list[QTabBar]:
        """Return the tab bars in use: Qt makes new ones and leaves these lying about."""
        direct = Qt.FindChildOption.FindDirectChildrenOnly
        bars = self._window.findChildren(QTabBar, options=direct)
        return [bar for bar in bars if not bar.isHidden()]

    def _arrange(self, workspace: str) -> None:
        before = self._tab_bars()
        for dock in self._docks.values():
            if dock.isFloating():
                dock.setFloating(False)
            self._window.removeDockWidget(dock)
            dock.set_folded(False)
        if workspace == "analyse":
            self._arrange_analysis()
        elif workspace == "compare":
            self._arrange_comparison()
        else:
            self._arrange_work()
        _hide(before)

    def _arrange_work(self) -> None:
        """Images at the left, layers and classes at the right, scores below."""
        window, docks = self._window, self._docks
        window.addDockWidget(_LEFT, docks["samples"])
        # The second view is between the picture and the layers.
        window.addDockWidget(_RIGHT, docks["second"])
        window.addDockWidget(_RIGHT, docks["layers"])
        window.splitDockWidget(docks["second"], docks["layers"], Qt.Orientation.Horizontal)
        window.splitDockWidget(docks["layers"], docks["classes"], Qt.Orientation.Vertical)
        self._tabs(_BOTTOM, ("scores", "jobs", *ANALYSIS_DOCKS, "compare"))
        for name, dock in docks.items():
            dock.setVisible(name not in (*ANALYSIS_DOCKS, "compare", "second"))
        docks["scores"].raise_()
        window.resizeDocks(
            [docks["samples"], docks["layers"]], [280, LAYERS_WIDTH], Qt.Orientation.Horizontal
        )
        window.resizeDocks([docks["layers"], docks["classes"]], [236, 480], Qt.Orientation.Vertical)
        window.resizeDocks([docks["scores"]], [232], Qt.Orientation.Vertical)

    def _arrange_analysis(self) -> None:
        """Confusion over regions at the left, the picture beside them, plots below it."""
        window, docks = self._window, self._docks
        window.addDockWidget(_LEFT, docks["confusion"])
        # Before there are tabs: a split beside a tab becomes another tab.
        window.splitDockWidget(docks["confusion"], docks["regions"], Qt.Orientation.Vertical)
        window.tabifyDockWidget(docks["confusion"], docks["samples"])
        plots = ("kinds", "objects", "uncertainty", "slices", "ood", "inside")
        self._tabs(_BOTTOM, (*plots, "scores", "jobs", "compare"))
        window.addDockWidget(_RIGHT, docks["second"])
        self._tabs(_RIGHT, ("layers", "classes"))
        for name, dock in docks.items():
            dock.setVisible(name not in ("samples", "layers", "classes", "compare", "second"))
        docks["kinds"].raise_()
        width, height = window.width(), window.height()
        window.resizeDocks(
            [docks["confusion"], docks["regions"]], [width // 2] * 2, Qt.Orientation.Horizontal
        )
        window.resizeDocks(
            [docks["confusion"], docks["regions"]],
            [height * 6 // 10, height * 4 // 10],
            Qt.Orientation.Vertical,
        )
        window.resizeDocks([docks["kinds"]], [height * 4 // 10], Qt.Orientation.Vertical)

    def _arrange_comparison(self) -> None:
        """Images at the left, numbers below the grid."""
        window, docks = self._window, self._docks
        window.addDockWidget(_LEFT, docks["samples"])
        self._tabs(_BOTTOM, ("compare", "scores", "jobs", *ANALYSIS_DOCKS))
        window.addDockWidget(_RIGHT, docks["second"])
        self._tabs(_RIGHT, ("layers", "classes"))
        for name, dock in docks.items():
            dock.setVisible(name in ("samples", "compare", "scores", "jobs"))
        docks["compare"].raise_()
        window.resizeDocks([docks["samples"]], [272], Qt.Orientation.Horizontal)
        window.resizeDocks([docks["compare"]], [272], Qt.Orientation.Vertical)

    def _tabs(self, area: Qt.DockWidgetArea, names: tuple[str, ...]) -> None:
        for name in names:
            self._window.addDockWidget(area, self._docks[name])
        for name in names[1:]:
            self._window.tabifyDockWidget(self._docks[names[0]], self._docks[name])


def _hide(bars: list[QTabBar]) -> None:
    for bar in bars:
        bar.hide()


def encode(data: QByteArray) -> str:
    """Return bytes of Qt as text for JSON."""
    return bytes(data.toBase64().data()).decode("ascii")


def decode(text: str) -> QByteArray:
    """Return what `encode` made text of."""
    return QByteArray.fromBase64(text.encode("ascii", "replace"))
