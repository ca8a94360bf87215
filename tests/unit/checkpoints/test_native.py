"""SegStudio's own checkpoint files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from segstudio.architectures.unet import UNet, UNetOptions
from segstudio.checkpoints.native import NativeCheckpoint, load_native, save_native, state_dict_of
from segstudio.core.errors import NotACheckpointError
from segstudio.core.label_space import load_label_space
from segstudio.core.options import options_to_json
from segstudio.core.preprocessing import Preprocessing


@pytest.fixture
def checkpoint() -> NativeCheckpoint:
    options = UNetOptions(width=4, depth=1)
    return NativeCheckpoint(
        architecture="unet",
        options=options_to_json(options),
        label_space=load_label_space("camvid"),
        preprocessing=Preprocessing(resize="exact", size=(32, 48), antialias=True),
        state_dict=state_dict_of(UNet(11, options)),
        card={"measured_miou": 0.5},
    )


def test_what_is_saved_is_loaded(checkpoint: NativeCheckpoint, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_native(path, checkpoint)
    loaded = load_native(path)
    assert loaded is not None
    assert replace(loaded, state_dict={}) == replace(checkpoint, state_dict={})
    assert loaded.state_dict.keys() == checkpoint.state_dict.keys()
    for name, value in checkpoint.state_dict.items():
        assert torch.equal(loaded.state_dict[name], value), name
    assert not any(name.endswith("num_batches_tracked") for name in loaded.state_dict)


def test_half_precision_comes_back_as_single(checkpoint: NativeCheckpoint, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    halves = {name: value.half() for name, value in checkpoint.state_dict.items()}
    save_native(path, replace(checkpoint, state_dict=halves))
    loaded = load_native(path)
    assert loaded is not None
    assert {value.dtype for value in loaded.state_dict.values()} == {torch.float32}


def test_somebody_elses_file_is_none(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(2)}, path, metadata={"format": "pt"})
    assert load_native(path) is None


def _description(**changes: object) -> dict[str, str]:
    description: dict[str, object] = {
        "version": 1,
        "architecture": "unet",
        "options": {},
        "label_space": load_label_space("camvid").to_json(),
        "preprocessing": {},
        "card": {},
    }
    return {"segstudio": json.dumps(description | changes)}


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"segstudio": "{"}, "damaged description"),
        ({"segstudio": "[]"}, "damaged description"),
        (_description(version=99), "newer SegStudio"),
        (_description(label_space={"classes": 3}), "is not a label space"),
        (_description(options=3), "damaged description"),
    ],
)
def test_bad_descriptions_are_one_sentence(
    metadata: dict[str, str], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(2)}, path, metadata=metadata)
    with pytest.raises(NotACheckpointError, match=said) as caught:
        load_native(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
