"""The review queue: from one region that wants a person to the next, and what is said of images."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QObject, QTimer

from segstudio.core.label_space import LabelSpace
from segstudio.session.review_maps import RegionKind, ReviewRegion
from segstudio.session.reviews import SampleRegions
from segstudio.session.session import Session
from segstudio.ui.controllers.desk import Desk, Shown
from segstudio.ui.controllers.edit import EditController
from segstudio.ui.controllers.review_facts import ReviewFacts
from segstudio.ui.controllers.review_level import ReviewLevel
from segstudio.ui.controllers.review_states import ReviewStates
from segstudio.ui.controllers.tasks import SessionBridge, Tasks, sentence
from segstudio.ui.dialogs.accept import AcceptDialog
from segstudio.ui.main_window import MainWindow
from segstudio.ui.models.legend import short_name

__all__ = ["ReviewController"]

_ADVANCE_MS = 350  # between a fixed region and the next: long enough to see the stroke

_TRIED = 200  # regions of all images that are looked at: most of them may be fixed

_NOUNS = {RegionKind.UNCERTAIN: "uncertain", RegionKind.ERROR: "error"}


class ReviewController(QObject):
    """Joins the strip below the picture, canvas and session."""

    def __init__(
        self,
        window: MainWindow,
        session: Session,
        bridge: SessionBridge,
        tasks: Tasks,
        desk: Desk,
        edit: EditController,
    ) -> None:
        super().__init__(window)
        self._window, self._session, self._tasks = window, session, tasks
        self._desk, self._edit = desk, edit
        self.states = ReviewStates(window, session, tasks, desk, edit)
        self.facts = ReviewFacts(window, session, bridge, tasks, desk)
        self.level = ReviewLevel(window, session)
        self._kind = RegionKind.UNCERTAIN
        self._found: SampleRegions | None = None
        self.region: ReviewRegion | None = None
        self._visited: list[ReviewRegion] = []
        self._batches: list[int] = []
        self._advance = QTimer(self)
        self._advance.setSingleShot(True)
        self._advance.setInterval(_ADVANCE_MS)
        self._advance.timeout.connect(self._go_on)
        self._connect(bridge)

    def _connect(self, bridge: SessionBridge) -> None:
        window, actions = self._window, self._window.actions_
        for action_id, call in (
            ("next_uncertain", partial(self.next, RegionKind.UNCERTAIN)),
            ("next_error", partial(self.next, RegionKind.ERROR)),
            ("review_back", self.back),
            ("accept_region", self.accept),
            ("accept_many", self._ask_many),
            ("take_back", self.take_back),
            ("review_done", self._checked_next),
        ):
            actions[action_id].triggered.connect(lambda _checked, call=call: call())
        advance = self._session.settings.get("review_advance", True)
        actions["review_advance"].setChecked(bool(advance))
        actions["review_advance"].toggled.connect(
            lambda on: self._session.settings.set("review_advance", on)
        )
        self._desk.shown_changed.connect(self._on_shown)
        self._desk.run_changed.connect(lambda _run: self._forget())
        self._edit.opened.connect(lambda _correction: self._on_opened())
        bridge.dataset_opened.connect(lambda _dataset: self._forget())
        self.level.changed.connect(self._forget)
        window.workspace_changed.connect(self._on_workspace)
        self._say()

    # -- regions ------------------------------------------------------------------------------

    def next(self, kind: RegionKind) -> None:
        """Show the next region of a kind that is neither accepted nor fixed."""
        run, sample_id = self._desk.run, self._desk.sample_id
        if not run or not sample_id:
            self._tell("Run a model first; its uncertain regions and errors are reviewed here.")
            return
        self._advance.stop()
        if kind is not self._kind:
            self._kind, self._found = kind, None
            self.region = None
        self._window.review_strip.set_region("Looking for the next region …")
        if self._window.actions_["review_overall"].isChecked():
            self._start(partial(self._next_overall, run, kind, self._seen()))
            return
        after = self._window.samples.shown_after(sample_id)
        correction = self._desk.corrected
        here = self.region if self.region and self.region.sample_id == sample_id else None

        def work() -> tuple[SampleRegions | None, ReviewRegion | None]:
            reviews = self._session.reviews
            found: SampleRegions | None = reviews.in_sample(run, kind, sample_id, correction)
            assert found is not None
            region = found.after(here)
            if region is None:
                found = reviews.next_sample(run, kind, after)
                region = None if found is None else found.open[0]
            return found, region

        self._start(work)

    def _seen(self) -> set[ReviewRegion]:
        return {*self._visited, *(() if self.region is None else (self.region,))}

    def _next_overall(
        self, run: str, kind: RegionKind, seen: set[ReviewRegion]
    ) -> tuple[SampleRegions | None, ReviewRegion | None]:
        """Return the first open region of all images; runs in a thread."""
        reviews = self._session.reviews
        known: dict[str, SampleRegions] = {}
        candidates = [region for region in reviews.ranked(run, kind) if region not in seen]
        for region in candidates[:_TRIED]:
            name = region.sample_id
            if name not in known:
                known[name] = reviews.in_sample(run, kind, name)
            if region in known[name].open:
                return known[name], region
        return None, None

    def _start(self, work: object) -> None:
        self._tasks.start("review", work, self._on_next, self._on_failed)  # type: ignore[arg-type]

    def _on_failed(self, error: Exception) -> None:
        self._say()
        self._tell(sentence(error), kind="warning")

    def _on_next(self, answer: tuple[SampleRegions | None, ReviewRegion | None]) -> None:
        found, region = answer
        if region is None or found is None:
            self._found, self.region = None, None
            self._window.canvas.set_outline(None)
            self._say()
            overall = self._window.actions_["review_overall"].isChecked()
            first = "; find the uncertain regions of all images first (Review menu)"
            missing = first if overall and self._kind is RegionKind.UNCERTAIN else ""
            self._tell(f"No open {_NOUNS[self._kind]} region is left{missing}.", kind="done")
            return
        if self.region not in (None, region):
            self._visited.append(self.region)
        self._found = found
        self.show(region)

    def show(self, region: ReviewRegion) -> None:
        """Bring a region to the middle, outline it and choose the class proposed for it."""
        self.region = region
        if self._window.workspace != "correct":
            self._window.set_workspace("correct")
        if self._desk.sample_id != region.sample_id:
            self._desk.show(region.sample_id)
        elif self._desk.shown is not None:
            self._reveal()
        self._say()

    def back(self) -> None:
        """Show the region that was shown before."""
        if not self._visited:
            self._tell("There is no region before this one.")
            return
        region = self._visited.pop()
        self._found = None
        self._kind = region.kind
        self.show(region)
        self._load()

    def _load(self) -> None:
        """Read the regions of the image shown again, to count and to measure them."""
        region, run = self.region, self._desk.run
        if region is None:
            return
        correction = self._desk.corrected if self._desk.sample_id == region.sample_id else None

        def keep(found: SampleRegions) -> None:
            if self.region == region:
                self._found = found
                self._reveal()
                self._say()

        self._tasks.start(
            "review",
            partial(
                self._session.reviews.in_sample, run, region.kind, region.sample_id, correction
            ),
            keep,
            self._on_failed,
        )

    def _on_shown(self, shown: Shown | None) -> None:
        region = self.region
        if shown is None or region is None or shown.sample_id != region.sample_id:
            if shown is not None:
                self.region, self._found = None, None
                self._say()
            return
        self._reveal()

    def _reveal(self) -> None:
        region, found = self.region, self._found
        if region is None or self._desk.sample_id != region.sample_id:
            return
        mask = None if found is None else found.maps.mask(region)
        self._window.canvas.set_outline(mask, region.box.top, region.box.left)
        self._window.canvas.reveal(region.box)
        self._choose_class()

    def _choose_class(self) -> None:
        if self.region is not None and self.region.proposed is not None:
            self._edit.choose_class(self.region.proposed)
            self._window.classes_panel.reveal(self.region.proposed)

    def _on_opened(self) -> None:
        correction = self._edit.correction
        if correction is None:
            return
        correction.document.state_changed.connect(self._on_stroke)
        if self.region is not None and self.region.sample_id == correction.sample_id:
            self._choose_class()

    def _on_stroke(self) -> None:
        """See after a stroke whether the region at hand is fixed by it."""
        QTimer.singleShot(0, self, self._look)

    def _look(self) -> None:
        correction, region, found = self._edit.correction, self.region, self._found
        if correction is None or region is None or found is None:
            return
        label_map = correction.document.label_map
        if region.sample_id != correction.sample_id or label_map.shape != found.maps.labels.shape:
            return
        if not found.maps.is_fixed(region, label_map):
            self._advance.stop()
            self._say()
        elif self._window.actions_["review_advance"].isChecked():
            self._window.review_strip.set_region("Fixed.  Going on …")
            self._advance.start()
        else:
            self._window.review_strip.set_region("Fixed.")

    def _go_on(self) -> None:
        correction = self._edit.correction
        if correction is not None and correction.document.in_stroke:
            self._advance.start()  # never under the brush
        else:
            self.next(self._kind)

    # -- accepting ----------------------------------------------------------------------------

    def accept(self) -> None:
        """Leave the region at hand as it is, and go on."""
        region, run = self.region, self._desk.run
        if region is None:
            self._tell("Choose a region first: U for the most uncertain one, N for an error.")
            return

        def entered(batch: int) -> None:
            self._batches.append(batch)
            self.next(region.kind)

        self._tasks.start(
            "accept",
            partial(self._session.reviews.accept, run, [region]),
            entered,
            self._on_failed,
        )

    def take_back(self) -> None:
        """Take the last acceptance back, one region or many."""
        reviews, store = self._session.reviews, self._session.store
        own = self._batches.pop() if self._batches else None

        def work() -> int:
            batch = store.last_batch() if own is None else own
            return 0 if batch is None else reviews.take_back(batch)

        def tell(count: int) -> None:
            self._tell(
                f"{_regions(count)} wait{'s' if count == 1 else ''} to be reviewed again."
                if count
                else "No region was accepted."
            )

        self._tasks.start("accept", work, tell, self._on_failed)

    def _ask_many(self) -> None:
        """Ask which regions to accept together."""
        run = self._desk.run
        if not run:
            self._tell("Run a model first; its regions are reviewed here.")
            return
        kind, sample_id, correction = self._kind, self._desk.sample_id, self._desk.corrected
        dialog = AcceptDialog(_NOUNS[kind], kind is RegionKind.UNCERTAIN, self._window)
        dialog.accepted.connect(lambda: self._accept_many(run, dialog))
        reviews = self._session.reviews

        def work() -> tuple[list[ReviewRegion], list[ReviewRegion]]:
            here = list(reviews.in_sample(run, kind, sample_id, correction).open)
            return here, reviews.ranked(run, kind)

        self._tasks.start(
            "regions to accept",
            work,
            lambda found: dialog.set_regions(*found),
            lambda error: dialog.set_problem(sentence(error)),
        )
        dialog.open()

    def _accept_many(self, run: str, dialog: AcceptDialog) -> None:
        regions = dialog.chosen()
        if not regions:
            return

        def entered(batch: int) -> None:
            self._batches.append(batch)
            self._window.show_notice(
                "review",
                f"{_regions(len(regions))} accepted as they are.",
                kind="done",
                buttons=[("Undo", self.take_back)],
            )
            if self.region is not None and self.region in regions:
                self.next(self._kind)

        self._tasks.start(
            "accept", partial(self._session.reviews.accept, run, regions), entered, self._on_failed
        )

    # -- images -------------------------------------------------------------------------------

    def _forget(self) -> None:
        """Another run or dataset is at hand."""
        self.region, self._found = None, None
        self._visited.clear()
        self._batches.clear()
        self._say()

    def _checked_next(self) -> None:
        self.states.set_state("checked")
        self._window.samples_panel.step(1)

    def _on_workspace(self, name: str) -> None:
        if name != "correct" and self.region is not None:
            self._advance.stop()
            self.region, self._found = None, None
            self._window.canvas.set_outline(None)
            self._say()

    # -- words --------------------------------------------------------------------------------

    def _tell(self, text: str, *, kind: str = "info") -> None:
        self._window.show_notice("review", text, kind=kind, seconds=8)

    def _say(self) -> None:
        """Say in the strip which region is at hand."""
        region, found, space = self.region, self._found, self._desk.space
        self._window.actions_["accept_region"].setEnabled(region is not None)
        if region is None:
            self._window.review_strip.set_region("")
            return
        parts = [
            f"{_name(space, region.prediction)} \N{RIGHTWARDS ARROW} "
            f"{_name(space, region.proposed)}{'?' * (region.kind is RegionKind.UNCERTAIN)}"
        ]
        parts.append(f"{region.area:,} px".replace(",", "\N{NARROW NO-BREAK SPACE}"))
        if region.mean_entropy is not None:
            parts.append(f"entropy {region.mean_entropy:.2f}")
        if region.mean_confidence is not None:
            parts.append(f"confidence {region.mean_confidence:.2f}")
        count = "" if found is None else f"{len(found.open)} of {found.total} open"
        self._window.review_strip.set_region("   ·   ".join(parts), count)


def _name(space: LabelSpace | None, index: int | None) -> str:
    if index is None:
        return "no class"
    return short_name(space.classes[index].name) if space and index < len(space) else str(index)


def _regions(count: int) -> str:
    return f"{count} region{'s' * (count != 1)}"
