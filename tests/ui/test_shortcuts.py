"""Keys: every action has one or is in the palette, none is double, all can be changed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog

from segstudio.core.errors import UsageError
from segstudio.ui.actions import RESERVED_KEYS, Actions, portable
from segstudio.ui.app import Application
from segstudio.ui.dialogs.command_palette import CommandPalette
from segstudio.ui.dialogs.shortcuts import ShortcutsDialog, load_keys, save_keys

TIMEOUT = 10_000


@pytest.fixture
def actions(qapp: QApplication) -> Actions:
    return Actions()


@pytest.fixture
def dialog(actions: Actions, qtbot) -> ShortcutsDialog:
    dialog = ShortcutsDialog(actions)
    qtbot.addWidget(dialog)
    return dialog


def _keys(actions: Actions) -> list[str]:
    return [portable(key) for spec in actions.specs for key in spec.keys]


@pytest.mark.qt_log_ignore("This plugin does not support")  # offscreen: popups
def test_every_action_is_reached_by_key_or_palette_and_no_key_is_double(
    application: Application, qtbot
) -> None:
    window, actions = application.window, application.window.actions_
    window.actions_["workspace_correct"].trigger()  # brings the tools
    qtbot.waitUntil(lambda: application.edit.correction is not None, timeout=TIMEOUT)
    counted = Counter(_keys(actions))
    assert [key for key, count in counted.items() if count > 1] == []
    assert not set(counted) & set(RESERVED_KEYS)
    for spec in actions.specs:
        shown = [key.toString() for key in actions[spec.action_id].shortcuts()]
        assert shown == [portable(key) for key in spec.keys]
    for action in actions:
        action.setEnabled(True)
    application.commands.show_palette()
    palette = window.findChild(CommandPalette)
    titles = {entry.title for entry in palette._all}
    missing = [
        spec.action_id
        for spec in actions.specs
        if spec.title.rstrip("…") not in titles and not spec.keys
    ]
    palette.close()
    assert missing == []


def test_a_changed_key_acts_and_survives_a_restart(
    application: Application, start, dataset_folder: Path, qtbot
) -> None:
    actions = application.window.actions_
    actions.set_keys("fit", ("Ctrl+Alt+F", "K"))
    application.commands._keep_keys()
    assert actions["fit"].shortcut() == QKeySequence("Ctrl+Alt+F")
    assert "Ctrl+Alt+F" in actions["fit"].toolTip()
    application.window.canvas.set_scale(3.0)
    application.window.canvas.setFocus()
    QTest.keyClick(application.window.canvas, Qt.Key.Key_K)
    assert application.window.canvas.scale != 3.0
    again = start(dataset_folder)
    assert again.window.actions_.spec("fit").keys == ("Ctrl+Alt+F", "K")
    assert again.window.actions_.custom_keys == {"fit": ["Ctrl+Alt+F", "K"]}


def test_a_key_that_is_taken_is_refused(actions: Actions) -> None:
    with pytest.raises(ValueError, match=r"Ctrl\+S is taken: Save correction"):
        actions.set_keys("fit", ("Ctrl+S",))
    for held in ("V", "0", "Space"):
        with pytest.raises(ValueError, match="held"):
            actions.set_keys("fit", (held,))
    with pytest.raises(ValueError, match="no key"):
        actions.set_keys("fit", ("",))
    assert actions.spec("fit").keys == ("Ctrl+F",) and actions.custom_keys == {}
    actions.set_keys("save", ())
    actions.set_keys("fit", ("Ctrl+S",))
    actions.set_keys("fit", actions.default_keys("fit"))
    assert actions.custom_keys == {"save": []}


def test_keys_can_change_places_all_at_once(actions: Actions) -> None:
    before = _keys(actions)
    problems = actions.set_custom_keys({"undo": ["Ctrl+S"], "save": ["Ctrl+Z"], "new_tool": ["K"]})
    assert problems == []
    assert actions.spec("undo").keys == ("Ctrl+S",) and actions.spec("save").keys == ("Ctrl+Z",)
    assert actions.custom_keys["new_tool"] == ["K"], "a plugin may bring it later"
    problems = actions.set_custom_keys({"undo": ["Ctrl+R", "Ctrl+Z"], "fit": ["V"]})
    assert len(problems) == 2
    assert "Ctrl+R is taken: Run model" in problems[0] and "held" in problems[1]
    assert actions.spec("undo").keys == ("Ctrl+Z",) and actions.spec("fit").keys == ()
    assert actions.set_custom_keys({}) == [] and _keys(actions) == before


def test_soft_keys_stay_asleep_when_changed(actions: Actions) -> None:
    actions.set_soft_keys(False)
    actions.set_keys("next_sample", ("J",))
    assert actions["next_sample"].shortcuts() == []
    actions.set_soft_keys(True)
    assert actions["next_sample"].shortcuts() == [QKeySequence("J")]


def test_the_dialog_says_what_a_key_does_and_adds_a_free_one(
    dialog: ShortcutsDialog, actions: Actions, qtbot
) -> None:
    assert not dialog.field.isEnabled() and "Choose an action" in dialog.words.text()
    dialog.choose("fit")
    dialog.field.setKeySequence(QKeySequence("Ctrl+Z"))
    assert "taken: Undo stroke" in dialog.words.text() and not dialog.add.isEnabled()
    dialog.field.setKeySequence(QKeySequence("Ctrl+F"))
    assert "already" in dialog.words.text() and not dialog.add.isEnabled()
    dialog.field.setKeySequence(QKeySequence("Ctrl+Alt+F"))
    assert "free" in dialog.words.text()
    with qtbot.waitSignal(dialog.changed, timeout=TIMEOUT):
        dialog.add.click()
    assert actions.spec("fit").keys == ("Ctrl+F", "Ctrl+Alt+F")
    assert "Ctrl+Alt+F" in dialog._items["fit"].text(1)
    dialog.reset.click()
    assert actions.spec("fit").keys == ("Ctrl+F",)
    dialog.remove.click()
    assert actions.spec("fit").keys == () and not dialog.remove.isEnabled()
    dialog.reset_all.click()
    assert actions.custom_keys == {} and actions.spec("fit").keys == ("Ctrl+F",)


def test_the_dialog_finds_actions_by_word_and_key(dialog: ShortcutsDialog) -> None:
    def shown() -> list[str]:
        rows = range(dialog.tree.topLevelItemCount())
        items = [dialog.tree.topLevelItem(row) for row in rows]
        return [item.text(0).strip() for item in items if not item.isHidden()]

    dialog.search.setText("redo")
    assert shown() == ["Correct", "Redo stroke"]
    dialog.search.setText("ctrl+k")
    assert shown() == ["Window", "Command palette"]
    dialog.search.clear()
    assert "Alt + wheel" in {
        dialog.tree.topLevelItem(row).text(1) for row in range(dialog.tree.topLevelItemCount())
    }


def test_keys_are_exported_and_imported(
    dialog: ShortcutsDialog, actions: Actions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.json"
    actions.set_keys("fit", ("K",))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    dialog.export_keys.click()
    assert load_keys(path) == {"fit": ["K"]}
    dialog.reset_all.click()
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    dialog.import_keys.click()
    assert actions.spec("fit").keys == ("K",)
    save_keys(path, {"fit": ["Ctrl+Z"]})
    dialog.import_keys.click()
    assert "Left out" in dialog.words.text() and actions.spec("fit").keys == ()
    path.write_text("[1]")
    dialog.import_keys.click()
    assert "holds no shortcuts" in dialog.words.text()


@pytest.mark.parametrize("text", ["", "[]", '{"segstudio shortcuts": 3}', "\x00"])
def test_files_that_hold_no_keys(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="holds no shortcuts"):
        load_keys(path)
    with pytest.raises(UsageError, match="cannot be read"):
        load_keys(tmp_path / "none.json")


def test_damaged_settings_do_not_keep_the_window_from_opening(
    start, tmp_path: Path, dataset_folder: Path
) -> None:
    folder = tmp_path / "config"
    folder.mkdir(exist_ok=True)
    (folder / "settings.json").write_text(json.dumps({"shortcuts": {"fit": 3, "undo": ["B", 4]}}))
    application = start(dataset_folder)
    assert application.window.actions_.spec("fit").keys == ("Ctrl+F",)


def test_x_swaps_the_class_with_the_last_one(application: Application, qtbot) -> None:
    window = application.window
    application.edit.choose_class(4)
    application.edit.choose_class(7)
    window.activateWindow()
    for key, expected in ((Qt.Key.Key_X, 4), (Qt.Key.Key_Minus, 7), (Qt.Key.Key_Minus, 4)):
        QTest.keyClick(window, key)
        assert window.legend.active == expected
    assert "X or -" in window.tool_strip._swatch.toolTip()


@pytest.mark.parametrize(
    ("key", "held", "step"),
    [
        (Qt.Key.Key_Plus, Qt.KeyboardModifier.NoModifier, 10),
        (Qt.Key.Key_Equal, Qt.KeyboardModifier.AltModifier, 10),
        (Qt.Key.Key_Minus, Qt.KeyboardModifier.AltModifier, -10),
        (Qt.Key.Key_Underscore, Qt.KeyboardModifier.NoModifier, -10),
    ],
)
def test_overlays_grow_stronger_and_weaker(
    application: Application, key: Qt.Key, held: Qt.KeyboardModifier, step: int
) -> None:
    window = application.window
    window.activateWindow()
    before, active = window.layers_panel.opacity("prediction"), window.legend.active
    QTest.keyClick(window, key, held)
    assert round(100 * (window.layers_panel.opacity("prediction") - before)) == step
    assert window.legend.active == active
