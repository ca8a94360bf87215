"""What a session tells its listeners: small frozen values that travel between processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = [
    "JobState",
    "ModelLoaded",
    "ModelReport",
    "PredictionReady",
    "RunEvent",
    "RunFinished",
    "RunNote",
    "RunStarted",
    "SampleFailed",
]


@dataclass(frozen=True, slots=True)
class ModelLoaded:
    """A model is ready on a device."""

    model: str
    device: str
    seconds: float


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins or goes on.

    Attributes
    ----------
    run, model : str
        Name of the run; name or path of the model.
    total, already : int
        Samples of the run; those that were finished before.
    notes : tuple of str
        Sentences for the user.
    """

    run: str
    model: str
    total: int
    already: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunNote:
    """One sentence about a run that goes on: something is done otherwise than asked."""

    run: str
    sentence: str


@dataclass(frozen=True, slots=True)
class PredictionReady:
    """A sample's results are on disk and in the store.

    Attributes
    ----------
    sample_id, run : str
    generation : int
        Which question it answers; 0 outside the window.
    miou : float or None
        Per-image mIoU, None without ground truth.
    seconds : float
        From image to files.
    problem : str or None
        A sentence when the prediction is stored but could not be scored.
    """

    sample_id: str
    run: str
    generation: int
    miou: float | None
    seconds: float
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class SampleFailed:
    """A sample could not be predicted; ``error`` is one plain sentence.

    ``job_id`` names the job where that is not the run that is being done.
    """

    sample_id: str
    run: str
    error: str
    job_id: str = ""


@dataclass(frozen=True, slots=True)
class RunFinished:
    """A run came to its end, or was cancelled."""

    run: str
    done: int
    failed: int
    cancelled: bool


@dataclass(frozen=True, slots=True)
class ModelReport:
    """What the inspection of a checkpoint found.

    Attributes
    ----------
    path : str
        The file or folder that was asked about.
    facts : dict or None
        As `segstudio.session.inspection.checkpoint_facts`, None when it is no checkpoint.
    error : str or None
        Why it is none, one plain sentence.
    """

    path: str
    facts: dict[str, Any] | None
    error: str | None = None


RunEvent = ModelLoaded | RunStarted | RunNote | PredictionReady | SampleFailed | RunFinished


@dataclass(frozen=True, slots=True)
class JobState:
    """Where a long piece of work stands.

    Attributes
    ----------
    job_id, title : str
    done, total, failed : int
        Samples; bytes of a download.
    seconds_left : float or None
        None before it can be told.
    state : str
        "starting", "running", "cancelling", "done", "cancelled" or "failed".
    message : str
        One sentence, mostly empty.
    unit : str
        What is counted: "samples" of a run, "bytes", or samples that are "analysed" or "exported".
    is_run : bool
        Whether models are run, which `Session.run_again` can do again.
    """

    job_id: str
    title: str
    done: int
    total: int
    failed: int
    seconds_left: float | None
    state: str
    message: str = ""
    unit: str = "samples"
    is_run: bool = False

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in {"done", "cancelled", "failed"}
