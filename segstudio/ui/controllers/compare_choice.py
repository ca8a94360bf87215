"""What a person has chosen to compare, from one start of the program to the next."""

from __future__ import annotations

from collections.abc import Sequence

from segstudio.analysis.side_by_side import Column
from segstudio.core.errors import WriteError
from segstudio.session.session import Session
from segstudio.ui.main_window import MainWindow
from segstudio.ui.panels.compare_grid import FIRST_COLUMNS

__all__ = ["CompareChoice"]

_KEPT = 20
"""Datasets of which the chosen models are kept."""


class CompareChoice:
    """The choices in the settings; what is damaged there counts as not chosen.

    Parameters
    ----------
    window : MainWindow
        Says when they cannot be written.
    session : Session
    """

    def __init__(self, window: MainWindow, session: Session) -> None:
        self._window, self._session = window, session

    def columns(self) -> list[Column]:
        """Return the columns of last time."""
        names = self._session.settings.get("compare_columns")
        if not isinstance(names, list):
            return list(FIRST_COLUMNS)
        return [column for column in Column if column.name in names]

    def opacity(self) -> int:
        """Return the opacity of label maps, per cent."""
        value = self._session.settings.get("compare_opacity", 100)
        return min(max(value, 0), 100) if isinstance(value, int) else 100

    def runs(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the runs and the pair chosen for the open dataset; empty without any."""
        dataset = self._session.dataset
        kept = self._known().get("" if dataset is None else str(dataset.root))
        if not isinstance(kept, dict):
            return (), ()
        runs, pair = kept.get("runs"), kept.get("pair")
        return (
            tuple(runs) if isinstance(runs, list) else (),
            tuple(pair) if isinstance(pair, list) else (),
        )

    def remember_runs(self, runs: Sequence[str], pair: Sequence[str]) -> None:
        """Keep the runs and the pair of the open dataset."""
        dataset = self._session.dataset
        if dataset is not None:
            kept = self._known()
            kept.pop(str(dataset.root), None)
            kept[str(dataset.root)] = {"runs": list(runs), "pair": list(pair)}
            self.remember("compare_runs", dict(list(kept.items())[-_KEPT:]))

    def remember(self, key: str, value: object) -> None:
        """Keep a choice; the window says when that fails."""
        try:
            self._session.settings.set(key, value)
        except WriteError as error:
            self._window.show_notice("settings", str(error), kind="warning")

    def _known(self) -> dict[str, object]:
        kept = self._session.settings.get("compare_runs")
        return dict(kept) if isinstance(kept, dict) else {}
