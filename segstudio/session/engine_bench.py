"""What a run over a folder is worth on this machine: beside the plain way, in one run."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from segstudio.inference.engine_bench import Sides

__all__ = ["bench_folder"]

_IMAGE = (480, 640)


def bench_folder(name: str, images: int, *, device: str = "auto") -> Sides:
    """Measure a folder of made-up photographs, image after image and as a run.

    The second run counts: the first one compiles, which is kept on the disk.

    Raises
    ------
    SegStudioError
        When the model cannot be loaded, or the folder for temporary files not be written.
    """
    import cv2

    from segstudio.datasets.opening import open_dataset
    from segstudio.inference.engine_bench import Sides
    from segstudio.inference.model import load_model
    from segstudio.inference.plain import plain_run
    from segstudio.session.runner import RunRequest, run_models

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        generator = np.random.default_rng(0)
        (root / "images").mkdir()
        for number in range(images):
            coarse = generator.integers(0, 256, (_IMAGE[0] // 8, _IMAGE[1] // 8, 3))
            picture = cv2.resize(coarse.astype(np.uint8), _IMAGE[::-1])
            cv2.imwrite(str(root / "images" / f"{number:04}.jpg"), picture)
        dataset = open_dataset(root / "images")
        model = load_model(name, device=device, precision="fp32")
        loaded: dict[Any, Any] = {}

        def run(project: str) -> None:
            (root / project).mkdir()
            request = RunRequest(dataset, (name,), root / project, device=device)
            run_models(request, lambda event: None, models=loaded)

        (root / "plain").mkdir()
        plain_run(model, dataset.samples[0].image_path, root / "plain")
        run("first")
        started = time.perf_counter()
        for sample in dataset.samples:
            plain_run(model, sample.image_path, root / "plain")
        between = time.perf_counter()
        run("second")
        ended = time.perf_counter()
        note = next(iter(loaded.values())).backend.record().name
    return Sides(f"{images} images of 480 x 640", between - started, ended - between, note)
