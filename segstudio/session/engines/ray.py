"""The engine of a Ray cluster: samples go out to workers, outcomes come back to be written here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from segstudio.core.errors import WorkerError
from segstudio.core.types import Sample
from segstudio.session.engines.base import Engine, Outcome, run_identity, wanted_precision
from segstudio.session.engines.local import parse_batch
from segstudio.session.engines.ray_cluster import Cluster, RayOptions, find_places
from segstudio.session.engines.ray_crew import Crew, first_line
from segstudio.session.engines.ray_files import find_source
from segstudio.session.engines.ray_worker import Setup

if TYPE_CHECKING:
    from segstudio.inference.model import Model
    from segstudio.session.runner import RunRequest

__all__ = ["RayEngine"]

_GPU_CHUNK = 32
"""Images that a GPU gets at a time: several batches, which overlap."""


class RayEngine(Engine):
    """Computes on the workers of a Ray cluster.

    Parameters
    ----------
    request : RunRequest
        Its options; "auto" as device takes the cluster's GPUs, or its CPUs where it has none.
    model : Model
        As it is loaded here: workers have to load the same, at the same precision.
    options : RayOptions
    counts : mapping of (int, int) to int, optional
        See `segstudio.session.engines.local.LocalEngine`.
    """

    def __init__(
        self,
        request: RunRequest,
        model: Model,
        options: RayOptions,
        counts: Mapping[tuple[int, int], int] | None = None,
    ) -> None:
        parse_batch(request.batch)
        self._options = options
        self._device = request.device
        self._batch = request.batch
        self._cluster: Cluster | None = None
        with_scores = request.save_scores is not None
        bare = replace(
            request,
            dataset=replace(request.dataset, samples=(), decoder=None),
            models=(),
            mapping=None,
            precision=self._word(model, request),
        )
        identity = run_identity(model, request.refine, request.tta)
        self._setup = Setup(
            bare, find_source(request, model), identity, with_scores, dict(counts or {})
        )

    @staticmethod
    def _word(model: Model, request: RunRequest) -> str:
        """Return the precision that makes a worker load the same, whatever is best there."""
        # Of a compiled model the word also says what serves the inputs that are not compiled for.
        return wanted_precision(request) if model.backend.compiles else model.precision

    def outcomes(
        self,
        samples: Sequence[Sample],
        *,
        early: Collection[str] = (),
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Generator[Outcome, None, None]:
        """See `Engine.outcomes`; of what is computed when it is cancelled, a second is waited for.

        Raises
        ------
        WorkerError
            When the cluster cannot be reached or is lost, when no worker can start, has other
            versions or cannot load the model, and when they die one after the other.
        """
        if self._cluster is None:
            self._cluster = Cluster()
        cluster = self._cluster
        places = find_places(cluster.ray.nodes(), self._device, self._options)
        device = "cuda" if places.gpus else "cpu"
        setup = replace(self._setup, request=replace(self._setup.request, device=device))
        most = parse_batch(self._batch) or 1
        chunk = max(_GPU_CHUNK, 2 * most) if places.gpus else 2 * places.cpus * most
        crew = Crew(cluster, setup, places, chunk, samples, early)
        try:
            yield from crew.run(cancelled)
        except cluster.ray.exceptions.RayError as error:
            raise WorkerError(
                f"The Ray cluster at {cluster.name} is lost: {first_line(error)}; finished images "
                "are kept, run again to go on."
            ) from error
        finally:
            crew.dismiss()

    def close(self) -> None:
        """See `Engine.close`; a connection to Ray that was there before stays."""
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None
