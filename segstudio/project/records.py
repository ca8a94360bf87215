"""Rows of a project's store, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from segstudio.core.label_space import LabelSpace
from segstudio.project.signature import FileSignature

__all__ = ["ErrorRecord", "ResultRecord", "RunRecord"]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One model over one dataset with one set of options.

    Attributes
    ----------
    run, model : str
        Name of the run; name or path of the model.
    identity : str
        JSON of everything that decides the results; equal identities are the same run.
    label_space : LabelSpace
        What the label maps mean.
    options : dict
        The options, for a person to read.
    created : float
        Seconds since the epoch.
    """

    run: str
    model: str
    identity: str
    label_space: LabelSpace
    options: dict[str, Any]
    created: float

    @property
    def has_uncertainty(self) -> bool:
        """Whether it keeps entropy and confidence; predictions of other programs have none."""
        return not self.options.get("imported", False)


@dataclass(frozen=True, slots=True)
class ResultRecord:
    """What became of one sample in a run.

    Attributes
    ----------
    sample_id : str
    error : str or None
        None when its prediction is stored.
    seconds : float or None
        From image to files, None when it failed.
    signature : FileSignature or None
        The image file it was made of (of an imported run: the prediction's file), None when it
        failed or an older version entered it.
    finished : float
        When it was entered, seconds since the epoch.
    """

    sample_id: str
    error: str | None
    seconds: float | None
    signature: FileSignature | None = None
    finished: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """The stored error analysis of one sample of a run.

    Attributes
    ----------
    sample_id : str
    target : str
        Key of the ground truth that it was made against.
    errors, regions : bytes
        Serialised error counts and error regions.
    finished : float
        `ResultRecord.finished` of the prediction that was analysed.
    """

    sample_id: str
    target: str
    errors: bytes
    regions: bytes
    finished: float
