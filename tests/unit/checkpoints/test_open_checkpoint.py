"""Opening checkpoints: recognised, nested in many ways, refused in one sentence."""

from __future__ import annotations

import argparse
import io
import json
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from segstudio.architectures.unet import UNet, UNetOptions
from segstudio.checkpoints.catalogue import find_entry
from segstudio.checkpoints.native import NativeCheckpoint, save_native
from segstudio.checkpoints.opening import build_network, open_checkpoint
from segstudio.core.errors import NotACheckpointError, UsageError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.core.options import options_to_json
from segstudio.core.preprocessing import Preprocessing

SMALL = UNetOptions(width=4, depth=1)


def small_weights(classes: int = 3) -> dict[str, Tensor]:
    """Return the weights of a tiny U-Net, always the same."""
    torch.manual_seed(0)
    return UNet(classes, SMALL).state_dict()


def refusal(path: Path) -> str:
    """Return the sentence with which a file is refused."""
    with pytest.raises(NotACheckpointError) as caught:
        build_network(open_checkpoint(path))
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".safetensors"])
def test_raw_state_dicts(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    weights = small_weights()
    if suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path)
    checkpoint = open_checkpoint(path)
    assert (checkpoint.architecture, checkpoint.options, checkpoint.classes) == ("unet", SMALL, 3)
    assert checkpoint.fits and checkpoint.label_space is None
    assert checkpoint.output_classes == (0, 1, 2)
    network = build_network(checkpoint)
    assert not network.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, weights[name]), name


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: {"state_dict": weights, "epoch": 3},
        lambda weights: {"model": weights, "optimizer": {}, "n_cls": 3},
        lambda weights: {"model": {"state_dict": weights}},
        lambda weights: {"module." + name: value for name, value in weights.items()},
        lambda weights: {
            "state_dict": OrderedDict(("model.module." + k, v) for k, v in weights.items())
        },
        lambda weights: {**weights, "epoch": 3, "arch": "unet"},
        lambda weights: {name: value.half() for name, value in weights.items()},
        lambda weights: {k: v for k, v in weights.items() if not k.endswith("num_batches_tracked")},
    ],
)
def test_nested_and_prefixed(
    wrap: Callable[[dict[str, Tensor]], dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "model.pth"
    torch.save(wrap(small_weights()), path)
    checkpoint = open_checkpoint(path)
    assert checkpoint.fits
    found = build_network(checkpoint).state_dict()["classify.weight"]
    torch.testing.assert_close(found, small_weights()["classify.weight"], rtol=1e-3, atol=1e-4)


def test_files_of_old_pytorch(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save({"state_dict": small_weights()}, path, _use_new_zipfile_serialization=False)
    assert open_checkpoint(path).fits


def test_native_file_keeps_everything(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    space = LabelSpace.from_json({"name": "three", "classes": ["a", "b", "c"]})
    preprocessing = Preprocessing(mean=(1.0, 2.0, 3.0))
    card = {"seed": 7}
    native = NativeCheckpoint(
        "unet", options_to_json(SMALL), space, preprocessing, small_weights(), card
    )
    save_native(path, native)
    checkpoint = open_checkpoint(path)
    assert checkpoint.source == "segstudio"
    assert (checkpoint.label_space, checkpoint.preprocessing) == (space, preprocessing)
    assert (checkpoint.options, checkpoint.card) == (SMALL, card)
    build_network(checkpoint)

    for change, said in (
        ({"architecture": "nothing"}, "no architecture 'nothing'"),
        ({"architecture": "enet", "options": {}}, "says that it is ENet, but its tensors are not"),
        ({"options": {"width": "wide"}}, "cannot be used here"),
        (
            {"label_space": load_label_space("camvid")},
            "3 outputs, but its label space camvid has 11",
        ),
    ):
        save_native(path, replace(native, **change))
        assert said in refusal(path)


@pytest.mark.parametrize(
    ("outputs", "space"),
    [
        (150, "ade20k"),
        (19, "cityscapes"),
        (21, "voc"),
        (11, "camvid"),
        (12, "camvid"),
        (59, "pascal_context"),
        (60, "pascal_context"),
        (171, "coco-stuff"),
        (5, None),
    ],
)
def test_label_space_by_number_of_outputs(outputs: int, space: str | None, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(small_weights(outputs), path)
    checkpoint = open_checkpoint(path)
    found = checkpoint.label_space
    assert (found.name if found is not None else None) == space
    assert len(checkpoint.output_classes) == outputs
    # CamVid's twelfth output is its void; with 59 outputs PASCAL Context has no background.
    void = (255,) if outputs == 12 else ()
    first = 1 if outputs == 59 else 0
    assert checkpoint.output_classes == (*range(first, first + outputs - len(void)), *void)


def test_user_may_say_what_the_outputs_mean(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(small_weights(3), path)
    space = LabelSpace.from_json({"name": "three", "classes": ["a", "b", "c"]})
    assert open_checkpoint(path, label_space=space).label_space == space
    with pytest.raises(UsageError, match="3 outputs, but the label space camvid has 11"):
        open_checkpoint(path, label_space=load_label_space("camvid"))


@pytest.mark.parametrize("name", ["label_space.json", "model.label_space.json"])
def test_a_label_space_beside_the_file_says_what_the_outputs_mean(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.pth"
    torch.save(small_weights(21), path)
    assert open_checkpoint(path).label_space == load_label_space("voc")
    classes = [f"kind {index}" for index in range(21)]
    (tmp_path / name).write_text(json.dumps({"name": "mine", "classes": classes}))
    space = open_checkpoint(path).label_space
    assert space is not None and space.names == classes
    # What the user says in the command stands above it.
    voc = load_label_space("voc")
    assert open_checkpoint(path, label_space=voc).label_space == voc
    (tmp_path / name).write_text(json.dumps({"name": "mine", "classes": classes[:4]}))
    with pytest.raises(UsageError, match="21 outputs, but the label space mine has 4"):
        open_checkpoint(path)


def segmenter_weights(classes: int) -> dict[str, Tensor]:
    """Return a tiny Segmenter in the layout of its authors, linear head, 2 x 2 patches."""
    width = 192
    block = {
        f"encoder.blocks.0.{name}": torch.zeros(shape)
        for name, shape in {
            "norm1.weight": (width,),
            "norm1.bias": (width,),
            "attn.qkv.weight": (3 * width, width),
            "attn.qkv.bias": (3 * width,),
            "attn.proj.weight": (width, width),
            "attn.proj.bias": (width,),
            "norm2.weight": (width,),
            "norm2.bias": (width,),
            "mlp.fc1.weight": (4 * width, width),
            "mlp.fc1.bias": (4 * width,),
            "mlp.fc2.weight": (width, 4 * width),
            "mlp.fc2.bias": (width,),
        }.items()
    }
    return {
        "encoder.cls_token": torch.zeros(1, 1, width),
        "encoder.pos_embed": torch.zeros(1, 5, width),
        "encoder.patch_embed.proj.weight": torch.zeros(width, 3, 16, 16),
        "encoder.patch_embed.proj.bias": torch.zeros(width),
        **block,
        "encoder.norm.weight": torch.ones(width),
        "encoder.norm.bias": torch.zeros(width),
        "decoder.head.weight": torch.zeros(classes, width),
        "decoder.head.bias": torch.zeros(classes),
    }


def test_folder_of_rstrudel(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth"
    torch.save({"model": segmenter_weights(19), "optimizer": {}, "epoch": 3}, path)
    alone = open_checkpoint(path)
    assert alone.fits and alone.source == "segmenter"
    assert alone.preprocessing.mean == (127.5,) * 3
    variant = tmp_path / "variant.yml"
    variant.write_text(
        "dataset_kwargs:\n  dataset: cityscapes\n  normalization: deit\n"
        "inference_kwargs:\n  window_size: 768\n  window_stride: 512\n"
    )
    # The file's own name is so general that what lies beside it belongs to it.
    told = open_checkpoint(path)
    assert told.preprocessing.mean == (123.68, 116.28, 103.53)
    assert told.preprocessing.window == alone.preprocessing.window
    assert told.label_space == load_label_space("cityscapes")
    for text in ("{", "a: &a [*a", "!!python/object/apply:os.system [exit]"):
        variant.write_text(text)
        with pytest.raises(NotACheckpointError, match=r"variant\.yml beside the checkpoint"):
            open_checkpoint(path)


def test_the_published_name_of_a_file_says_how_it_was_tested(tmp_path: Path) -> None:
    """SegFormer-B5 was published for two sizes with the same tensors."""
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    entry = find_entry("tv_lraspp_mobilenet_v3_large")
    path = tmp_path / entry.weights[0].name
    torch.save(lraspp_mobilenet_v3_large(weights=None, weights_backbone=None).state_dict(), path)
    opened = open_checkpoint(path)
    assert opened.published == entry
    assert opened.preprocessing == entry.preprocessing
    assert open_checkpoint(path.rename(tmp_path / "renamed.pth")).published is None
    # A name alone is no proof of what is in the file.
    torch.save(small_weights(21), path)
    assert open_checkpoint(path).published is None


def test_class_names_of_mmsegmentation(tmp_path: Path) -> None:
    path = tmp_path / "roads.pth"
    meta: dict[str, Any] = {
        "CLASSES": ("road", "grass", "sky"),
        "PALETTE": [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
        "mmseg_version": "0.14.0",
        "epoch": 3,
        "seed": np.int64(4),
    }
    torch.save({"meta": meta, "state_dict": small_weights()}, path)
    checkpoint = open_checkpoint(path)
    space = checkpoint.label_space
    assert space is not None
    assert (space.name, space.names) == ("roads", ["road", "grass", "sky"])
    assert space.colors == [(1, 2, 3), (4, 5, 6), (7, 8, 9)]
    assert checkpoint.card["mmseg_version"] == "0.14.0"

    # Its later versions keep them elsewhere, colours perhaps as an array.
    inner = {"classes": ["road", "grass", "sky"], "palette": np.array(meta["PALETTE"])}
    torch.save({"meta": {"dataset_meta": inner}, "state_dict": small_weights()}, path)
    again = open_checkpoint(path).label_space
    assert again is not None and again.colors == space.colors


def test_known_class_names_give_the_known_label_space(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    names = load_label_space("cityscapes").names
    torch.save({"meta": {"CLASSES": names}, "state_dict": small_weights(19)}, path)
    space = open_checkpoint(path).label_space
    assert space == load_label_space("cityscapes")
    torch.save({"meta": {"CLASSES": names[::-1]}, "state_dict": small_weights(19)}, path)
    space = open_checkpoint(path).label_space
    assert space is not None and (space.name, space.names) == ("model", names[::-1])


def test_folder_of_hugging_face(tmp_path: Path) -> None:
    save_file(small_weights(), tmp_path / "model.safetensors")
    torch.save({"broken": 1}, tmp_path / "pytorch_model.bin")
    torch.save({}, tmp_path / "optimizer.pt")
    config = {"id2label": {"0": "road", "1": "grass", "2": "sky"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    processor = {
        "do_resize": True,
        "size": {"height": 64, "width": 96},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.25, 0.25, 0.25],
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.path == tmp_path / "model.safetensors"
    assert checkpoint.label_space is not None
    assert checkpoint.label_space.names == ["road", "grass", "sky"]
    preprocessing = checkpoint.preprocessing
    assert (preprocessing.resize, preprocessing.size) == ("exact", (64, 96))
    assert preprocessing.antialias
    assert preprocessing.mean == (127.5,) * 3 and preprocessing.std == (63.75,) * 3

    (tmp_path / "config.json").write_text("{")
    with pytest.raises(NotACheckpointError, match=r"config\.json beside the checkpoint"):
        open_checkpoint(tmp_path)


def test_folders_that_do_not_say_which(tmp_path: Path) -> None:
    assert "holds no checkpoint" in refusal(tmp_path)
    torch.save(small_weights(), tmp_path / "a.pth")
    assert open_checkpoint(tmp_path).path == tmp_path / "a.pth"
    torch.save(small_weights(), tmp_path / "b.pth")
    assert "holds 2 checkpoints (a.pth, b.pth)" in refusal(tmp_path)
    assert "does not exist" in refusal(tmp_path / "c.pth")


class Bomb:
    """Something whose unpickling would leave a trace."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_pickles_are_never_executed(zipped: bool, nested: bool, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    path = tmp_path / "model.pth"
    bomb = Bomb(marker)
    content = {"state_dict": small_weights(), "meta": {"x": bomb}} if nested else bomb
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    sentence = refusal(path)
    assert not marker.exists()
    assert "could run code" in sentence
    # The bomb is a real one: an unrestricted reader sets it off.
    torch.load(path, weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_logs_of_mmengine_are_left_out(
    zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its buffers name their own methods; none of that code is needed, and none may run."""
    parts = ["mmengine", "mmengine.logging", "mmengine.logging.history_buffer"]
    for name in parts:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    log = sys.modules[parts[-1]]
    exec(_HISTORY_BUFFER, vars(log))  # the class has to live in that module to be pickled
    monkeypatch.setattr(sys.modules[parts[0]], "logging", sys.modules[parts[1]], raising=False)
    content = {
        "meta": {"mmengine_version": "0.10.1"},
        "state_dict": small_weights(),
        "message_hub": {"log_scalars": {"train/loss": log.HistoryBuffer()}, "path": Path("a/b")},
        "args": argparse.Namespace(lr=0.1),
    }
    path = tmp_path / "iter_160000.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    for name in parts:
        monkeypatch.delitem(sys.modules, name)
    opened = open_checkpoint(path)
    assert opened.fits and opened.architecture == "unet"


_HISTORY_BUFFER = """
class HistoryBuffer:
    def __init__(self):
        self.methods = {"mean": HistoryBuffer.mean}
    def mean(self):
        raise RuntimeError("code of the file ran")
    def __getstate__(self):
        return self.__dict__
    def __setstate__(self, state):
        raise RuntimeError("code of the file ran")
"""


class _Method:
    """Is unpickled as a method that is looked up by its name."""

    def __call__(self, *_: Any) -> None:
        """Be something that can be called, or it would not be pickled."""

    def __reduce__(self) -> Any:
        return getattr, (OrderedDict, "fromkeys")


class _Call:
    def __reduce__(self) -> Any:
        return _Method(), ("ab",)


def test_a_method_that_a_file_looks_up_is_not_called(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save({"state_dict": small_weights(), "meta": _Call()}, path)
    refusal(path)
    # An unrestricted reader calls it.
    assert torch.load(path, weights_only=False)["meta"] == {"a": None, "b": None}


def test_whole_pickled_networks_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(UNet(3, SMALL), path)
    sentence = refusal(path)
    assert "segstudio.architectures.unet.UNet" in sentence
    assert "state_dict" in sentence


def _zip(content: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.pth", b"", "an empty file"),
        ("a.safetensors", b"", "an empty file"),
        ("a.pth", b"weights of my net, nearly\n" * 9, "a text file"),
        ("a.pth", "Gewichte für später\n".encode() * 99, "a text file"),
        ("a.pth", b"<!DOCTYPE html><html>404</html>", "a web page"),
        ("a.bin", b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "a Git LFS pointer"),
        ("a.pth", b"\x89PNG\r\n\x1a\n" + bytes(99), "an image"),
        ("a.pth", bytes(range(256)) * 4, "neither a safetensors nor a PyTorch file"),
        ("a.pth", pickle.dumps({"a": 1}), "a Python pickle that PyTorch did not write"),
        ("a.pth", _zip({"a.txt": b"x"}), "it is a zip archive"),
        ("a.pth", _zip({"a/data.pkl": b"x", "a/constants.pkl": b""}), "a TorchScript program"),
        ("a.pth", _zip({"a/data.pkl": bytes(10**6)}, zipfile.ZIP_DEFLATED), "more than it holds"),
        ("a.pth", _zip({"a/data.pkl": b"garbage", "a/version": b"3"}), "is damaged"),
        ("a.pth", _zip({"a/data.pkl": b"x" * 999})[:700], "its end is missing"),
        ("a.safetensors", struct.pack("<Q", 2**60) + b"{" + bytes(99), "a damaged safetensors"),
        ("a.safetensors", struct.pack("<Q", 90_000_000) + b'{"a', "not a readable safetensors"),
        ("a.safetensors", struct.pack("<Q", 4) + b"{}}}", "not a readable safetensors"),
    ],
)
def test_files_that_are_something_else(name: str, data: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert said in refusal(path)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("part", [0.3, 0.7, 0.99])
def test_truncated_files(zipped: bool, part: float, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(small_weights(), path, _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    assert "is damaged" in refusal(path)
    save_file(small_weights(), tmp_path / "model.safetensors")
    path = tmp_path / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    assert "not a readable safetensors" in refusal(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"a": 1, "b": "c"}, "no weights, only a, b"),
        ({}, "nothing"),
        ([1, 2], "a list, not weights by name"),
        (torch.zeros(3), "a single tensor"),
        ({"fc.weight": torch.zeros(3, 3)}, "1 tensors (fc.weight, ...) that no known"),
        ({"state_dict": {"epoch": 3}}, "no weights, only epoch"),
    ],
)
def test_sound_files_of_something_else(content: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(content, path)
    assert said in refusal(path)


def test_tensors_that_claim_to_be_huge(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(small_weights() | {"classify.bias": torch.zeros(1).expand(10**12)}, path)
    assert "tensor classify.bias is not stored as plain numbers" in refusal(path)
    torch.save(small_weights() | {"classify.bias": torch.zeros(9).to_sparse()}, path)
    assert "tensor classify.bias is not stored as plain numbers" in refusal(path)


def test_partly_fitting_files_say_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    weights = small_weights()
    lacking = {key: value for key, value in weights.items() if key != "decoder.0.convs.3.weight"}
    torch.save(lacking, path)
    assert open_checkpoint(path).missing == ("decoder.0.convs.3.weight",)
    assert "lacks the tensor decoder.0.convs.3.weight" in refusal(path)

    torch.save(weights | {"extra.weight": torch.zeros(2), "extra.bias": torch.zeros(2)}, path)
    assert open_checkpoint(path).unexpected == ("extra.weight", "extra.bias")
    assert "also holds the tensor extra.weight and 1 more" in refusal(path)

    torch.save(weights | {"encoder.1.3.weight": torch.zeros(8, 9, 3, 3)}, path)
    assert "The tensor encoder.1.3.weight" in refusal(path)
    assert "is 8 x 9 x 3 x 3, but U-Net needs 8 x 8 x 3 x 3" in refusal(path)


def test_auxiliary_heads_are_known_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(small_weights() | {"auxiliary_head.conv_seg.weight": torch.zeros(2)}, path)
    checkpoint = open_checkpoint(path)
    assert checkpoint.fits
    assert checkpoint.unused == ("auxiliary_head.conv_seg.weight",)
    build_network(checkpoint)


def test_weights_that_are_no_numbers_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    weights = small_weights()
    torch.save(weights, path)
    assert open_checkpoint(path).notes == ()
    weights["classify.bias"][0] = float("nan")
    weights["encoder.0.0.weight"][0, 0, 0, 0] = float("inf")
    torch.save(weights, path)
    (note,) = open_checkpoint(path).notes
    assert note.startswith("2 of ")
    assert "encoder.0.0.weight first" in note


def test_building_leaves_the_random_state_alone(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(small_weights(), path)
    checkpoint = open_checkpoint(path)
    before = torch.get_rng_state()
    build_network(checkpoint)
    assert torch.equal(torch.get_rng_state(), before)


def test_published_enet_is_opened_whole() -> None:
    shared = Path(__file__).resolve().parents[4] / "shared"
    path = shared / "data" / "weights" / "enet_camvid_pytorch-enet.pth"
    if not path.is_file():
        pytest.skip("the reference data (../shared) is not at hand")
    checkpoint = open_checkpoint(path)
    assert (checkpoint.architecture, checkpoint.source) == ("enet", "pytorch-enet")
    assert (checkpoint.missing, checkpoint.unexpected) == ((), ())
    assert checkpoint.label_space == load_label_space("camvid")
    assert checkpoint.output_classes == (*range(11), 255)
    assert checkpoint.preprocessing.std == (255.0, 255.0, 255.0)
    assert build_network(checkpoint).parameter_count() == 359_780
