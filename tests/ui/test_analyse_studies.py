"""Label mappings, out-of-distribution data and reports in the window."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPushButton

from segstudio.analysis.ood import score_categories
from segstudio.core.label_space import LabelMapping, LabelSpace, load_label_space
from segstudio.datasets.encoding import write_gray, write_label_map
from segstudio.datasets.opening import open_dataset
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import Store
from segstudio.session.mappings import user_mapping_names
from segstudio.ui.app import Application
from segstudio.ui.dialogs.mapping import MappingDialog
from segstudio.ui.dialogs.report import ReportDialog
from segstudio.ui.models.mapping import MappingModel
from segstudio.ui.models.ood import CategoryRow, CategoryTableModel
from segstudio.ui.palettes import ClassColor
from segstudio.ui.panels.ood import OodPanel

TIMEOUT = 20_000
NAN = float("nan")

PETS = LabelSpace.from_json({"name": "pets", "classes": ["cat", "dog", "ufo"]})
HOME = LabelSpace.from_json({"name": "home", "classes": ["animal", "dog", "table"]})


# -- the editor ----------------------------------------------------------------------------------


@pytest.fixture
def dialog(qtbot) -> MappingDialog:
    model = MappingModel(PETS, HOME)
    model.set_suggestions({"dog": (("dog",), "same name")})

    def check(mapping: LabelMapping) -> str:
        return "" if mapping.pairs else "Nothing is mapped."

    known = [(LabelMapping("known", "pets", "home", (("cat", ("animal", "dog")),)), "d", "p")]
    dialog = MappingDialog(model, known, check)
    qtbot.addWidget(dialog)
    dialog.show()
    return dialog


def test_classes_are_mapped_in_the_editor(dialog: MappingDialog, qtmodeltester) -> None:
    model = dialog.model
    qtmodeltester.check(model)
    assert not dialog.use.isEnabled() and dialog.summary.text() == "Nothing is mapped."
    assert model.index(1, MappingModel.REASON).data() == "dog?  (same name)"
    assert dialog.accept_all.text() == "Accept 1 suggestion"
    dialog.accept_all.click()
    assert model.classes(1) == ("dog",) and dialog.use.isEnabled()
    assert dialog.summary.text().startswith("1 of 3 classes have a counterpart; 2 are ignored")
    dialog.targets.item(0).setCheckState(Qt.CheckState.Checked)
    dialog.targets.item(1).setCheckState(Qt.CheckState.Checked)
    assert model.classes(0) == ("animal", "dog"), "the selected class"
    dialog.targets.itemDoubleClicked.emit(dialog.targets.item(1))
    assert model.classes(0) == ("dog", "animal")
    assert dialog.targets.item(1).font().bold() and not dialog.targets.item(0).font().bold()
    assert model.index(0, MappingModel.BECOMES).data() == "dog"
    assert model.index(0, MappingModel.ALSO).data() == "animal"
    mapping, *_words = dialog.words()
    assert mapping.pairs == (("cat", ("dog", "animal")), ("dog", ("dog",)))
    assert (mapping.source, mapping.target, mapping.name) == ("pets", "home", "pets-to-home-mine")
    dialog.ignore.click()
    assert model.classes(0) == () and not dialog.ignore.isEnabled()


def test_the_editor_searches(dialog: MappingDialog) -> None:
    model = dialog.model
    dialog.start_from.activated.emit(1)
    assert dialog.name.text() == "known" and dialog.description.text() == "d"
    dialog.unmapped.setChecked(True)
    assert [model.class_of(row) for row in range(model.rowCount())] == [1, 2]
    dialog.search.setText("animal")
    assert model.rowCount() == 0
    dialog.unmapped.setChecked(False)
    assert [model.class_of(row) for row in range(model.rowCount())] == [0], "by what it becomes"
    dialog.target_search.setText("tab")
    hidden = [dialog.targets.item(row).isHidden() for row in range(3)]
    assert hidden == [True, True, False]


# -- the table of categories ---------------------------------------------------------------------


def _row(name: str, run: str = "net", recall: float = 0.5) -> CategoryRow:
    taken = (("road", 0.75), ("sky", 0.1))
    return CategoryRow(
        name, ClassColor(0, (1, 2, 3)), run, ("animal",), 2, 50, recall, 0.25, NAN, taken
    )


def test_the_table_of_categories(qtbot, qtmodeltester) -> None:
    model = CategoryTableModel()
    panel = OodPanel(model)
    qtbot.addWidget(panel)
    panel.set_rows([_row("cat"), _row("dog", recall=NAN)], "title")
    qtmodeltester.check(model)
    assert [model.index(0, column).data() for column in range(9)] == [
        "cat",
        "net",
        "animal",
        "2",
        "50",
        "0.50",
        "road 75 %, sky 10 %",
        "0.25",
        "–",
    ]
    assert panel.view.isColumnHidden(CategoryTableModel.MODEL)
    panel.set_rows([_row("cat"), _row("cat", "other")], "title")
    assert not panel.view.isColumnHidden(CategoryTableModel.MODEL)
    inside, outside = np.zeros(256, np.int64), np.zeros(256, np.int64)
    inside[0:8], outside[252:] = 5, 20
    panel.set_histograms(("a", inside), ("b", outside))
    assert panel.plot.curves[0][:3].tolist() == [0.5, 0.5, 0.0]
    assert panel.plot.curves[1][-1] == 1.0
    panel.set_figures([("AUROC", "what", 0.25, False), ("lost", "what", 0.5, True)])
    assert [text.text() for text in panel.figures.values()] == ["0.250", "50.0 %"]


# -- the journey ---------------------------------------------------------------------------------


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """Four images of pets that a run has seen as streets; COCO's and CamVid's classes."""
    coco, camvid = load_label_space("coco"), load_label_space("camvid")
    sheep, car = coco.find("sheep").index, coco.find("car").index
    generator = np.random.default_rng(5)
    root = tmp_path / "zoo"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    layout = ProjectLayout(root / ".segstudio")
    layout.root.mkdir()
    data = coco.to_json()
    for index, entry in enumerate(data["classes"]):
        entry["id"] = index
    data["ignore_ids"] = [255]
    (root / "label_space.json").write_text(json.dumps(data))
    shape = (48, 64)
    for number in range(4):
        target = np.full(shape, 255, np.uint8)
        target[:24] = sheep
        target[24:40] = car
        cv2.imwrite(str(root / "masks" / f"{number}.png"), target)
        cv2.imwrite(str(root / "images" / f"{number}.png"), np.zeros((*shape, 3), np.uint8))
    store = Store(layout.database)
    run = store.begin_run("net", "net", "{}", camvid, {})
    for sample in open_dataset(root).samples:
        prediction = generator.integers(0, 11, shape).astype(np.uint8)
        levels = generator.integers(0, 256, shape).astype(np.uint8)
        write_label_map(layout.layer(run, "labels", sample.sample_id), prediction)
        write_label_map(layout.layer(run, "runner_up", sample.sample_id), prediction)
        for layer in ("entropy", "confidence"):
            write_gray(layout.layer(run, layer, sample.sample_id), levels)
        store.finish_sample(run, sample.sample_id, seconds=0.1)
    store.close()
    return root


def _press(application: Application, topic: str, words: str) -> None:
    notice = application.window.notices.notice(topic)
    (button,) = [part for part in notice.findChildren(QPushButton) if part.text() == words]
    button.click()


def _open(start, zoo: Path, qtbot) -> Application:
    application = start(zoo)
    qtbot.waitUntil(lambda: application.desk.run == "net", timeout=TIMEOUT)
    qtbot.waitUntil(lambda: "mapping" in application.window.notices.topics(), timeout=TIMEOUT)
    return application


def test_from_the_notice_to_the_categories(start, zoo: Path, qtbot) -> None:
    application = _open(start, zoo, qtbot)
    window, session = application.window, application.session
    text = window.notices.notice("mapping").text
    assert text.startswith("The ground truth is in coco, net in camvid")
    window.actions_["workspace_analyse"].trigger()
    window.show_panel("ood")
    qtbot.waitUntil(lambda: "No label mapping" in window.ood_panel._message.text(), timeout=TIMEOUT)
    _press(application, "mapping", "Use coco-to-camvid")
    qtbot.waitUntil(
        lambda: application.ood._found is not None and application.ood._found.missing == 0,
        timeout=TIMEOUT,
    )
    qtbot.waitUntil(
        lambda: (
            "mapping" in window.notices.topics()
            and "71 of 80 classes" in window.notices.notice("mapping").text
        ),
        timeout=TIMEOUT,
    )
    rows = {row.name: row for row in window.categories.rows}
    assert set(rows) == {"sheep", "car"} and rows["sheep"].mapped_to == ()
    result, _ = session.studies.ood_result("net")
    wanted = {
        entry.name: entry
        for entry in score_categories(result.categories, result.counts, confident=0.10)
    }
    assert rows["car"].recall == wanted["car"].recall
    assert "FPR95, entropy" in window.ood_panel.figures
    before = rows["car"].confident
    window.ood_panel.threshold.setValue(0.8)
    assert {row.name: row for row in window.categories.rows}["car"].confident > before
    window.ood_panel.category_activated.emit("car")
    qtbot.waitUntil(lambda: window.samples_panel.subset.isVisible(), timeout=TIMEOUT)
    assert window.samples_panel.subset.text().startswith("with car")
    qtbot.waitUntil(lambda: window.class_scores.rowCount() == 12, timeout=TIMEOUT)

    # The counts of the same data as "its own": nothing shifts.
    application.ood.compare_with(zoo)
    qtbot.waitUntil(lambda: "shift" in window.ood_panel.figures, timeout=TIMEOUT)
    application.ood.compare_with(zoo / "images")
    qtbot.waitUntil(
        lambda: window.ood_panel.title.text.startswith("There is no project"), timeout=TIMEOUT
    )
    assert "shift" not in window.ood_panel.figures and window.categories.rowCount() == 2


def test_the_editor_from_the_menu(start, zoo: Path, qtbot) -> None:
    application = _open(start, zoo, qtbot)
    window = application.window
    window.actions_["label_mapping"].trigger()
    dialog = application.mapping.dialog
    assert dialog.isVisible() and len(dialog.model.source) == 80
    assert not dialog.use.isEnabled() and "every class of coco to ignore" in dialog.summary.text()
    index = dialog.model.row_of(dialog.model.source.find("sheep").index)
    dialog.model.set_classes(dialog.model.class_of(index), ("Tree",))
    dialog.name.setText("coco-to-camvid")
    dialog.save_requested.emit(dialog.words())
    assert "comes with SegStudio" in dialog.summary.text()
    dialog.name.setText("wool")
    dialog.save_requested.emit(dialog.words())
    assert user_mapping_names() == ["wool"] and "--mapping wool" in dialog.summary.text()
    broken = zoo / "broken.json"
    broken.write_text("[]")
    dialog.load_requested.emit(broken)
    assert "is not a label mapping" in dialog.summary.text()
    dialog.use.click()
    qtbot.waitUntil(lambda: window.class_scores.rowCount() == 12, timeout=TIMEOUT)
    chosen = application.session.studies.mappings.get("coco", "camvid")
    assert chosen.mapping.pairs == (("sheep", ("Tree",)),)
    window.actions_["workspace_analyse"].trigger()
    qtbot.waitUntil(
        lambda: (
            application.analyse._loaded is not None
            and application.analyse._loaded.summary.missing == 0
        ),
        timeout=TIMEOUT,
    )
    tree = load_label_space("camvid").find("Tree").index
    assert application.analyse._loaded.confusion.counts[tree].sum() == 4 * 24 * 64


def test_a_report_from_the_menu(start, zoo: Path, tmp_path: Path, qtbot) -> None:
    application = _open(start, zoo, qtbot)
    window = application.window
    _press(application, "mapping", "Use coco-to-camvid")
    qtbot.waitUntil(lambda: window.class_scores.rowCount() == 12, timeout=TIMEOUT)
    folder = tmp_path / "report"
    application.reports.write(["net"], folder)
    qtbot.waitUntil(lambda: "report" in window.notices.topics(), timeout=60_000)
    assert str(folder / "report.html") in window.notices.notice("report").text
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "if fixed" in page and "coco-to-camvid" in page
    application.reports.write([], folder)
    qtbot.waitUntil(
        lambda: "run a model first" in window.notices.notice("report").text, timeout=TIMEOUT
    )


def test_the_report_dialog(qtbot, tmp_path: Path) -> None:
    dialog = ReportDialog([("a", 3), ("b", 5)], chosen="b", folder=tmp_path)
    qtbot.addWidget(dialog)
    assert dialog.runs == ["b"] and dialog.folder == tmp_path and dialog._write.isEnabled()
    dialog._runs.item(1).setCheckState(Qt.CheckState.Unchecked)
    assert not dialog._write.isEnabled()
    dialog._runs.item(0).setCheckState(Qt.CheckState.Checked)
    dialog._folder.clear()
    assert not dialog._write.isEnabled()
    dialog._folder.setText("x")
    QTest.mouseClick(dialog._write, Qt.MouseButton.LeftButton)
    assert dialog.result() == 1 and dialog.runs == ["a"]
