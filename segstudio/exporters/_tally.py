"""Counting what a format could not express, to name it when an export is done."""

from __future__ import annotations

import threading

__all__ = ["Tally"]


class Tally:
    """Sums of losses by sentence; threads may add."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[tuple[str, str], list[int]] = {}

    def add(self, sentence: str, amount: int, unit: str = "pixels") -> None:
        """Add one sample's loss.

        Parameters
        ----------
        sentence : str
            What is lost and what stands in its place, without the full stop.
        amount : int
            How much, 0 for nothing.
        unit : str
            What is counted, in the plural; "samples" counts samples themselves.
        """
        if amount:
            with self._lock:
                sums = self._sums.setdefault((sentence, unit), [0, 0])
                sums[0] += int(amount)
                sums[1] += 1

    def notes(self) -> list[str]:
        """Return one sentence for each kind of loss, by name."""
        with self._lock:
            return [
                f"{sentence} ({_count(samples, 'samples')})."
                if unit == "samples"
                else f"{sentence} ({_count(amount, unit)} in {_count(samples, 'samples')})."
                for (sentence, unit), (amount, samples) in sorted(self._sums.items())
            ]


def _count(amount: int, unit: str) -> str:
    return f"{amount:,} {unit.removesuffix('s') if amount == 1 else unit}"
