"""The table of models and its dialog: search, order, keys, the card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt, QUrl
from PySide6.QtTest import QTest

from segstudio.inference.catalogue import ModelInfo, all_models
from segstudio.ui.dialogs.model_card import costs_markdown
from segstudio.ui.dialogs.models import ModelsDialog
from segstudio.ui.models import NO_NUMBER, size_text
from segstudio.ui.models.catalogue import (
    CatalogueModel,
    Fetching,
    ModelFilter,
    network_titles,
    short_title,
)

B0 = "mmseg_segformer_mit-b0_ade20k-512"


def _info(name: str, **values: object) -> ModelInfo:
    facts = {
        "title": f"Net {name}, Town, 80k",
        "architecture": "net",
        "label_space": "town",
        "embedded": False,
        "path": None,
        "variant": name,
        "dataset": "Town",
        "url": f"https://example.org/{name}.pth",
        "source": "mmsegmentation",
    }
    return ModelInfo(name, **{**facts, **values})  # type: ignore[arg-type]


MODELS = [
    _info("small", published_miou=0.401, size=20_000_000, parameters=4_000_000),
    _info("large", published_miou=0.52, size=1_300_000_000, parameters=300_000_000),
    _info("bare"),
    _info("ours", path=Path("ours.safetensors"), embedded=True, url=None, measured_miou=0.45),
    _info("mine", title="mine.pth", path=Path("mine.pth"), url=None, source="", dataset=""),
]


@pytest.fixture
def table(qapp) -> CatalogueModel:
    model = CatalogueModel()
    model.set_models(MODELS, broken={"mine"})
    return model


def _names(model: CatalogueModel) -> list[str]:
    return [model.model_at(row).name for row in range(model.rowCount())]  # type: ignore[union-attr]


def test_the_table_keeps_qts_contract(table: CatalogueModel, qtmodeltester) -> None:
    qtmodeltester.check(table)
    table.set_filter(ModelFilter(text="large"))
    table.sort(table.MIOU)
    table.set_models(MODELS[:2])
    assert _names(table) == ["large"]


def test_what_is_here_comes_first_unless_a_column_is_sorted_by(table: CatalogueModel) -> None:
    assert _names(table) == ["mine", "ours", "bare", "large", "small"]
    table.sort(table.MIOU, Qt.SortOrder.DescendingOrder)
    assert _names(table)[:3] == ["large", "ours", "small"]
    assert "↓" in table.headerData(table.MIOU, Qt.Orientation.Horizontal)
    table.sort(table.MIOU, Qt.SortOrder.AscendingOrder)
    assert _names(table)[:3] == ["small", "ours", "large"], "no score comes last both ways"
    table.sort(-1)
    assert _names(table)[0] == "mine"


def test_cells(table: CatalogueModel) -> None:
    def cells(name: str) -> list[str]:
        row = table.row_of(name)
        return [table.index(row, column).data() for column in range(table.columnCount())]

    dash = NO_NUMBER
    expected = ["Net small, 80k", "Net", "Town", "40.10", "4.0 M", "20.0 MB", "To download"]
    assert cells("small") == expected
    assert cells("large")[3:6] == ["52.00", "300.0 M", "1.30 GB"]
    assert cells("bare")[3:6] == [dash, dash, dash]
    assert cells("ours")[3] == "45.00" and cells("ours")[6] == "Embedded"
    assert cells("mine") == ["mine.pth", "Net", "town", dash, dash, dash, "Fits partly"]


def test_a_download_shows_in_its_row(table: CatalogueModel, qtbot) -> None:
    row = table.row_of("small")
    with qtbot.waitSignal(table.dataChanged) as changed:
        table.set_fetching("small", Fetching(5_000_000, 20_000_000, 12.0, active=True))
    assert changed.args[0].row() == row
    assert table.index(row, table.STATE).data() == "25 %"
    assert table.index(row, table.STATE).data(Qt.ItemDataRole.ToolTipRole) == (
        "5.0 of 20.0 MB  ·  0:12 left"
    )
    table.set_fetching("small", Fetching(5, 20, None, active=False, error="No network."))
    assert table.index(row, table.STATE).data() == "Failed"
    table.set_fetching("small", None)
    assert table.index(row, table.STATE).data() == "To download"


def test_titles_of_the_real_catalogue() -> None:
    models = all_models()
    titles = network_titles(models)
    assert titles["enet"] == "ENet" and titles["deeplabv3plus"] == "DeepLabV3+"
    assert titles["unet"] == "U-Net" and titles["lraspp"] == "LR-ASPP"
    short = {model.name: short_title(model) for model in models}
    assert short["enet-camvid"] == "ENet, CamVid and rendered scenes"
    assert short[B0] == "SegFormer MiT-B0, 512 crop, 160k"
    assert len(models) > 100


@pytest.mark.parametrize(
    ("size", "text"), [(None, NO_NUMBER), (900, "1 kB"), (15_025_152, "15.0 MB"), (327e6, "327 MB")]
)
def test_sizes(size: int | None, text: str) -> None:
    assert size_text(size) == text


# -- the dialog -------------------------------------------------------------------------------


@pytest.fixture
def dialog(qtbot) -> ModelsDialog:
    made = ModelsDialog()
    qtbot.addWidget(made)
    made.set_models(MODELS, broken={"mine"})
    made.set_runnable(True)
    made.show()
    made.search.setFocus()
    return made


def test_typing_narrows_the_list_and_arrows_walk_through_it(dialog: ModelsDialog) -> None:
    chosen: list[str] = []
    dialog.model_chosen.connect(chosen.append)
    QTest.keyClicks(dialog.search, "net mmseg")
    assert _names(dialog.models) == ["ours", "bare", "large", "small"]
    assert dialog.count.text() == "4 of 5 models"
    for _ in range(2):
        QTest.keyClick(dialog.search, Qt.Key.Key_Down)
    assert dialog.chosen == chosen[-1] == "large"
    assert dialog.card.title.text() == "Net large, Town, 80k"
    QTest.keyClick(dialog.table, Qt.Key.Key_A)
    assert dialog.search.text() == "net mmsega" and dialog.models.rowCount() == 0
    assert dialog.chosen == "" and not dialog.run.isVisible() and not dialog.download.isVisible()
    dialog.clear_filters()
    assert dialog.models.rowCount() == 5


def test_enter_fetches_what_is_not_here_and_runs_what_is(dialog: ModelsDialog) -> None:
    said: list[tuple[str, str]] = []
    dialog.download_requested.connect(lambda name: said.append(("download", name)))
    dialog.cancel_requested.connect(lambda name: said.append(("cancel", name)))
    dialog.run_requested.connect(lambda name: said.append(("run", name)))
    dialog.show_model("small")
    QTest.keyClick(dialog.search, Qt.Key.Key_Return)
    assert said == [("download", "small")]
    dialog.set_fetching("small", Fetching(5_000_000, 20_000_000, None, active=True))
    QTest.keyClick(dialog.search, Qt.Key.Key_Return)
    assert said == [("download", "small")], "Enter never stops a download"
    dialog.download.click()
    assert said[-1] == ("cancel", "small")
    dialog.show_model("ours")
    QTest.keyClick(dialog.table, Qt.Key.Key_Return)
    assert said[-1] == ("run", "ours")
    dialog.set_runnable(False)
    QTest.keyClick(dialog.table, Qt.Key.Key_Return)
    assert said.count(("run", "ours")) == 1, "there is nothing to run on"
    dialog.set_runnable(True)
    dialog.show_model("mine")
    assert not dialog.run.isEnabled() and dialog.remove.isVisible(), "it fits partly"


def test_a_failed_download_is_one_sentence_in_place(dialog: ModelsDialog) -> None:
    dialog.show_model("small")
    dialog.set_fetching("small", Fetching(0, 20, None, active=False, error="There is no network."))
    assert dialog.card.error.isVisible() and dialog.card.error.text() == "There is no network."
    assert dialog.download.text() == "Download" and dialog.download.isEnabled()
    dialog.show_model("large")
    assert not dialog.card.error.isVisible()


def test_a_filtered_model_that_is_wanted_is_shown(dialog: ModelsDialog) -> None:
    dialog.here.setChecked(True)
    assert _names(dialog.models) == ["mine", "ours"]
    dialog.show_model("large")
    assert dialog.chosen == "large" and not dialog.here.isChecked()
    dialog.show_model("later")
    dialog.set_models([*MODELS, _info("later")])
    assert dialog.chosen == "later", "one that is not listed yet is chosen with the next list"


def test_filters_and_choice_survive(dialog: ModelsDialog, qtbot) -> None:
    other = replace(MODELS[0], name="other", architecture="else", title="Else other", dataset="X")
    dialog.set_models([*MODELS, other])
    dialog.networks.setCurrentIndex(dialog.networks.findData("net"))
    dialog.datasets.setCurrentIndex(dialog.datasets.findData("Town"))
    dialog.miou.setCurrentIndex(dialog.miou.findData(0.45))
    dialog.table.sort_by(CatalogueModel.SIZE, True)
    dialog.show_model("large")
    again = ModelsDialog()
    qtbot.addWidget(again)
    again.restore_state(dialog.save_state())
    again.set_models([*MODELS, other])
    assert _names(again.models) == _names(dialog.models) == ["large", "ours"]
    assert again.chosen == "large"
    again.restore_state({"sort": ["x", 1], "geometry": 5, "miou": "much"})
    again.restore_state(None)


def test_the_card_says_costs_or_how_to_measure_them(dialog: ModelsDialog, qtbot) -> None:
    text = dialog.card.text
    dialog.show_model("small")
    qtbot.waitUntil(lambda: "bench models -m small" in text.toPlainText())
    assert "once it is downloaded" in text.toPlainText()
    costs = {
        "measured": "2026-03-04T10:00:00+00:00",
        "device": "cpu",
        "precision": "fp32",
        "size": [512, 512],
        "images_per_second": 3.456,
        "passes_per_second": 4.0,
        "operations": 8.5e9,
        "peak_memory": None,
    }
    dialog.set_costs("large", costs)  # a late answer to an older question
    dialog.set_costs("small", costs)
    qtbot.waitUntil(lambda: "3.46" in text.toPlainText())
    shown = text.toPlainText()
    assert "2026-03-04 on cpu, fp32" in shown and "250 ms" in shown and "8.5 GFLOPs" in shown
    assert "not known" in shown and "bench" not in shown
    assert '-m "a b"`' in costs_markdown(_info("a b"), None)


def test_a_card_loads_nothing(dialog: ModelsDialog, qtbot) -> None:
    card = "# Net\n\n![x](https://example.org/x.png)\n\n- **Licence:** MIT\n\n<b>bold</b>"
    dialog.set_models([replace(MODELS[0], card=card, licence="MIT")])
    dialog.show_model("small")
    text = dialog.card.text
    qtbot.waitUntil(lambda: "MIT" in text.toPlainText())
    assert text.loadResource(2, QUrl("https://example.org/x.png")) is None
    assert text.toPlainText().count("MIT") == 1, "the licence is said once"
    assert "<b>" in text.toPlainText(), "HTML is text"


def test_cards_of_the_catalogue(qtbot) -> None:
    made = ModelsDialog()
    qtbot.addWidget(made)
    models = all_models()
    made.set_models(models)
    made.show()
    made.show_model("enet-camvid")
    qtbot.waitUntil(lambda: "Paszke" in made.card.text.toPlainText())
    made.show_model(B0)
    # Where the score is stated.
    qtbot.waitUntil(lambda: "MMSegmentation 1.2.2" in made.card.text.toPlainText())
    assert made.card.figures["miou"].value.text() == "37.41"
    assert made.card.figures["miou_ms"].value.text() == "38.34"
    assert "|" not in made.card.text.toPlainText()
