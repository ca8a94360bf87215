"""What a project keeps beside its scores: category counts, facts on images, notes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

__all__ = ["ImageFacts", "OodRecord", "SideTables"]


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What an image looks like, for slices.

    Attributes
    ----------
    file : str
        State of the image file that was read (its size and time); another state means: read again.
    pixels : int
        Height times width.
    brightness, contrast : float
        Mean and standard deviation of the grey values, 0..1.
    """

    file: str
    pixels: int
    brightness: float
    contrast: float


@dataclass(frozen=True, slots=True)
class OodRecord:
    """The stored out-of-distribution counts of one sample of a run.

    Attributes
    ----------
    sample_id : str
    target : str
        Key of the ground truth, the prediction and the mapping that were counted.
    counts : bytes
        Serialised category counts.
    components_target : str or None
        Key of what the components were matched with: also the entropy level and smallest sizes.
    components : bytes or None
        Serialised matches of connected components.
    """

    sample_id: str
    target: str
    counts: bytes
    components_target: str | None = None
    components: bytes | None = None


class SideTables:
    """The part of `segstudio.project.store.Store` that asks for and enters these tables."""

    def _transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        raise NotImplementedError

    def _query(self, statement: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    # -- out of distribution ----------------------------------------------------------------

    def save_ood(self, run: str, records: Iterable[OodRecord]) -> None:
        """Replace the category counts of samples; their components are forgotten with them."""
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO ood (run, sample_id, target, components_target, counts, "
                "components) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (
                        run,
                        record.sample_id,
                        record.target,
                        record.components_target,
                        record.counts,
                        record.components,
                    )
                    for record in records
                ),
            )

    def save_components(self, run: str, entries: Iterable[tuple[str, str, bytes]]) -> None:
        """Enter the component matches of counted samples: (sample_id, key, matches)."""
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE ood SET components_target = ?, components = ? "
                "WHERE run = ? AND sample_id = ?",
                ((key, data, run, sample_id) for sample_id, key, data in entries),
            )

    def ood_keys(self, run: str) -> dict[str, str]:
        """Return the key of what was counted by sample."""
        return dict(self._query("SELECT sample_id, target FROM ood WHERE run = ?", (run,)))

    def ood_records(self, run: str) -> list[OodRecord]:
        """Return everything that was counted of a run."""
        rows = self._query(
            "SELECT sample_id, target, counts, components_target, components FROM ood "
            "WHERE run = ?",
            (run,),
        )
        return [OodRecord(*row) for row in rows]

    # -- images -----------------------------------------------------------------------------

    def save_image_facts(self, entries: Iterable[tuple[str, ImageFacts]]) -> None:
        """Replace the facts of images, by sample id."""
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO image_facts VALUES (?, ?, ?, ?, ?)",
                (
                    (sample_id, facts.file, facts.pixels, facts.brightness, facts.contrast)
                    for sample_id, facts in entries
                ),
            )

    def image_facts(self) -> dict[str, ImageFacts]:
        """Return the facts that are known, by sample id."""
        rows = self._query("SELECT sample_id, file, pixels, brightness, contrast FROM image_facts")
        return {row[0]: ImageFacts(*row[1:]) for row in rows}

    # -- notes ------------------------------------------------------------------------------

    def set_note(self, name: str, value: str) -> None:
        """Remember a text for this project."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO project_notes VALUES (?, ?)", (name, value))

    def note(self, name: str) -> str | None:
        """Return what `set_note` remembered, None when there is nothing."""
        rows = self._query("SELECT value FROM project_notes WHERE name = ?", (name,))
        return rows[0][0] if rows else None
