"""A checkpoint file of somebody else gives what its authors' code gives, from file to label map.

The weights are rebuilt from manifests; ``../shared/reference/README.md`` says what the expected
arrays hold.  All of them are compared by ``pytest -m heavy``, some in every run.
"""

from __future__ import annotations

import importlib.util
import types
from pathlib import Path

import numpy as np
import pytest

from segstudio.inference.model import load_model
from segstudio.inference.preprocess import resize_image

_QUICK = (
    "hf_segformer-b0-finetuned-ade-512-512",
    "mmseg_segmenter_vit-t_mask_ade20k",
    "segm_seg-t-mask16_ade20k",
    "tv_lraspp_mobilenet_v3_large",
)
_ALL = (
    *_QUICK,
    "hf_upernet-swin-tiny",
    "mmseg_deeplabv3_r50-d8_160k_ade20k",
    "mmseg_deeplabv3plus_m-v2-d8_ade20k",
    "mmseg_deeplabv3plus_r101-d8_160k_ade20k",
    "mmseg_fcn_r50-d8_160k_ade20k",
    "mmseg_pspnet_r101-d8_160k_ade20k",
    "mmseg_segformer_mit-b0_ade20k-512",
    "mmseg_segformer_mit-b4_ade20k-512",
    "mmseg_setr_vit-l_mla_b16_ade20k",
    "mmseg_setr_vit-l_naive_ade20k",
    "mmseg_unet_fcn_s5-d16_cityscapes",
    "mmseg_upernet_swin-t_in1k_ade20k",
    "segm_seg-bdeit-linear16_ade20k",
    "tv_fcn_resnet50",
)


@pytest.fixture(scope="module")
def synthetic(shared: Path) -> types.ModuleType:
    path = shared.parent / "reference" / "synthetic.py"
    if not path.is_file():
        pytest.skip(f"there is no reference in {path.parent}")
    spec = importlib.util.spec_from_file_location("segstudio_reference_synthetic", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in _QUICK else pytest.mark.heavy) for name in _ALL],
)
def test_the_published_test_path(name: str, synthetic: types.ModuleType, tmp_path: Path) -> None:
    folder = Path(synthetic.__file__ or "").parent
    manifest = synthetic.load_manifest(folder / "manifests" / f"{name}.json")
    expected = np.load(folder / "expected" / f"{name}.npz")
    # Nothing but its content says what the file is.
    path = tmp_path / f"anything{'.safetensors' if name.startswith('hf') else '.pth'}"
    synthetic.save(manifest, path)
    model = load_model(path, device="cpu")

    resized = resize_image(expected["image"], model.preprocessing).astype(int)
    assert resized.shape == expected["resized"].shape
    off = np.abs(resized - expected["resized"])
    assert off.max() <= 1 and (off > 0).mean() < 1e-3

    prediction, scores = model.predict_with_scores(expected["image"])
    step = int(expected["final_stride"])
    difference = np.abs(scores[:, ::step, ::step] - expected["final"]).max()
    assert difference <= 1e-3 * expected["final"].std()
    assert (scores.argmax(0) == expected["labels"]).mean() >= 0.999
    assert (prediction.label_map == expected["labels"]).mean() >= 0.999
