"""What runs a network: one call from input to logits, whatever is underneath."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Backend", "BackendRecord", "Shape", "never"]

Shape = tuple[int, int]
"""Height and width of a network input, in pixels."""


def never() -> bool:
    """Cancel nothing."""
    return False


@dataclass(frozen=True, slots=True)
class BackendRecord:
    """What is recorded with a run.

    Attributes
    ----------
    name : str
        "eager fp32", "eager bf16", "openvino bf16", ...
    precision : str
        Of ``name``: "fp32", "bf16" or "fp16".
    shapes : tuple of Shape
        Inputs that were served by compiled networks; empty when there are none.
    other : str
        Name of what served inputs of all other shapes; equal to ``name`` without compiled ones.
    notes : tuple of str
        Sentences: why it is not another backend.
    """

    name: str
    precision: str
    shapes: tuple[Shape, ...] = ()
    other: str = ""
    notes: tuple[str, ...] = ()


class Backend(abc.ABC):
    """Applies one network on one device; may be called from several threads.

    Attributes
    ----------
    name : str
        What serves, or will once it is prepared: "eager bf16", "openvino bf16", ...
    precision : str
        "fp32", "bf16" or "fp16".
    notes : tuple of str
        Sentences for the user: why it is not another backend.
    compiles : bool
        Whether `wait_ready` has something to do.
    """

    compiles: ClassVar[bool] = False

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """See the class."""

    @property
    @abc.abstractmethod
    def precision(self) -> str:
        """See the class."""

    @property
    @abc.abstractmethod
    def notes(self) -> tuple[str, ...]:
        """See the class."""

    @abc.abstractmethod
    def __call__(self, batch: Tensor) -> Tensor:
        """Return logits.

        Parameters
        ----------
        batch : Tensor of shape (N, 3, h, w), float32
            Network input, on the backend's device.

        Returns
        -------
        Tensor of shape (N, C, h', w'), float32
            On the same device, at the head's own resolution.
        """

    @contextlib.contextmanager
    def uncompiled(self) -> Iterator[None]:
        """Let calls of this thread be served as if nothing were compiled."""
        yield

    def start(self, counts: Mapping[Shape, int]) -> None:  # noqa: B027 - most are ready as they are
        """Begin to prepare for a run, in the background.

        Until `wait_ready` has returned only `uncompiled` calls are answered the same every time.

        Parameters
        ----------
        counts : mapping of Shape to int
            How many inputs of each shape all images of the run make, those that are already done
            included: a resumed run then decides as the first one did.
        """

    def wait_ready(  # noqa: B027 - as above
        self, counts: Mapping[Shape, int], *, cancelled: Callable[[], bool] = never
    ) -> None:
        """Prepare for a run and wait for it; `start` may have begun it with the same counts.

        From here on the answer to one input depends on nothing but the input: a shape is served
        either by a compiled network in every call or by the eager one in every call.

        Parameters
        ----------
        counts : mapping of Shape to int
            See `start`.
        cancelled : callable
            Asked several times a second.

        Raises
        ------
        CancelledError
            When ``cancelled`` said so; the backend stays usable.
        """

    def record(self) -> BackendRecord:
        """Return what a run has to record."""
        return BackendRecord(self.name, self.precision, other=self.name, notes=self.notes)

    def close(self) -> None:  # noqa: B027 - as above
        """Stop preparing and free what was prepared; may be called twice."""
