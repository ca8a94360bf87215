"""What a person has decided about samples and regions, and how long it took."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

__all__ = ["REVIEW_STATES", "Accepted", "Review", "ReviewTables", "UncertainRecord"]

REVIEW_STATES = ("untouched", "in progress", "corrected", "checked", "flagged")
"""What a person can say of a sample."""


@dataclass(frozen=True, slots=True)
class Review:
    """What is known of one sample's review.

    Attributes
    ----------
    state : str
        One of `REVIEW_STATES` set by hand, "" when it follows from what was painted.
    comment : str
    seconds : float
        Time that somebody worked on it.
    """

    state: str = ""
    comment: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Accepted:
    """A region that somebody has looked at and left as it is.

    Attributes
    ----------
    sample_id : str
    row, column : int
        A pixel of the region, its first in reading order.
    area : int
        Pixels; a region of another extent is another one.
    """

    sample_id: str
    row: int
    column: int
    area: int


@dataclass(frozen=True, slots=True)
class UncertainRecord:
    """The stored uncertain regions of one sample of a run.

    Attributes
    ----------
    sample_id : str
    finished : float
        `ResultRecord.finished` of the prediction that was read.
    level : int
        Entropy level, 0..255, from which a pixel is uncertain.
    mean_entropy : float
        Of the sample, as a share of log C.
    classes : bytes
        Class indices that occur, little-endian uint16.
    regions : bytes
        Serialised rows of `segstudio.analysis.uncertain`.
    """

    sample_id: str
    finished: float
    level: int
    mean_entropy: float
    classes: bytes
    regions: bytes


class ReviewTables:
    """The part of `segstudio.project.store.Store` that asks for and enters reviews."""

    def _transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        raise NotImplementedError

    def _query(self, statement: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    # -- samples ----------------------------------------------------------------------------

    def set_review(self, sample_id: str, state: str, comment: str | None = None) -> None:
        """Set a sample's review state ("" to let it follow) and, unless None, its comment."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO reviews (sample_id, state, comment) "
                "VALUES (?1, ?2, coalesce(?3, '')) ON CONFLICT (sample_id) DO UPDATE "
                "SET state = ?2, comment = coalesce(?3, comment)",
                (sample_id, state, comment),
            )

    def add_review_seconds(self, sample_id: str, seconds: float) -> None:
        """Add time that somebody worked on a sample."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO reviews (sample_id, state, seconds) VALUES (?1, '', ?2) "
                "ON CONFLICT (sample_id) DO UPDATE SET seconds = seconds + ?2",
                (sample_id, seconds),
            )

    def review(self, sample_id: str) -> Review:
        """Return what is known of one sample's review."""
        rows = self._query(
            "SELECT state, comment, seconds FROM reviews WHERE sample_id = ?", (sample_id,)
        )
        return Review(*rows[0]) if rows else Review()

    def reviews(self) -> dict[str, str]:
        """Return the review states that were set by hand, by sample."""
        return dict(self._query("SELECT sample_id, state FROM reviews WHERE state != ''"))

    def review_seconds(self) -> dict[str, float]:
        """Return the time that was worked on each sample, those without any left out."""
        return dict(self._query("SELECT sample_id, seconds FROM reviews WHERE seconds > 0"))

    # -- corrections ------------------------------------------------------------------------

    def correction_sources(self, sample_id: str) -> list[str | None]:
        """Return what the saved revisions of a sample come from, oldest first."""
        rows = self._query(
            "SELECT source FROM corrections WHERE sample_id = ? ORDER BY revision", (sample_id,)
        )
        return [row[0] for row in rows]

    def forget_correction(self, sample_id: str) -> None:
        """Forget that a sample has a saved correction."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM corrections WHERE sample_id = ?", (sample_id,))

    # -- regions ----------------------------------------------------------------------------

    def accept(self, run: str, kind: str, regions: Iterable[Accepted]) -> int:
        """Enter regions of a kind ("uncertain" or "error") as accepted; return their batch.

        Regions that were accepted before stay in their batch.
        """
        with self._transaction() as connection:
            (last,) = connection.execute("SELECT coalesce(max(batch), 0) FROM accepted").fetchone()
            connection.executemany(
                "INSERT OR IGNORE INTO accepted VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    (run, kind, one.sample_id, one.row, one.column, one.area, last + 1)
                    for one in regions
                ),
            )
            return int(last) + 1

    def take_back(self, batch: int) -> int:
        """Forget that the regions of a batch were accepted; return how many there were."""
        with self._transaction() as connection:
            cursor = connection.execute("DELETE FROM accepted WHERE batch = ?", (batch,))
            return cursor.rowcount

    def last_batch(self) -> int | None:
        """Return the batch that was accepted last, None when there is none."""
        (last,) = self._query("SELECT max(batch) FROM accepted")[0]
        return None if last is None else int(last)

    def accepted(self, run: str, kind: str, sample_id: str | None = None) -> set[Accepted]:
        """Return the accepted regions of a run, of one sample or of all."""
        where, values = ("", ()) if sample_id is None else (" AND sample_id = ?", (sample_id,))
        rows = self._query(
            "SELECT sample_id, row, column, area FROM accepted WHERE run = ? AND kind = ?" + where,
            (run, kind, *values),
        )
        return {Accepted(*row) for row in rows}

    # -- uncertain regions ------------------------------------------------------------------

    def save_uncertain(self, run: str, record: UncertainRecord) -> bool:
        """Replace a sample's uncertain regions; False when its prediction was redone meanwhile."""
        with self._transaction() as connection:
            cursor = connection.execute(
                "INSERT OR REPLACE INTO uncertain (run, sample_id, finished, level, mean_entropy, "
                "classes, regions) SELECT run, sample_id, finished, ?, ?, ?, ? FROM results "
                "WHERE run = ? AND sample_id = ? AND error IS NULL AND finished = ?",
                (
                    record.level,
                    record.mean_entropy,
                    record.classes,
                    record.regions,
                    run,
                    record.sample_id,
                    record.finished,
                ),
            )
            return cursor.rowcount > 0

    def uncertain_keys(self, run: str) -> dict[str, tuple[float, int]]:
        """Return (finished, level) of the samples whose uncertain regions are stored."""
        rows = self._query("SELECT sample_id, finished, level FROM uncertain WHERE run = ?", (run,))
        return {sample_id: (finished, level) for sample_id, finished, level in rows}

    def uncertain(self, run: str) -> dict[str, UncertainRecord]:
        """Return the stored uncertain regions of a run."""
        rows = self._query(
            "SELECT sample_id, finished, level, mean_entropy, classes, regions FROM uncertain "
            "WHERE run = ?",
            (run,),
        )
        return {row[0]: UncertainRecord(*row) for row in rows}
