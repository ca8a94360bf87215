"""The table of actions."""

from __future__ import annotations

from collections import Counter

from PySide6.QtGui import QKeySequence

from segstudio.ui import icons
from segstudio.ui.actions import ACTIONS, MENUS, WORKSPACES
from segstudio.ui.icons import GLYPHS, load_icons


def test_identifiers_are_unique() -> None:
    assert len({spec.action_id for spec in ACTIONS}) == len(ACTIONS)


def test_no_two_actions_share_a_key(qapp) -> None:
    counted = Counter(QKeySequence(key).toString() for spec in ACTIONS for key in spec.keys)
    assert "" not in counted, "a key that Qt does not know"
    assert [key for key, count in counted.items() if count > 1] == []


def test_every_menu_is_known_and_used() -> None:
    assert {spec.menu for spec in ACTIONS if spec.menu is not None} == set(MENUS)


def test_every_workspace_has_its_action() -> None:
    assert {f"workspace_{name}" for name in WORKSPACES} <= {spec.action_id for spec in ACTIONS}


def test_actions_of_a_group_are_states() -> None:
    assert all(spec.checkable for spec in ACTIONS if spec.group)


def test_every_icon_is_in_the_font(qapp) -> None:
    load_icons()
    known = icons._font.charmap["ph"]
    assert [name for name, glyph in GLYPHS.items() if glyph not in known] == []
    used = {spec.icon for spec in ACTIONS if spec.icon is not None}
    assert used <= set(GLYPHS)
