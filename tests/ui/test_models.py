"""Item models: Qt's own contract, order, and long lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtWidgets import QApplication, QListView, QWidget

from segstudio.core.label_space import load_label_space
from segstudio.core.types import Sample
from segstudio.ui.models import NO_NUMBER, images_text
from segstudio.ui.models.image_scores import ImageRow, ImageScoreModel
from segstudio.ui.models.jobs import JobsModel, JobView
from segstudio.ui.models.legend import LegendModel
from segstudio.ui.models.samples import SampleListModel
from segstudio.ui.models.scores import ClassRow, ScoreTableModel
from segstudio.ui.palettes import ClassColor
from segstudio.ui.panels.samples import SamplesPanel, _SampleView


def _samples(count: int) -> tuple[Sample, ...]:
    path = Path("image.png")
    return tuple(Sample(f"town/{number:06}", path, None, "val") for number in range(count))


def _ids(model: SampleListModel) -> list[str]:
    return [model.index(row).data(model.SampleIdRole) for row in range(model.rowCount())]


@pytest.fixture
def samples(qapp) -> SampleListModel:
    model = SampleListModel()
    model.set_samples(_samples(4))
    model.set_scores({"town/000000": 0.5, "town/000001": None, "town/000003": 0.2})
    return model


def test_one_image_is_one_image() -> None:
    assert [images_text(count) for count in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
    assert images_text(12345) == "12\u202f345 images"


def test_sample_list_keeps_qts_contract(samples: SampleListModel, qtmodeltester) -> None:
    qtmodeltester.check(samples)
    samples.set_sort("miou")
    samples.set_filter("0003")
    samples.set_filter("")
    samples.set_samples(_samples(2))
    assert samples.rowCount() == 2


def test_samples_without_a_score_come_last(samples: SampleListModel) -> None:
    samples.set_sort("miou")
    assert _ids(samples) == ["town/000003", "town/000000", "town/000001", "town/000002"]
    samples.set_sort("miou", descending=True)
    assert _ids(samples) == ["town/000000", "town/000003", "town/000001", "town/000002"]


def test_the_filter_wants_every_word(samples: SampleListModel) -> None:
    samples.set_filter("TOWN 02")
    assert _ids(samples) == ["town/000002"]
    assert samples.total == 4
    assert samples.row_of("town/000001") == -1
    assert samples.sample("town/000001") is not None


def test_a_selection_follows_its_sample(samples: SampleListModel) -> None:
    from PySide6.QtCore import QPersistentModelIndex

    kept = QPersistentModelIndex(samples.index(3))
    samples.set_sort("miou")
    assert kept.row() == 0
    assert kept.data(samples.SampleIdRole) == "town/000003"


def test_one_score_is_put_into_its_order(samples: SampleListModel) -> None:
    samples.set_sort("status")
    samples.set_statuses({"town/000002": "corrected"})
    assert _ids(samples)[-1] == "town/000002"
    samples.set_status("town/000000", "in progress")
    assert samples.index(samples.row_of("town/000000")).data(samples.StatusRole) == "in progress"


def test_a_hundred_thousand_samples(qapp) -> None:
    model = SampleListModel()
    listed = _samples(100_000)
    wanted: list[str] = []
    model.thumbnail_requested.connect(wanted.append)
    model.set_samples(listed)
    assert model.rowCount() == 100_000
    assert model.index(99_999).data() == "099999"
    assert model.index(5).data(model.ThumbnailRole) is None
    assert wanted == ["town/000005"], "only what is painted is read"
    model.set_scores({f"town/{number:06}": number / 1e5 for number in range(100_000)})
    model.set_sort("miou", descending=True)
    assert model.index(0).data(model.SampleIdRole) == "town/099999"
    assert len(model.search("0999", 5)) == 5


def test_legend(qapp, qtmodeltester) -> None:
    model = LegendModel()
    model.set_label_space(load_label_space("camvid"))
    qtmodeltester.check(model)
    assert model.rowCount() == 11
    seen: list[np.ndarray] = []
    model.visibility_changed.connect(seen.append)
    model.solo(4)
    assert np.flatnonzero(seen[-1]).tolist() == [4]
    model.solo(4)
    assert seen[-1].all()
    model.set_favourite(1, 8)
    assert model.favourites[0] == 8
    assert model.favourites[8] == 0, "the two change places"
    model.set_iou(None)
    assert model.index(0, model.IOU).data() == NO_NUMBER
    told: list[tuple[int, int]] = []
    model.dataChanged.connect(lambda first, last: told.append((first.row(), last.row())))
    values = np.full(11, 0.5)
    model.set_iou(values)
    assert told == [(row, row) for row in range(11)]
    told.clear()
    values[3], values[5], values[7] = 0.5001, 0.51, np.nan
    model.set_iou(values)
    assert told == [(5, 5), (7, 7)], "what reads the same is not painted again"
    assert model.index(5, model.IOU).data() == "0.51"


def test_class_scores(qapp, qtmodeltester) -> None:
    model = ScoreTableModel()
    rows = [
        ClassRow("road", ClassColor(0, (1, 2, 3)), pooled_iou=0.5, pixels=1234),
        ClassRow("sky", ClassColor(1, (4, 5, 6))),
    ]
    model.set_rows(rows, ClassRow("Mean over classes", None, pooled_iou=0.5))
    qtmodeltester.check(model)
    assert model.rowCount() == 3
    assert model.is_mean(2)
    assert model.index(0, 2).data() == "0.50"
    assert model.index(1, 2).data() == NO_NUMBER
    assert model.index(1, 2).data(model.SortRole) < model.index(0, 2).data(model.SortRole)
    model.set_image_iou([0.25, 0.75], 0.5)
    assert [model.index(row, 1).data() for row in range(3)] == ["0.25", "0.75", "0.50"]
    model.set_image_iou([], float("nan"))  # an image without ground truth
    assert [model.index(row, 1).data() for row in range(3)] == [NO_NUMBER] * 3


def test_image_scores(qapp, qtmodeltester) -> None:
    model = ImageScoreModel()
    model.set_rows([ImageRow("town/1", 0.25, 0.5), ImageRow("town/2", float("nan"), 1.0)])
    qtmodeltester.check(model)
    assert model.index(0, 0).data() == "1"
    assert model.index(0, 0).data(model.SampleIdRole) == "town/1"
    assert model.index(1, 1).data() == NO_NUMBER
    assert model.headerData(1, Qt.Orientation.Horizontal) == "mIoU"


def test_jobs(qapp, qtmodeltester) -> None:
    model = JobsModel()
    qtmodeltester.check(model)
    model.set_job(JobView("a", "First", 1, 4, state="running"))
    model.add_error("a", "town/1", "It cannot be read.")
    model.set_job(JobView("b", "Second", state="starting"))
    model.set_job(JobView("a", "First", 4, 4, failed=1, state="done"))
    kinds = [model.index(row).data(model.KindRole) for row in range(model.rowCount())]
    assert kinds == ["job", "job", "error"]
    assert model.index(2).data(model.SampleIdRole) == "town/1"
    assert [job.job_id for job in model.active] == ["b"]
    model.clear_finished()
    assert model.rowCount() == 1


@pytest.mark.qt_log_ignore("This plugin does not support")  # offscreen: a window's size
def test_a_list_is_laid_out_without_asking_python_per_row(
    qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 100,000 images that would hold the window up for half a second."""
    asked = 0
    count = SampleListModel.rowCount

    def rowCount(self: SampleListModel, *parent: Any) -> int:
        nonlocal asked
        asked += 1
        return count(self, *parent)

    monkeypatch.setattr(SampleListModel, "rowCount", rowCount)
    model = SampleListModel()
    panel = SamplesPanel(model)
    qtbot.addWidget(panel)
    panel.resize(300, 500)
    panel.show()
    samples = _samples(5000)
    model.set_samples(samples, {sample.sample_id: n for n, sample in enumerate(samples)})
    panel.select(samples[4000].sample_id)
    qtbot.waitUntil(lambda: panel.view.verticalScrollBar().value() > 0)
    assert panel.view.currentIndex().data(SampleListModel.SampleIdRole) == samples[4000].sample_id
    assert asked < 500
    model.set_sort("name", descending=True)
    assert panel.view.currentIndex().row() == 999, "the selection follows its image"
    panel.step(1)
    assert panel.view.currentIndex().data(SampleListModel.SampleIdRole) == samples[3999].sample_id


