"""When memory does not suffice: tiles, then smaller ones, then one sentence about one image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from segstudio.core.errors import SegStudioError
from segstudio.core.types import Prediction
from segstudio.inference import engine as engine_module
from segstudio.inference import passes as passes_module
from segstudio.inference import planning
from segstudio.inference.memory import PassMemory
from segstudio.inference.model import Model, load_model
from segstudio.inference.planning import Planner
from segstudio.inference.windows import Plan

SaveModel = Callable[..., Path]
CPU = torch.device("cpu")


def picture(height: int, width: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(height).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
    return np.kron(coarse, np.ones((8, 8, 1))).astype(np.uint8)[:height, :width]


def out_of_memory_above(model: Model, pixels: int, calls: list[tuple[int, int, int]]) -> None:
    """Make a model's network fail for inputs of more pixels."""
    forward = model._forward

    def limited(batch: Tensor) -> Tensor:
        count, _, height, width = batch.shape
        calls.append((count, height, width))
        if count * height * width > pixels:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 PiB.")
        return forward(batch)

    model._forward = limited  # type: ignore[method-assign]


def test_what_does_not_fit_is_done_in_tiles_and_said_so(save_model: SaveModel) -> None:
    model = load_model(save_model(), device="cpu")
    image = picture(700, 900)
    said: list[str] = []
    model.report = said.append
    calls: list[tuple[int, int, int]] = []
    out_of_memory_above(model, 300 * 300, calls)
    prediction = model.predict(image)
    assert prediction.label_map.shape == (700, 900)
    # Whole, then tiles of 768 and 512, then 256, which fit.
    assert [call[1:] for call in calls[:3]] == [(700, 900), (700, 768), (512, 512)]
    assert set(calls[3:]) <= {(1, h, w) for h in (256, 124) for w in (256, 132)} | {
        (1, h, w) for h in (256, 124, 188) for w in (256, 132, 36, 324)
    }
    assert [sentence.split("tiles of ")[1].split(":")[0] for sentence in said] == [
        "768 x 768",
        "512 x 512",
        "256 x 256",
    ]
    # The model stays usable.
    calls.clear()
    assert model.predict(picture(100, 100)).label_map.shape == (100, 100)
    assert calls == [(1, 100, 100)]


def test_memory_that_runs_out_on_the_way_loses_and_repeats_no_row(save_model: SaveModel) -> None:
    path = save_model(window=(512, 512), stride=(512, 512))
    model = load_model(path, device="cpu")
    image = picture(1100, 300)
    calls: list[tuple[int, int, int]] = []
    forward = model._forward

    def fails_once(batch: Tensor) -> Tensor:
        calls.append(tuple(batch.shape))  # type: ignore[arg-type]
        if len(calls) == 2:
            raise MemoryError
        return forward(batch)

    model._forward = fails_once  # type: ignore[method-assign]
    bands = list(model.predict_rows(image))
    assert [band.top for band in bands] == [0, *(band.bottom for band in bands[:-1])]
    assert bands[0].bottom == 512 and bands[-1].bottom == 1100
    untroubled = load_model(path, device="cpu").predict(image)
    np.testing.assert_array_equal(bands[0].prediction.label_map, untroubled.label_map[:512])


def test_without_tiles_and_below_the_smallest_it_fails_loudly(save_model: SaveModel) -> None:
    for window, pixels in (("none", 300 * 300), ("auto", 100)):
        model = load_model(save_model(), device="cpu", window=window)
        calls: list[tuple[int, int, int]] = []
        out_of_memory_above(model, pixels, calls)
        with pytest.raises(SegStudioError, match="700 x 900 pixels does not fit into the memory"):
            model.predict(picture(700, 900))
        assert calls[0] == (1, 700, 900) and len(calls) == (1 if window == "none" else 4)
        model.predict(picture(9, 9))


def test_tiles_are_chosen_before_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def pool(batch: Tensor) -> Tensor:
        return F.avg_pool2d(batch, 4)

    planner = Planner(pool, CPU, None, tiles=True)
    monkeypatch.setattr(planner, "_pass", PassMemory(linear=1000.0, quadratic=0.0, output=1.0))
    free = 8_000_000_000
    monkeypatch.setattr(planning, "free_memory", lambda _: free)
    assert planner.plan((1000, 1000)) == Plan()
    assert planner.plan((2000, 2000)) == Plan()  # 5.2 of 6.4 GB
    assert planner.plan((2500, 2500)) == Plan(tile=2048)
    assert planner.plan((20000, 20000)) == Plan(tile=2048)
    free = 3_000_000_000
    assert planner.plan((20000, 20000)) == Plan(tile=1024)
    free = 1000
    assert planner.plan((20000, 20000)) == Plan(tile=256)
    assert planner.plan((1400, 1400)) == Plan()  # small enough to be tried
    assert Planner(pool, CPU, None, tiles=False).plan((20000, 20000)) == Plan()
    window = ((512, 512), (341, 341))
    assert Planner(pool, CPU, window, tiles=True).plan((20000, 20000)) == Plan(window=window)


def test_what_is_too_large_to_resize_at_once_is_resized_by_rows(
    save_model: SaveModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = {"resize": "keep-ratio", "size": (160, 120), "antialias": True}
    model = load_model(save_model(**rule), device="cpu")
    image = picture(400, 500)
    _, whole = model.predict_with_scores(image)
    monkeypatch.setattr(passes_module, "_WHOLE_PIXELS", 1)
    _, by_rows = model.predict_with_scores(image)
    np.testing.assert_allclose(by_rows, whole, atol=1e-5)


def test_scores_that_do_not_fit_are_refused(
    save_model: SaveModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(save_model(), device="cpu", refine="dense-crf")
    monkeypatch.setattr("segstudio.inference.model.free_memory", lambda _: 4 * 4 * 50 * 50)
    with pytest.raises(SegStudioError, match=r"50 x 50 pixels take 0\.0 GB.*without refiner"):
        model.predict(picture(50, 50))
    plain = load_model(save_model(), device="cpu")
    assert isinstance(plain.predict_with_scores(picture(50, 50))[0], Prediction)
    with pytest.raises(SegStudioError, match="without saving scores"):
        plain.predict_with_scores(picture(51, 50))


def test_only_what_is_about_memory_is_taken_for_it() -> None:
    assert engine_module.is_out_of_memory(torch.OutOfMemoryError("x"))
    assert engine_module.is_out_of_memory(RuntimeError("can't allocate memory: 1 TB"))
    assert engine_module.is_out_of_memory(
        np._core._exceptions._ArrayMemoryError((1,), np.dtype("u1"))
    )
    assert not engine_module.is_out_of_memory(RuntimeError("a bug"))
    assert not engine_module.is_out_of_memory(ValueError("memory"))
