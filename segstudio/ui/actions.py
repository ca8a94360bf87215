"""Everything a person can do, in one table: identifier, words, keys, icon, menu.

Menus, toolbars, the command palette and the shortcut sheet are all made from this table, so a key
exists in one place only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from PySide6.QtCore import QObject
from PySide6.QtGui import QAction, QActionGroup, QKeySequence

from segstudio.ui.icons import icon

__all__ = ["ACTIONS", "HELD_KEYS", "MENUS", "WORKSPACES", "ActionSpec", "Actions"]

MENUS = ("File", "Edit", "View", "Run", "Help")
"""Menus in order; every action with a menu is in one of them."""

WORKSPACES = ("browse", "correct", "analyse")
"""Workspaces from left to right; their keys are Ctrl+1, Ctrl+2, Ctrl+4."""


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """One thing to do.

    Attributes
    ----------
    action_id : str
        How the program names it.
    title : str
        How a person reads it; a trailing "..." means that a question follows.
    keys : tuple of str
        Portable key sequences, the first is shown in menus.
    icon : str or None
        A key of `segstudio.ui.icons.GLYPHS`.
    menu : str or None
        One of `MENUS`.
    checkable : bool
        Whether it is a state rather than a deed.
    group : str or None
        Checkable actions of one group exclude each other.
    soft : bool
        Its keys are plain enough that sliders, lists and fields want them too; they only act
        while the picture or the sample list has the focus.
    separated : bool
        Whether a line is drawn above it in its menu.
    scope : str
        Heading in the shortcut sheet.
    """

    action_id: str
    title: str
    keys: tuple[str, ...] = ()
    icon: str | None = None
    menu: str | None = None
    checkable: bool = False
    group: str | None = None
    soft: bool = False
    separated: bool = False
    scope: str = "Window"


_S = ActionSpec
# fmt: off
ACTIONS: tuple[ActionSpec, ...] = (
    _S("open_folder", "Open folder…", ("Ctrl+U",), "open", "File", scope="File"),
    _S("open_file", "Open image…", ("Ctrl+O",), "open-file", "File", scope="File"),
    _S("open_model", "Open model…", ("Ctrl+Shift+O",), "model", "File", scope="File"),
    _S("save", "Save correction", ("Ctrl+S",), "save", "File", separated=True, scope="File"),
    _S("export", "Export label maps…", ("Ctrl+E",), "export", "File", scope="File"),
    _S("quit", "Quit", ("Ctrl+Q",), None, "File", separated=True, scope="File"),

    _S("undo", "Undo stroke", ("Ctrl+Z",), "undo", "Edit", scope="Correct"),
    _S("redo", "Redo stroke", ("Ctrl+Shift+Z", "Ctrl+Y"), "redo", "Edit", scope="Correct"),
    _S("brush_smaller", "Smaller brush", ("[",), None, "Edit", separated=True, scope="Correct"),
    _S("brush_larger", "Larger brush", ("]",), None, "Edit", scope="Correct"),
    _S("find_class", "Find class", ("Ctrl+L",), "search", "Edit", separated=True, scope="Correct"),
    _S("find_sample", "Find image", ("Ctrl+G",), "search", "Edit", scope="Browse"),
    _S("command_palette", "Command palette…", ("Ctrl+K",), "command", "Edit", scope="Window"),

    _S("workspace_browse", "Browse", ("Ctrl+1",), None, "View", True, "workspace"),
    _S("workspace_correct", "Correct", ("Ctrl+2",), None, "View", True, "workspace"),
    _S("workspace_analyse", "Analyse", ("Ctrl+4",), None, "View", True, "workspace"),
    _S("previous_sample", "Previous image", ("A", "Left", "Up"), "previous", "View", soft=True,
       separated=True, scope="Browse"),
    _S("next_sample", "Next image", ("D", "Right", "Down"), "next", "View", soft=True,
       scope="Browse"),
    _S("next_region", "Next error region", ("Ctrl+J",), None, "View", scope="Browse"),
    _S("previous_region", "Previous error region", ("Ctrl+Shift+J",), None, "View",
       scope="Browse"),
    _S("fit", "Fit image", ("Ctrl+F",), "fit", "View", separated=True, scope="View"),
    _S("actual_size", "100 %", ("Ctrl+0",), "actual", "View", scope="View"),
    _S("zoom_in", "Zoom in", ("Ctrl++", "Ctrl+="), "zoom-in", "View", scope="View"),
    _S("zoom_out", "Zoom out", ("Ctrl+-",), "zoom-out", "View", scope="View"),
    _S("opacity_up", "Stronger overlays", ("+", "="), None, "View", separated=True, scope="View"),
    _S("opacity_down", "Weaker overlays", ("-",), None, "View", scope="View"),
    _S("toggle_outlines", "Outlines instead of fills", ("O",), "outline", "View", True,
       scope="View"),
    _S("toggle_panels", "Hide all panels", ("Tab",), "panels", "View", True, soft=True,
       separated=True, scope="Window"),
    _S("reset_layout", "Reset panel layout", (), None, "View", scope="Window"),
    _S("theme_system", "Theme: follow system", (), None, "View", True, "theme", separated=True),
    _S("theme_dark", "Theme: dark", (), None, "View", True, "theme"),
    _S("theme_light", "Theme: light", (), None, "View", True, "theme"),

    _S("run", "Run model…", ("Ctrl+R",), "run", "Run", scope="Run"),
    _S("models", "Models…", ("Ctrl+M",), "models", "Run", scope="Run"),
    _S("cancel_job", "Stop the running job", ("Ctrl+.",), "cancel", "Run", scope="Run"),

    _S("shortcuts", "Keyboard shortcuts", ("F1",), "keyboard", "Help"),
    _S("about", "About SegStudio", (), "info", "Help", separated=True),

    # The tools that paint come from their registry; the two here do not change anything.
    _S("tool_pick", "Pick class", ("L", "I"), "pick", None, True, "tool", scope="Correct"),
    _S("tool_pan", "Pan", ("Z", "H"), "pan", None, True, "tool", scope="Correct"),
    # Enabled only while a polygon or a line waits for its next corner.
    _S("finish_shape", "Finish polygon or line", ("Return", "Enter"), "check", scope="Correct"),
    _S("shape_back", "Take the last corner back", ("Backspace",), None, scope="Correct"),
    _S("cancel_shape", "Give up the polygon or line", ("Esc",), "cancel", scope="Correct"),
    *(
        _S(f"favourite_{digit}", f"Paint with class {digit}", (str(digit),), scope="Correct")
        for digit in range(1, 10)
    ),
)
# fmt: on
"""The table."""

HELD_KEYS: tuple[tuple[str, str, str], ...] = (
    ("V or 0, held", "Look at the photograph without overlays", "View"),
    ("Space, held", "Move the picture, whatever the tool", "View"),
    ("Wheel", "Zoom at the pointer", "View"),
    ("Alt + wheel", "Brush size", "Correct"),
    ("Right button", "Make unlabelled instead of painting", "Correct"),
    ("Alt + click on a class", "Show only this class", "View"),
    ("Shift, held", "Read the runner-up class and its entropy", "View"),
)
"""Gestures that are no action: keys, words, heading."""


class Actions(QObject):
    """The table as `QAction`s, by identifier."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._specs: dict[str, ActionSpec] = {}
        self._actions: dict[str, QAction] = {}
        self._groups: dict[str, QActionGroup] = {}
        for spec in ACTIONS:
            self.add(spec)

    @property
    def specs(self) -> tuple[ActionSpec, ...]:
        """The table, with what was added to it."""
        return tuple(self._specs.values())

    def add(self, spec: ActionSpec, *, help: str = "") -> QAction:
        """Make the action of one more line, as for a tool; keys that are taken are left out.

        Parameters
        ----------
        spec : ActionSpec
            The line; its identifier is new.
        help : str
            A sentence for the tooltip.
        """
        taken = {key for known in self._specs.values() for key in known.keys}
        spec = replace(spec, keys=tuple(key for key in spec.keys if key not in taken))
        action = QAction(spec.title, self)
        action.setObjectName(spec.action_id)
        if spec.icon:
            action.setIcon(icon(spec.icon))
            action.setIconVisibleInMenu(spec.menu is not None)
        action.setCheckable(spec.checkable)
        if spec.group:
            self._groups.setdefault(spec.group, QActionGroup(self)).addAction(action)
        action.setShortcuts([QKeySequence(key) for key in spec.keys])
        words = spec.title.rstrip("…")
        if spec.keys:
            key = QKeySequence(spec.keys[0]).toString(QKeySequence.SequenceFormat.NativeText)
            words = f"{words}  ({key})"
        action.setToolTip(f"{words}\n{help}" if help else words)
        self._specs[spec.action_id] = spec
        self._actions[spec.action_id] = action
        return action

    def __getitem__(self, action_id: str) -> QAction:
        return self._actions[action_id]

    def __iter__(self) -> Iterator[QAction]:
        return iter(self._actions.values())

    def spec(self, action_id: str) -> ActionSpec:
        """Return the table's line of an action."""
        return self._specs[action_id]

    def in_menu(self, menu: str) -> list[tuple[ActionSpec, QAction]]:
        """Return a menu's lines in order."""
        return [
            (spec, self._actions[spec.action_id]) for spec in ACTIONS if spec.menu == menu
        ]

    def set_soft_keys(self, active: bool) -> None:
        """Let the soft actions' keys act, or leave them to the widget that has the focus."""
        for spec in ACTIONS:
            if spec.soft:
                keys = [QKeySequence(key) for key in spec.keys] if active else []
                self._actions[spec.action_id].setShortcuts(keys)
