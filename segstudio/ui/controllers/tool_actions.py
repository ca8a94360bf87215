"""An action and a button for every tool of the registry."""

from __future__ import annotations

from collections.abc import Callable

from segstudio.editing.tool import sorted_tools
from segstudio.ui.actions import ActionSpec
from segstudio.ui.icons import GLYPHS
from segstudio.ui.main_window import MainWindow

__all__ = ["ToolActions"]

_MORE_KEYS = {"brush": ("P",), "fill": ("G",)}
"""Keys of other editors beside a tool's own."""


class ToolActions:
    """Keeps the window's tools those of the registry.

    Parameters
    ----------
    window : MainWindow
    on_choice : callable
        Told of each tool that gets an action, to connect it.
    """

    def __init__(self, window: MainWindow, on_choice: Callable[[str], None]) -> None:
        self._window, self._on_choice = window, on_choice
        self._groups: dict[str, list[str]] = {}

    def refresh(self) -> None:
        """Make an action and a button of every tool in the registry that has none yet."""
        actions = self._window.actions_
        known = {spec.action_id for spec in actions.specs}
        for name, tool in sorted_tools():
            if f"tool_{name}" in known:
                continue
            keys = (tool.shortcut, *_MORE_KEYS.get(name, ()))
            action = actions.add(
                ActionSpec(
                    f"tool_{name}",
                    tool.title,
                    tuple(key for key in keys if key),
                    tool.icon if tool.icon in GLYPHS else "tool",
                    None,
                    True,
                    "tool",
                    scope="Correct",
                ),
                help=tool.description,
            )
            self._window.addAction(action)
            self._on_choice(name)
        groups: dict[str, list[str]] = {}
        for name, tool in sorted_tools():
            groups.setdefault(tool.group, []).append(f"tool_{name}")
        if groups != self._groups:
            self._groups = groups
            self._window.tool_column.set_groups(list(groups.values()))
