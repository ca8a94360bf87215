"""Everything that is shown of a sample, read in a thread."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import CancelledError, SegStudioError
from segstudio.core.types import LabelMap
from segstudio.editing.live_counts import count_values
from segstudio.project.layout import LAYERS
from segstudio.session.session import Session
from segstudio.ui.controllers.shown import Shown
from segstudio.ui.controllers.unpacking import Reading

__all__ = ["read_sample"]


def read_sample(session: Session, sample_id: str, run: str, reading: Reading) -> Shown:
    """Read a sample with its ground truth and what a run says of it.

    Parameters
    ----------
    session : Session
    sample_id : str
    run : str
        Name of a run; "" for none.
    reading : Reading
        Told of a very large sample, which is unpacked; stops it.

    Raises
    ------
    CancelledError
        When it was stopped.
    SegStudioError
        When the photograph cannot be read.  What else cannot is among the result's ``problems``.
    """
    levels = session.read_levels(sample_id, reading.part("Photograph"))
    image = levels[0]
    problems: list[str] = []
    target: LabelMap | None = None
    try:
        target = session.read_target(sample_id, reading.part("Ground truth"))
    except CancelledError:
        raise
    except SegStudioError as error:
        problems.append(str(error))
    layers: dict[str, Any] = dict.fromkeys((*LAYERS, "mutual_information"))
    space = None
    if run:
        space = session.store.run(run).label_space
        try:
            layers = {name: session.read_layer(run, name, sample_id) for name in layers}
        except SegStudioError as error:
            problems.append(str(error))
    if target is not None and target.shape != image.shape[:2]:
        target = None
    if any(part is not None and part.shape != image.shape[:2] for part in layers.values()):
        problems.append(f"The results of {run} for {sample_id} are of another size; run it again.")
        layers = dict.fromkeys(layers)
    return Shown(
        sample_id,
        run,
        image,
        target,
        layers["labels"],
        layers["entropy"],
        layers["confidence"],
        layers["runner_up"],
        space,
        levels,
        tuple(problems),
        layers["mutual_information"],
        _counts(target if layers["labels"] is None else layers["labels"]),
    )


def _counts(label_map: LabelMap | None) -> NDArray[np.int64] | None:
    """Return how many pixels hold each value, None of no map."""
    if label_map is None:
        return None
    return count_values(label_map, int(np.iinfo(label_map.dtype).max))
