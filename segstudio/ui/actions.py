"""Everything a person can do, in one table: identifier, words, keys, icon, menu.

Menus, toolbars, the command palette and the shortcut sheet are all made from this table, so a key
exists in one place only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from PySide6.QtCore import QObject
from PySide6.QtGui import QAction, QActionGroup, QKeySequence

from segstudio.ui.icons import icon

__all__ = [
    "ACTIONS",
    "HELD_KEYS",
    "MENUS",
    "RESERVED_KEYS",
    "WORKSPACES",
    "ActionSpec",
    "Actions",
    "native",
    "portable",
]

MENUS = ("File", "Edit", "View", "Review", "Run", "Analyse", "Help")
"""Menus in order; every action with a menu is in one of them."""

WORKSPACES = ("browse", "correct", "compare", "analyse")
"""Workspaces from left to right; their keys are Ctrl+1 to Ctrl+4."""


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
    _S("export_figure", "Export figure…", ("Ctrl+Shift+E",), "image", "File", scope="File"),
    _S("import_predictions", "Import predictions…", (), "import", "File", scope="File"),
    _S("repair_project", "Repair damaged project", (), None, "File", separated=True,
       scope="File"),
    _S("quit", "Quit", ("Ctrl+Q",), None, "File", separated=True, scope="File"),

    _S("undo", "Undo stroke", ("Ctrl+Z",), "undo", "Edit", scope="Correct"),
    _S("redo", "Redo stroke", ("Ctrl+Shift+Z", "Ctrl+Y"), "redo", "Edit", scope="Correct"),
    _S("history", "Edit history…", ("Ctrl+H",), "history", "Edit", scope="Correct"),
    _S("previous_revision", "Bring back the previous revision", (), None, "Edit",
       scope="Correct"),
    _S("interpolate", "Interpolate between corrected frames…", ("Ctrl+Shift+I",), None, "Edit",
       scope="Correct"),
    _S("replace_class", "Replace a class in many images…", ("Ctrl+Shift+C",), "replace", "Edit",
       scope="Correct"),
    _S("swap_class", "Swap with the last class", ("X", "-"), None, "Edit", separated=True,
       scope="Correct"),
    _S("brush_smaller", "Smaller brush", ("[",), None, "Edit", separated=True, scope="Correct"),
    _S("brush_larger", "Larger brush", ("]",), None, "Edit", scope="Correct"),
    _S("find_class", "Find class", ("Ctrl+L",), "search", "Edit", separated=True, scope="Correct"),
    _S("find_sample", "Find image", ("Ctrl+G",), "search", "Edit", scope="Browse"),
    _S("command_palette", "Command palette…", ("Ctrl+K",), "command", "Edit", scope="Window"),

    _S("workspace_browse", "Browse", ("Ctrl+1",), None, "View", True, "workspace"),
    _S("workspace_correct", "Correct", ("Ctrl+2",), None, "View", True, "workspace"),
    _S("workspace_compare", "Compare", ("Ctrl+3",), None, "View", True, "workspace"),
    _S("workspace_analyse", "Analyse", ("Ctrl+4",), None, "View", True, "workspace"),
    _S("previous_sample", "Previous image", ("A", "Left", "Up"), "previous", "View", soft=True,
       separated=True, scope="Browse"),
    _S("next_sample", "Next image", ("D", "Right", "Down"), "next", "View", soft=True,
       scope="Browse"),
    _S("next_region", "Next error region", ("Ctrl+J",), None, "View", scope="Browse"),
    _S("previous_region", "Previous error region", ("Ctrl+Shift+J",), None, "View",
       scope="Browse"),
    _S("see_inside", "See inside the model", ("Ctrl+I",), None, "View", scope="Browse"),
    _S("fit", "Fit image", ("Ctrl+F",), "fit", "View", separated=True, scope="View"),
    _S("actual_size", "100 %", ("Ctrl+0",), "actual", "View", scope="View"),
    _S("zoom_in", "Zoom in", ("Ctrl++", "Ctrl+="), "zoom-in", "View", scope="View"),
    _S("zoom_out", "Zoom out", ("Ctrl+-",), "zoom-out", "View", scope="View"),
    # A plain "-" goes back to the last class, as labellers expect; "_" is the "+" of that key.
    _S("opacity_up", "Stronger overlays", ("Alt++", "Alt+=", "+"), None, "View", separated=True,
       scope="View"),
    _S("opacity_down", "Weaker overlays", ("Alt+-", "_"), None, "View", scope="View"),
    _S("toggle_outlines", "Outlines instead of fills", ("O",), "outline", "View", True,
       scope="View"),
    _S("toggle_patterns", "Patterns in fills", ("Shift+O",), None, "View", True, scope="View"),
    _S("palette_own", "Colours: of the label space", (), None, "View", True, "palette",
       separated=True, scope="View"),
    _S("palette_okabe_ito", "Colours: Okabe and Ito, for the colour-blind", (), None, "View",
       True, "palette", scope="View"),
    _S("palette_tol", "Colours: Tol muted, for the colour-blind", (), None, "View", True,
       "palette", scope="View"),
    _S("toggle_panels", "Hide all panels", ("Tab",), "panels", "View", True, soft=True,
       separated=True, scope="Window"),
    _S("reset_layout", "Reset panel layout", (), None, "View", scope="Window"),
    _S("theme_system", "Theme: follow system", (), None, "View", True, "theme", separated=True),
    _S("theme_dark", "Theme: dark", (), None, "View", True, "theme"),
    _S("theme_light", "Theme: light", (), None, "View", True, "theme"),

    _S("next_uncertain", "Next most uncertain region", ("U",), None, "Review", scope="Review"),
    _S("next_error", "Next error region to review", ("N",), None, "Review", scope="Review"),
    _S("review_back", "Back to the region before", ("Shift+N",), None, "Review", scope="Review"),
    _S("accept_region", "Accept the region as it is", ("Y",), "check", "Review", scope="Review"),
    _S("accept_many", "Accept regions below a threshold…", ("Ctrl+Shift+Y",), None, "Review",
       scope="Review"),
    _S("take_back", "Take the last acceptance back", ("Shift+Y",), None, "Review", scope="Review"),
    _S("review_overall", "Most uncertain of all images first", (), None, "Review", True,
       separated=True, scope="Review"),
    _S("review_advance", "Go on when a region is fixed", (), None, "Review", True,
       scope="Review"),
    _S("find_uncertain", "Find the uncertain regions of all images", (), None, "Review",
       scope="Review"),
    _S("uncertain_level", "Uncertain from entropy…", (), None, "Review", scope="Review"),
    _S("review_done", "Checked, next image", ("Ctrl+Return", "Ctrl+Enter"), "check", "Review",
       separated=True, scope="Review"),
    _S("review_untouched", "Mark as untouched", ("Alt+1",), None, "Review", scope="Review"),
    _S("review_in_progress", "Mark as in progress", ("Alt+2",), None, "Review", scope="Review"),
    _S("review_corrected", "Mark as corrected", ("Alt+3",), None, "Review", scope="Review"),
    _S("review_checked", "Mark as checked", ("Alt+4",), None, "Review", scope="Review"),
    _S("review_flagged", "Flag with a comment…", ("Alt+5",), "flag", "Review", scope="Review"),

    _S("run", "Run model…", ("Ctrl+R",), "run", "Run", scope="Run"),
    _S("models", "Models…", ("Ctrl+M",), "models", "Run", scope="Run"),
    _S("finetune", "Fine-tune on corrections…", (), None, "Run", scope="Run"),
    _S("cancel_job", "Stop the running job", ("Ctrl+.",), "cancel", "Run", scope="Run"),

    _S("label_mapping", "Label mapping…", ("Ctrl+Shift+M",), None, "Analyse", scope="Analyse"),
    _S("write_report", "Write report…", ("Ctrl+Shift+R",), "export", "Analyse", scope="Analyse"),

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
    ("Eraser end of a pen", "Make unlabelled instead of painting", "Correct"),
    ("Pressure of a pen", "Brush size, where the tool strip says so", "Correct"),
    ("Alt + click on a class", "Show only this class", "View"),
    ("Shift, held", "Read the runner-up class and its entropy", "View"),
)
"""Gestures that are no action: keys, words, heading."""


RESERVED_KEYS = {
    "V": "look at the photograph while it is held",
    "0": "look at the photograph while it is held",
    "Space": "move the picture while it is held",
}
"""Keys that no action may have, and what they do."""


def portable(key: str) -> str:
    """Return a key sequence as it is written everywhere, "" for none."""
    return QKeySequence(key).toString(QKeySequence.SequenceFormat.PortableText)


def native(key: str) -> str:
    """Return a key sequence as this machine's people write it."""
    return QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText)


