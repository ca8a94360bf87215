"""Several models as one run: how it is asked for, and the layer that only it has."""

from __future__ import annotations

from PySide6.QtWidgets import QCheckBox

from segstudio.ui.dialogs.run import ModelChoice, RunDialog
from segstudio.ui.panels.layers import LAYERS, LayersPanel


def test_two_models_can_be_run_as_one(qtbot) -> None:
    models = [ModelChoice(name, name, "ENet", "camvid", None, None, 0) for name in ("a", "b")]
    dialog = RunDialog(models, ["cpu"], 7, chosen=["a"])
    qtbot.addWidget(dialog)
    boxes = {box.text(): box for box in dialog.findChildren(QCheckBox)}
    together = boxes["As one ensemble"]
    assert not together.isEnabled()  # one model is no ensemble
    boxes["b"].setChecked(True)
    assert together.isEnabled() and dialog.choice().runs == ("a", "b")
    together.setChecked(True)
    assert dialog.choice().models == ("a", "b") and dialog.choice().runs == ("a+b",)
    assert dialog.summary == "An ensemble of 2 models on 7 images."
    boxes["a"].setChecked(False)
    assert dialog.choice().runs == ("b",)


def test_disagreement_is_listed_where_there_is_any(qtbot) -> None:
    panel = LayersPanel()
    qtbot.addWidget(panel)
    rare = {spec.name for spec in LAYERS if spec.rare}
    assert rare == {"disagreement"}
    every = dict.fromkeys((spec.name for spec in LAYERS), None)
    panel.set_available({**every, "disagreement": "none"})
    assert panel._rows["disagreement"].isHidden() and not panel._rows["entropy"].isHidden()
    panel.set_available(every)
    assert not panel._rows["disagreement"].isHidden()
