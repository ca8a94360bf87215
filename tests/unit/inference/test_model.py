"""A model predicts what its network says by the long way, at the image's own size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from segstudio.checkpoints import devices as devices_below
from segstudio.checkpoints.opening import open_checkpoint
from segstudio.core.errors import NotACheckpointError, SegStudioError, UnknownNameError, UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import Prediction
from segstudio.inference import devices
from segstudio.inference.model import Model, load_model

SaveModel = Callable[..., Path]


@pytest.fixture
def image() -> NDArray[np.uint8]:
    coarse = np.random.default_rng(3).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return np.kron(coarse, np.ones((9, 9, 1), np.uint8))[:50, :71]


def agreement(prediction: Prediction, scores: torch.Tensor) -> float:
    return float((prediction.label_map == scores.argmax(0).numpy()).mean())


def test_it_equals_preprocess_network_upsample_argmax(
    save_model: SaveModel, image: NDArray[np.uint8], space: LabelSpace
) -> None:
    path = save_model(divisor=8)
    model = load_model(path, device="cpu")
    assert model.label_space == space
    assert (str(model.device), model.precision, model.network.training) == ("cpu", "fp32", False)
    prediction = model.predict(image)
    assert prediction.label_map.shape == image.shape[:2]
    rule = model.preprocessing
    pixels = (torch.from_numpy(image).float() - torch.tensor(rule.mean)) / torch.tensor(rule.std)
    batch = F.pad(pixels.permute(2, 0, 1)[None], (0, 72 - 71, 0, 56 - 50))
    with torch.inference_mode():
        full = model.network.logits(batch)[0, :, :50, :71]
    assert agreement(prediction, full) > 0.999
    np.testing.assert_allclose(prediction.confidence, F.softmax(full, 0).amax(0).numpy(), atol=1e-4)
    again, scores = model.predict_with_scores(image)
    np.testing.assert_array_equal(again.label_map, prediction.label_map)
    np.testing.assert_allclose(scores, full.numpy(), atol=1e-4)


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"resize": "exact", "size": (32, 48)},
        {"resize": "keep-ratio", "size": (64, 32), "antialias": True},
        {"resize": "short-side-at-least", "size": (64, 64), "divisor": 16},
        {"resize": "short-side", "size": (40, 40), "window": (32, 40), "stride": (24, 24)},
        {"average": "probabilities"},
    ],
)
def test_scores_and_prediction_agree_at_the_images_size(
    save_model: SaveModel, image: NDArray[np.uint8], rule: dict[str, Any]
) -> None:
    model = load_model(save_model(**rule), device="cpu")
    prediction, array = model.predict_with_scores(image)
    scores = torch.from_numpy(array)
    if rule.get("average") == "probabilities":
        torch.testing.assert_close(scores.sum(0), torch.ones(50, 71))
        np.testing.assert_allclose(prediction.confidence, scores.amax(0), atol=1e-5)
    assert scores.shape == (4, 50, 71) and prediction.label_map.shape == (50, 71)
    assert agreement(prediction, scores) > 0.999


def test_the_published_window_is_used_unless_the_user_says_otherwise(
    save_model: SaveModel, image: NDArray[np.uint8]
) -> None:
    path = save_model(window=(32, 40), stride=(24, 30))
    slid, whole = (load_model(path, device="cpu", window=word) for word in ("auto", "none"))
    assert (slid.window, whole.window) == (((32, 40), (24, 30)), None)
    scores = slid.predict_with_scores(image)[1]
    assert not np.allclose(scores, whole.predict_with_scores(image)[1], atol=1e-3)
    # In the corner that only the first window covers, its logits are the result.
    alone = whole.predict_with_scores(image[:32, :40])[1]
    np.testing.assert_allclose(scores[:, :18, :30], alone[:, :18, :30], atol=1e-4)


def test_it_is_deterministic_and_leaves_the_random_state_alone(
    save_model: SaveModel, image: NDArray[np.uint8]
) -> None:
    path = save_model()
    before = torch.get_rng_state()
    one, two = (load_model(path, device="cpu").predict(image) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    for name in ("label_map", "entropy", "confidence", "runner_up"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2), (17, 33)])
def test_small_and_odd_images(save_model: SaveModel, size: tuple[int, int]) -> None:
    model = load_model(save_model(), device="cpu")
    assert model.predict(np.full((*size, 3), 99, np.uint8)).label_map.shape == size


def test_bf16_is_close(save_model: SaveModel, image: NDArray[np.uint8]) -> None:
    path = save_model()
    exact = load_model(path, device="cpu", precision="fp32").predict(image)
    rough = load_model(path, device="cpu", precision="bf16").predict(image)
    np.testing.assert_allclose(rough.confidence, exact.confidence, atol=0.2)
    assert not np.array_equal(rough.confidence, exact.confidence)


def test_what_the_network_will_see_of_the_images_of_a_run(save_model: SaveModel) -> None:
    path = save_model(divisor=8, window=(32, 40), stride=(24, 30))
    model = load_model(path, device="cpu", precision="fp32")
    assert not model.backend.compiles
    # 50 x 70 is padded to 56 x 72, on which 2 x 3 windows lie; 30 rows become 32, one window.
    counts = model.input_counts([(50, 70), (30, 70), (50, 70)])
    assert dict(counts) == {(32, 40): 6 + 3 + 6}
    whole = load_model(path, device="cpu", precision="fp32", window="none", tta="flip")
    assert whole.input_counts([(50, 70), (48, 64)]) == {(56, 72): 2, (48, 64): 2}


def test_an_output_for_void_becomes_the_ignore_index(
    save_model: SaveModel, image: NDArray[np.uint8]
) -> None:
    checkpoint = open_checkpoint(save_model())
    plain = Model(checkpoint, device="cpu").predict(image)
    mapped = replace(checkpoint, output_classes=(255, 0, 1, 2))
    prediction = Model(mapped, device="cpu").predict(image)
    table = np.array([255, 0, 1, 2], np.uint8)
    np.testing.assert_array_equal(prediction.label_map, table[plain.label_map])
    np.testing.assert_array_equal(prediction.runner_up, table[plain.runner_up])
    assert prediction.label_map.dtype == np.uint8 and prediction.classes == 4


def test_outputs_without_a_meaning_are_refused(save_model: SaveModel) -> None:
    checkpoint = replace(open_checkpoint(save_model()), label_space=None)
    with pytest.raises(NotACheckpointError, match=r"has 4 outputs.*label_space\.json"):
        Model(checkpoint, device="cpu")


@pytest.mark.parametrize(
    ("error", "raised", "sentence"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), SegStudioError, "does not fit into the"),
        (MemoryError(), SegStudioError, "does not fit into the memory of cpu"),
        (RuntimeError("can't allocate memory: 1 TB"), SegStudioError, "50 x 71 pixels"),
        (RuntimeError("a bug"), RuntimeError, "^a bug$"),
    ],
)
def test_running_out_of_memory_is_one_sentence(
    save_model: SaveModel,
    image: NDArray[np.uint8],
    error: Exception,
    raised: type[Exception],
    sentence: str,
) -> None:
    model = load_model(save_model(), device="cpu")

    def fail(*_: Any) -> None:
        raise error

    model.network.register_forward_pre_hook(fail)
    with pytest.raises(raised, match=sentence):
        model.predict(image)


def test_values_that_are_no_numbers_are_one_sentence(
    save_model: SaveModel, image: NDArray[np.uint8]
) -> None:
    path = save_model()
    model = load_model(path, device="cpu")
    with torch.no_grad():
        next(model.network.parameters()).fill_(float("nan"))
    with pytest.raises(SegStudioError, match="values that are no numbers") as caught:
        model.predict(image)
    assert str(path) in str(caught.value)


def test_wrong_names_devices_and_precisions(save_model: SaveModel, tmp_path: Path) -> None:
    path = save_model()
    with pytest.raises(UnknownNameError, match="no model or file"):
        load_model(tmp_path / "nothing.pt")
    with pytest.raises(UsageError, match=r"no device 'tpu'.*cpu\."):
        load_model(path, device="tpu")
    with pytest.raises(UsageError, match="not 'int4'"):
        load_model(path, device="cpu", precision="int4")
    with pytest.raises(UsageError, match="fp16 needs a GPU"):
        load_model(path, device="cpu", precision="fp16")


def test_auto_takes_the_best_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices.available_devices()[-1] == "cpu"
    monkeypatch.setattr(devices_below, "available_devices", lambda: ["cuda:0", "cuda:1", "cpu"])
    assert str(devices.choose_device("auto")) == "cuda:0"
    assert str(devices.choose_device("cuda")) == "cuda:0"
    assert str(devices.choose_device("cuda:1")) == "cuda:1"
    assert str(devices.choose_device("cpu")) == "cpu"
    assert devices.choose_precision("auto", torch.device("cuda"), exact=True) == "fp32"
    assert devices.choose_precision("fp16", torch.device("cuda")) == "fp16"
