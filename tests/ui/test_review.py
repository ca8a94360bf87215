"""The review queue in the window: regions, states, filters, times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication

from segstudio.core.patch import MaskPatch
from segstudio.core.types import BBox
from segstudio.session.review_maps import RegionKind
from segstudio.ui.actions import Actions
from segstudio.ui.app import Application
from segstudio.ui.dialogs.accept import AcceptDialog
from segstudio.ui.models.sample_filter import SampleFilter, parse_filter
from segstudio.ui.panels.review import ReviewStrip, clock

TIMEOUT = 10_000
IDS = [f"images/{number}.png" for number in range(4)]
ERROR, UNCERTAIN = RegionKind.ERROR, RegionKind.UNCERTAIN


@pytest.fixture
def correcting(application: Application, qtbot) -> Application:
    application.window.actions_["workspace_correct"].trigger()
    qtbot.waitUntil(lambda: application.edit.correction is not None, timeout=TIMEOUT)
    return application


def _next(application: Application, action: str, qtbot):
    before = application.review.region
    application.window.actions_[action].trigger()
    qtbot.waitUntil(
        lambda: application.review.region is not None and application.review.region != before,
        timeout=TIMEOUT,
    )
    region = application.review.region
    qtbot.waitUntil(
        lambda: (
            application.edit.correction is not None
            and application.edit.correction.sample_id == region.sample_id
        ),
        timeout=TIMEOUT,
    )
    return region


def _said(application: Application) -> str:
    notice = application.window.notices.notice("review")
    return "" if notice is None else notice.text


def _paint(application: Application, box: BBox, value: int) -> None:
    document = application.edit.correction.document
    before = document.label_map[box.slices].copy()
    document.apply(MaskPatch(box, before, np.full_like(before, value)))


def test_an_error_is_shown_fixed_and_the_next_one_follows(correcting: Application, qtbot) -> None:
    window = correcting.window
    first = _next(correcting, "next_error", qtbot)
    assert first.kind is ERROR and first.sample_id == IDS[0]
    assert window.legend.active == first.proposed, "its class is chosen"
    row, column = first.anchor
    place = window.canvas.widget_position(row, column).toPoint()
    assert window.canvas.rect().contains(place), "it is in view"
    assert window.canvas._outline.isVisible()
    assert window.review_strip.region.text.endswith("confidence 0.50")
    _paint(correcting, first.box, first.proposed)
    qtbot.waitUntil(lambda: correcting.review.region != first, timeout=TIMEOUT)
    second = correcting.review.region
    assert second is not None and second.kind is ERROR
    window.actions_["review_back"].trigger()
    assert correcting.review.region == first


def test_a_half_fixed_region_waits_and_without_the_wish_nothing_moves(
    correcting: Application, qtbot
) -> None:
    first = _next(correcting, "next_error", qtbot)
    box = first.box
    _paint(correcting, BBox(box.top, box.left, box.top + 1, box.left + 1), first.proposed)
    QApplication.processEvents()
    assert not correcting.review._advance.isActive()
    correcting.window.actions_["review_advance"].setChecked(False)
    _paint(correcting, box, first.proposed)
    qtbot.waitUntil(lambda: correcting.window.review_strip.region.text == "Fixed.", timeout=TIMEOUT)
    assert not correcting.review._advance.isActive() and correcting.review.region == first


def test_accepted_regions_are_not_offered_again_until_taken_back(
    correcting: Application, qtbot
) -> None:
    window = correcting.window
    first = _next(correcting, "next_uncertain", qtbot)
    assert first.kind is UNCERTAIN
    window.actions_["accept_region"].trigger()
    qtbot.waitUntil(lambda: correcting.review.region not in (first, None), timeout=TIMEOUT)
    found = correcting.session.reviews.in_sample("stored", UNCERTAIN, IDS[0])
    assert first not in found.open
    window.actions_["take_back"].trigger()
    qtbot.waitUntil(lambda: "reviewed again" in _said(correcting), timeout=TIMEOUT)
    found = correcting.session.reviews.in_sample("stored", UNCERTAIN, IDS[0])
    assert first in found.open


@pytest.mark.qt_log_ignore("This plugin does not support")  # offscreen: a dialog's size
def test_many_are_accepted_together_and_taken_back(correcting: Application, qtbot) -> None:
    window, reviews = correcting.window, correcting.session.reviews
    _next(correcting, "next_uncertain", qtbot)
    total = len(reviews.in_sample("stored", UNCERTAIN, IDS[0]).open)
    window.actions_["accept_many"].trigger()
    dialog = window.findChild(AcceptDialog)
    qtbot.waitUntil(lambda: "open regions" in dialog.count.text(), timeout=TIMEOUT)
    dialog.area.setValue(65)
    small = dialog.chosen()
    assert 0 < len(small) < total and all(region.area < 65 for region in small)
    assert dialog.count.text() == f"{len(small)} of {total} open regions"
    dialog.criterion.setCurrentIndex(1)
    dialog.entropy.setValue(0.4)
    assert dialog.chosen() == [] and not dialog.ok.isEnabled(), "all have an entropy of one half"
    dialog.criterion.setCurrentIndex(0)
    dialog.ok.click()
    qtbot.waitUntil(lambda: window.notices.notice("review") is not None, timeout=TIMEOUT)
    assert len(reviews.in_sample("stored", UNCERTAIN, IDS[0]).open) == total - len(small)
    window.actions_["take_back"].trigger()
    again = f"{len(small)} region{'s' if len(small) > 1 else ''} wait"
    qtbot.waitUntil(lambda: again in _said(correcting), timeout=TIMEOUT)
    assert len(reviews.in_sample("stored", UNCERTAIN, IDS[0]).open) == total


def test_of_all_images_the_most_uncertain_comes_first(correcting: Application, qtbot) -> None:
    window = correcting.window
    window.actions_["review_overall"].setChecked(True)
    window.actions_["next_uncertain"].trigger()
    qtbot.waitUntil(lambda: window.notices.notice("review") is not None, timeout=TIMEOUT)
    assert "find the uncertain regions of all images" in window.notices.notice("review").text
    window.actions_["find_uncertain"].trigger()
    qtbot.waitUntil(lambda: correcting.session.reviews.missing("stored") == [], timeout=TIMEOUT)
    ranked = correcting.session.reviews.ranked("stored", UNCERTAIN)
    assert _next(correcting, "next_uncertain", qtbot) == ranked[0]
    assert _next(correcting, "next_uncertain", qtbot) == ranked[1]


def test_states_are_said_kept_and_given_up_by_painting(correcting: Application, qtbot) -> None:
    window, session = correcting.window, correcting.session
    sample_id = correcting.desk.sample_id
    window.actions_["review_checked"].trigger()
    assert window.samples.status(sample_id) == "checked"
    assert window.review_strip.state.text() == "Checked"
    qtbot.waitUntil(lambda: session.status(sample_id) == "checked", timeout=TIMEOUT)
    _paint(correcting, BBox(10, 10, 20, 20), 3)
    assert window.samples.status(sample_id) == "in progress"
    qtbot.waitUntil(lambda: session.store.review(sample_id).state == "", timeout=TIMEOUT)
    window.actions_["review_flagged"].trigger()
    assert window.review_strip.comment.hasFocus()
    window.review_strip.comment.setText("blurred")
    window.review_strip.comment.clearFocus()
    _paint(correcting, BBox(10, 10, 20, 20), 4)
    qtbot.waitUntil(lambda: session.store.review(sample_id).comment == "blurred", timeout=TIMEOUT)
    assert window.samples.status(sample_id) == "flagged", "a flag stays until it is taken away"
    window.actions_["review_corrected"].trigger()
    qtbot.waitUntil(lambda: session.status(sample_id) == "corrected", timeout=TIMEOUT)


def test_checked_and_on_to_the_next_image(correcting: Application, qtbot) -> None:
    correcting.window.actions_["review_done"].trigger()
    qtbot.waitUntil(lambda: correcting.desk.sample_id == IDS[1], timeout=TIMEOUT)
    assert correcting.window.samples.status(IDS[0]) == "checked"
    assert correcting.window.review_strip.progress.text() == "1 of 4 checked"
    assert correcting.window.review_strip.state.text() == "Untouched"


def test_time_counts_only_while_something_moves(
    correcting: Application, qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    states, sample_id = correcting.review.states, correcting.desk.sample_id
    states._tick.stop()
    states._unkept = 0.0  # a slow machine may have counted a second already
    monkeypatch.setattr(correcting.window, "isActiveWindow", lambda: True)
    place = [0]
    monkeypatch.setattr(
        "segstudio.ui.controllers.review_states.QCursor.pos", lambda: QPoint(place[0], 0)
    )
    for _ in range(5):
        place[0] += 1
        states._on_tick()
    assert states.seconds == 5
    for _ in range(100):
        states._on_tick()
    assert states.seconds == 5 + 29, "half a minute of stillness is still work"
    assert correcting.window.review_strip.time.text() == "0:34"
    correcting.window.set_workspace("browse")
    place[0] += 1
    states._on_tick()
    assert states.seconds == 34
    qtbot.waitUntil(
        lambda: correcting.session.store.review(sample_id).seconds == 34, timeout=TIMEOUT
    )


def test_filters_and_orders_of_the_list(application: Application, qtbot) -> None:
    window = application.window
    model, field = window.samples, window.samples_panel.search
    window.actions_["find_uncertain"].trigger()
    qtbot.waitUntil(lambda: bool((model._entropy == model._entropy).all()), timeout=TIMEOUT)

    def shown() -> list[str]:
        return [model.sample_at(row).sample_id for row in range(model.rowCount())]

    model.set_review(IDS[2], "flagged")
    field.setText("state:flagged")
    assert shown() == [IDS[2]]
    field.setText("state:untouched,checked")
    assert shown() == [IDS[0], IDS[1], IDS[3]]
    scores = application.session.sample_scores("stored")
    limit = sorted(scores.values())[2]
    field.setText(f"score<{limit:.6f}")
    assert len(shown()) == 2 and all(scores[key] < limit for key in shown())
    field.setText("entropy>0.4 images/1")
    assert shown() == [IDS[1]]
    field.setText("entropy>60%")
    assert shown() == []
    facts = application.session.reviews.facts("stored")
    absent = set(range(11)) - facts[IDS[0]].classes
    space = application.desk.space
    for index in range(11):
        name = space.classes[index].name.lower().replace(" ", "-")
        field.setText(f"class:{name}")
        assert (IDS[0] in shown()) == (index not in absent)
    field.clear()
    model.set_sort("errors", descending=True)
    values = [facts[key].confident_errors for key in shown()]
    assert values == sorted(values, reverse=True)
    model.set_sort("status", descending=True)
    assert shown()[0] == IDS[2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", SampleFilter()),
        ("Night cam", SampleFilter(words=("night", "cam"))),
        ("state:flagged,in-progress", SampleFilter(states=("flagged", "in-progress"))),
        ("class:car class:road", SampleFilter(classes=("car", "road"))),
        (
            "score<=.5 errors>2%",
            SampleFilter(figures=(("score", "<=", 0.5), ("errors", ">", 0.02))),
        ),
        ("score<x state: a:b", SampleFilter(words=("score<x", "state:", "a:b"))),
    ],
)
def test_what_a_filter_means(text: str, expected: SampleFilter) -> None:
    assert parse_filter(text) == expected
    assert parse_filter(text).is_empty == (not text)


def test_the_filter_menu_writes_into_the_field(application: Application, qtbot) -> None:
    panel = application.window.samples_panel
    panel.search.setText("images")

    def choose(title: str) -> None:
        panel.filter._fill()
        menus = [
            panel.filter.menu(),
            *(one.menu() for one in panel.filter.menu().actions() if one.menu() is not None),
        ]
        (found,) = [one for menu in menus for one in menu.actions() if one.text() == title]
        found.trigger()

    qtbot.waitUntil(lambda: panel.filter._classes != (), timeout=TIMEOUT)
    choose("Flagged")
    choose("In progress")
    assert panel.search.text() == "images state:in-progress"
    choose("Sky")
    assert panel.search.text() == "images state:in-progress class:sky"
    choose("In progress")
    assert panel.search.text() == "images class:sky"
    choose("Show all images")
    assert panel.search.text() == ""


def test_every_state_has_a_shape_in_the_strip(qapp) -> None:
    strip = ReviewStrip(Actions())
    shapes = {}
    for status in ("new", "predicted", "in progress", "corrected", "checked", "flagged"):
        strip.set_state(status)
        picture = strip._mark.grab().toImage().convertToFormat(QImage.Format.Format_ARGB32)
        shapes[status] = bytes(picture.constBits())
    drawn = [len(set(np.frombuffer(shape, np.uint32))) > 1 for shape in shapes.values()]
    assert all(drawn), "nothing is drawn for a state"
    assert shapes["new"] == shapes["predicted"] and len(set(shapes.values())) == 5
    assert strip.state.text() == "Flagged"


def test_clock() -> None:
    assert [clock(value) for value in (0, 7.9, 750, 3723)] == ["0:00", "0:07", "12:30", "1:02:03"]


def test_without_a_run_there_is_nothing_to_review(start, dataset_folder: Path, qtbot) -> None:
    application = start(dataset_folder)
    application.window.actions_["next_uncertain"].trigger()
    assert "Run a model first" in application.window.notices.notice("review").text
    application.window.actions_["accept_many"].trigger()
    assert application.window.findChild(AcceptDialog) is None


def test_what_was_said_last_is_kept_when_the_window_closes(
    correcting: Application, dataset_folder: Path, qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segstudio.project.store import Store

    # Nothing that is started now comes to its turn in the pool.
    monkeypatch.setattr(correcting.tasks._pool, "start", lambda *_arguments: None)
    correcting.window.actions_["review_flagged"].trigger()
    correcting.window.review_strip.comment.setText("blurred")
    correcting.review.states._unkept = 7.0
    correcting.window.close()
    store = Store(dataset_folder / ".segstudio" / "project.sqlite")
    review = store.review(IDS[0])
    store.close()
    assert (review.state, review.comment, review.seconds) == ("flagged", "blurred", 7.0)