def test_data_that_changed_is_painted_and_not_laid_out(
    samples: SampleListModel, qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid_out = []

    def count(view: QListView) -> None:
        laid_out.append(view)
        QListView.doItemsLayout(view)

    monkeypatch.setattr(_SampleView, "doItemsLayout", count, raising=False)
    window = QWidget()  # offscreen, a window cannot have the least size that a panel has
    window.resize(300, 300)
    qtbot.addWidget(window)
    panel = SamplesPanel(samples, window)
    panel.resize(300, 300)
    with qtbot.waitExposed(window):
        window.show()
    qtbot.waitUntil(lambda: bool(laid_out))
    QApplication.processEvents()
    laid_out.clear()
    painted = _Painted(panel.view.viewport())
    samples.set_status("town/000001", "failed")
    qtbot.waitUntil(lambda: painted.count > 0)
    samples.set_scores({})
    painted.count = 0
    qtbot.waitUntil(lambda: painted.count > 0)
    assert not laid_out
    samples.set_filter("0003")
    qtbot.waitUntil(lambda: bool(laid_out))


class _Painted(QObject):
    """Counts how often a widget is painted."""

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self.count = 0
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        self.count += event.type() == QEvent.Type.Paint
        return False


def test_the_samples_before_are_handed_out_to_be_freed(samples: SampleListModel) -> None:
    before = [samples.sample_at(row) for row in range(4)]
    assert samples.set_samples(_samples(2)) == before
