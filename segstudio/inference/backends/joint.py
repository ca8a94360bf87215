"""The backends of several models that go through a run together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

from segstudio.inference.backends.base import Backend, BackendRecord, Shape, never

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["JointBackend"]


class JointBackend(Backend):
    """Prepares and closes the backends of an ensemble's members; each serves its own model.

    Parameters
    ----------
    parts : sequence of Backend
    """

    def __init__(self, parts: Sequence[Backend]) -> None:
        self._parts = tuple(parts)
        self.compiles = any(part.compiles for part in parts)  # type: ignore[misc]

    @property
    def name(self) -> str:
        """The members' names, without repetition."""
        return " + ".join(sorted({part.name for part in self._parts}))

    @property
    def precision(self) -> str:
        """The members' precisions, without repetition."""
        return "+".join(sorted({part.precision for part in self._parts}))

    @property
    def notes(self) -> tuple[str, ...]:
        """The members' notes, each once."""
        return tuple(dict.fromkeys(note for part in self._parts for note in part.notes))

    def __call__(self, batch: Tensor) -> NoReturn:
        """Refuse: an input belongs to one of the members."""
        raise TypeError("An ensemble's members apply their own backends.")

    @contextlib.contextmanager
    def uncompiled(self) -> Iterator[None]:
        """See `Backend`."""
        with contextlib.ExitStack() as stack:
            for part in self._parts:
                stack.enter_context(part.uncompiled())
            yield

    def start(self, counts: Mapping[Shape, int]) -> None:
        """See `Backend`; every member is prepared for the inputs of all."""
        for part in self._parts:
            part.start(counts)

    def wait_ready(
        self, counts: Mapping[Shape, int], *, cancelled: Callable[[], bool] = never
    ) -> None:
        """See `Backend`."""
        self.start(counts)
        for part in self._parts:
            part.wait_ready(counts, cancelled=cancelled)

    def record(self) -> BackendRecord:
        """See `Backend`."""
        records = [part.record() for part in self._parts]
        names = " + ".join(dict.fromkeys(record.name for record in records))
        others = " + ".join(dict.fromkeys(record.other for record in records))
        shapes = tuple(sorted({shape for record in records for shape in record.shapes}))
        return BackendRecord(names, self.precision, shapes, others, self.notes)

    def close(self) -> None:
        """See `Backend`."""
        for part in self._parts:
            part.close()