class Actions(QObject):
    """The table as `QAction`s, by identifier."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._specs: dict[str, ActionSpec] = {}
        self._actions: dict[str, QAction] = {}
        self._groups: dict[str, QActionGroup] = {}
        self._defaults: dict[str, tuple[str, ...]] = {}
        self._custom: dict[str, tuple[str, ...]] = {}
        self._help: dict[str, str] = {}
        self._soft = True
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
        self._defaults[spec.action_id] = spec.keys
        custom = self._custom.get(spec.action_id)
        if custom is not None:
            spec = replace(spec, keys=tuple(key for key in custom if key not in taken))
        action = QAction(spec.title, self)
        action.setObjectName(spec.action_id)
        if spec.icon:
            action.setIcon(icon(spec.icon))
            action.setIconVisibleInMenu(spec.menu is not None)
        action.setCheckable(spec.checkable)
        if spec.group:
            self._groups.setdefault(spec.group, QActionGroup(self)).addAction(action)
        self._actions[spec.action_id] = action
        self._help[spec.action_id] = help
        self._put_keys(spec)
        return action

    # -- keys ---------------------------------------------------------------------------------

    @property
    def custom_keys(self) -> dict[str, list[str]]:
        """Keys by action, where they are not those of the table; for the settings."""
        return {name: list(keys) for name, keys in self._custom.items()}

    def default_keys(self, action_id: str) -> tuple[str, ...]:
        """Return the keys that the table gives an action."""
        return self._defaults[action_id]

    def holder(self, key: str) -> str | None:
        """Return what a key does already: an action's title or a held gesture's words."""
        wanted = portable(key)
        for spec in self._specs.values():
            if wanted in (portable(known) for known in spec.keys):
                return spec.title.rstrip("…")
        return RESERVED_KEYS.get(wanted)

    def set_keys(self, action_id: str, keys: Sequence[str]) -> None:
        """Give an action other keys.

        Raises
        ------
        ValueError
            When one of them is no key, or another action or gesture has it.
        """
        wanted: tuple[str, ...] = tuple(dict.fromkeys(portable(key) for key in keys))
        spec = self._specs[action_id]
        own = {portable(key) for key in spec.keys}
        for key in wanted:
            if not key:
                raise ValueError("This is no key.")
            holder = None if key in own else self.holder(key)
            if holder is not None:
                raise ValueError(f"{native(key)} is taken: {holder}.")
        if wanted == tuple(portable(key) for key in self._defaults[action_id]):
            self._custom.pop(action_id, None)
            wanted = self._defaults[action_id]
        else:
            self._custom[action_id] = wanted
        self._put_keys(replace(spec, keys=wanted))

    def set_custom_keys(self, custom: Mapping[str, Sequence[str]]) -> list[str]:
        """Take over keys, as `custom_keys` gave them, in place of all others.

        Returns
        -------
        list of str
            A sentence on each that was left out, because it is no key or taken.
        """
        self._custom.clear()
        for name, default in self._defaults.items():
            self._put_keys(replace(self._specs[name], keys=() if name in custom else default))
        problems = []
        for name, keys in custom.items():
            if name not in self._specs:
                # Perhaps of a tool whose plugin is loaded later.
                self._custom[name] = tuple(portable(key) for key in keys)
                continue
            kept: list[str] = []
            for key in keys:
                try:
                    self.set_keys(name, [*kept, key])
                    kept.append(key)
                except ValueError as error:
                    problems.append(f"{self._specs[name].title.rstrip('…')}: {error}")
            if not kept:
                self.set_keys(name, ())
        return problems

    def _put_keys(self, spec: ActionSpec) -> None:
        action, name = self._actions[spec.action_id], spec.action_id
        self._specs[name] = spec
        asleep = spec.soft and not self._soft
        action.setShortcuts([QKeySequence(key) for key in (() if asleep else spec.keys)])
        words = spec.title.rstrip("…")
        if spec.keys:
            words = f"{words}  ({native(spec.keys[0])})"
        action.setToolTip(f"{words}\n{self._help[name]}" if self._help[name] else words)

    def __getitem__(self, action_id: str) -> QAction:
        return self._actions[action_id]

    def __iter__(self) -> Iterator[QAction]:
        return iter(self._actions.values())

    def spec(self, action_id: str) -> ActionSpec:
        """Return the table's line of an action."""
        return self._specs[action_id]

    def in_menu(self, menu: str) -> list[tuple[ActionSpec, QAction]]:
        """Return a menu's lines in order."""
        return [(spec, self._actions[spec.action_id]) for spec in ACTIONS if spec.menu == menu]

    def set_soft_keys(self, active: bool) -> None:
        """Let the soft actions' keys act, or leave them to the widget that has the focus."""
        self._soft = active
        for spec in self._specs.values():
            if spec.soft:
                keys = [QKeySequence(key) for key in spec.keys] if active else []
                self._actions[spec.action_id].setShortcuts(keys)
