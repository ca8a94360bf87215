"""The plugin that runs exported networks: exact, and careful with files and cards."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segstudio.architectures.unet import UNet, UNetOptions
from segstudio.checkpoints.native import NativeCheckpoint, save_native, state_dict_of
from segstudio.checkpoints.opening import open_checkpoint
from segstudio.core.errors import NotACheckpointError, SegStudioError
from segstudio.core.label_space import load_label_space
from segstudio.core.options import options_to_json
from segstudio.core.preprocessing import Preprocessing
from segstudio.core.resources import bundled_plugins
from segstudio.inference.model import Model, load_model
from segstudio.session.plugins import load_plugins

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
onnx = pytest.importorskip("onnx", reason="onnx is not installed")

ROOT = Path(__file__).parents[2]
WEIGHT = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, -1, -1]], np.float32)
"""Outputs of the hand-made networks: red, green, blue, and the darkness."""
COLORS = ["red", "green", "blue", "dark"]
CARD = """
title = "Colours"
classes = ["red", "green", "blue", "dark"]
[input]
pixel_max = 1
mean = [0.25, 0.25, 0.25]
std = [0.5, 0.5, 0.5]
"""


@pytest.fixture(autouse=True)
def _plugin() -> None:
    folder = bundled_plugins()
    assert folder is not None
    found = {info.name: info for info in load_plugins(folders=[folder], reload=True)}
    assert found["onnx_runner"].error is None
    assert found["onnx_runner"].registered == ("checkpoint reader onnx",)


def scores(model: Model, image: np.ndarray) -> np.ndarray:
    """Return the (C, H, W) values that the argmax is taken of."""
    return model.predict_with_scores(image)[1]


# -- a network exported here -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A U-Net with random weights, once as our checkpoint and once exported with a card."""
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    folder = tmp_path_factory.mktemp("exported")
    torch.manual_seed(0)
    options = UNetOptions(width=8, depth=2)
    network = UNet(11, options)
    with torch.no_grad():  # running means and variances that are not 0 and 1
        network(torch.randn(2, 3, 32, 32))
    network.eval()
    native = folder / "unet.safetensors"
    preprocessing = Preprocessing(divisor=4)
    space = load_label_space("camvid")
    weights = state_dict_of(network)
    save_native(
        native, NativeCheckpoint("unet", options_to_json(options), space, preprocessing, weights)
    )
    path = folder / "unet.onnx"
    height, width = (torch.export.Dim(name, min=16) for name in ("height", "width"))
    torch.onnx.export(
        network,
        (torch.randn(1, 3, 64, 96),),
        path,
        dynamo=True,
        external_data=False,
        verbose=False,
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes=({2: 4 * height, 3: 4 * width},),
    )
    path.with_suffix(".toml").write_text(
        """
        title = "U-Net, exported"
        label_space = "camvid"
        [input]
        pixel_max = 255
        mean = [123.675, 116.28, 103.53]
        std = [58.395, 57.12, 57.375]
        divisor = 4
        [facts]
        licence = "ours"
        """
    )
    return native, path


def test_an_exported_network_computes_what_the_network_does(exported: tuple[Path, Path]) -> None:
    native, path = exported
    ours, theirs = (load_model(entry, device="cpu") for entry in (native, path))
    assert theirs.preprocessing == ours.preprocessing
    image = np.random.default_rng(0).integers(0, 256, (93, 134, 3), np.uint8)
    wanted, found = scores(ours, image), scores(theirs, image)
    assert found.shape == (11, 93, 134) and np.abs(wanted).max() > 0.01
    assert np.abs(found - wanted).max() <= 1e-4
    assert (theirs.predict(image).label_map == ours.predict(image).label_map).mean() > 0.999


def test_segstudio_run_and_inspect(
    exported: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import cv2

    from segstudio.cli.app import main

    native, path = exported
    folder = tmp_path / "images"
    folder.mkdir()
    generator = np.random.default_rng(1)
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / name), generator.integers(0, 256, (40, 56, 3), np.uint8))
    assert main(["run", str(folder), "-m", str(path), "-m", str(native), "--device", "cpu"]) == 0
    runs = sorted((folder / ".segstudio" / "runs").iterdir())
    maps = [cv2.imread(str(run / "labels" / "a.png.png"), cv2.IMREAD_UNCHANGED) for run in runs]
    assert len(maps) == 2 and maps[0].shape == (40, 56)
    assert (maps[0] == maps[1]).mean() > 0.999
    capsys.readouterr()
    assert main(["inspect", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["source"], facts["architecture"], facts["classes"]) == ("onnx", "onnx", 11)
    assert facts["label_space"] == "camvid" and facts["preprocessing"]["divisor"] == 4
    assert facts["card"] == {"title": "U-Net, exported", "licence": "ours"}


# -- networks made by hand -------------------------------------------------------------------------

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a network of one 1 x 1 convolution to four colours, and its card."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper

    def write(
        kind: str = "logits",
        *,
        size: tuple[Any, Any] = ("h", "w"),
        batch: Any = "n",
        layout: str = "NCHW",
        type: int = onnx.TensorProto.FLOAT,
        card: str | None = CARD,
        stride: int = 1,
    ) -> Path:
        first, last = layout == "NCHW", layout == "NHWC"
        shape = [batch, 3, *size] if first else [batch, *size, 3]
        nodes, data = [], "image"

        def add(operator: str, *inputs: str, **attributes: Any) -> None:
            nonlocal data
            result = f"{operator}{len(nodes)}"
            nodes.append(helper.make_node(operator, [data, *inputs], [result], **attributes))
            data = result

        if type != onnx.TensorProto.FLOAT:
            add("Cast", to=onnx.TensorProto.FLOAT)
        if last:
            add("Transpose", perm=[0, 3, 1, 2])
        add("Conv", "weight", strides=[stride, stride])
        if kind == "probabilities":
            add("Softmax", axis=1)
        if kind == "labels":
            add("ArgMax", axis=1, keepdims=0)
        elif last:
            add("Transpose", perm=[0, 2, 3, 1])
        labels = kind == "labels"
        ends = [size_ if stride == 1 else None for size_ in size]
        outputs = [batch, *ends] if labels else [batch, *([4, *ends] if first else [*ends, 4])]
        result_type = onnx.TensorProto.INT64 if labels else onnx.TensorProto.FLOAT
        graph = helper.make_graph(
            nodes,
            "colours",
            [helper.make_tensor_value_info("image", type, shape)],
            [helper.make_tensor_value_info(data, result_type, outputs)],
            [numpy_helper.from_array(WEIGHT.reshape(4, 3, 1, 1), "weight")],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
        )
        path = tmp_path / "colours.onnx"
        path.write_bytes(model.SerializeToString())
        if card is not None:
            path.with_suffix(".toml").write_text(card)
        return path

    return write


def painting(height: int = 6, width: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Return an image of the four colours and the map of them."""
    labels = np.random.default_rng(3).integers(0, 4, (height, width)).astype(np.uint8)
    table = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0]], np.uint8)
    return table[labels], labels


def wanted_logits(image: np.ndarray) -> np.ndarray:
    pixels = (image / 255 - 0.25) / 0.5
    return np.einsum("ck,hwk->chw", WEIGHT, pixels)


def table(text: str) -> str:
    """Return the card with an [output] table."""
    return f"{CARD}\n[output]\n{text}"


@pytest.mark.parametrize("batch", ["n", 1])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_logits_and_normalisation_are_those_of_the_card(
    make: Make, layout: str, batch: Any
) -> None:
    card = CARD + f'layout = "{layout}"\n[output]\nlayout = "{layout}"\n'
    model = load_model(make(layout=layout, batch=batch, card=card), device="cpu")
    assert model.label_space.names == COLORS and model.label_space.title == "Colours"
    image, labels = painting()
    assert np.allclose(scores(model, image), wanted_logits(image), atol=1e-5)
    assert np.array_equal(model.predict(image).label_map, labels)
    two = torch.zeros(2, 3, 5, 4)
    two[1] = 1
    logits = model.network(two)
    assert logits.shape == (2, 4, 5, 4)
    assert torch.equal(logits[1, :, 0, 0], torch.tensor([1.0, 1.0, 1.0, -3.0]))


def test_the_order_of_the_channels_is_that_of_the_card(make: Make) -> None:
    path = make(card=CARD + 'channel_order = "bgr"')
    image, labels = painting()
    swapped = np.array([2, 1, 0, 3])[labels]
    assert np.array_equal(load_model(path, device="cpu").predict(image).label_map, swapped)


def test_probabilities_come_back_as_they_were(make: Make) -> None:
    path = make("probabilities", card=table('kind = "probabilities"'))
    image, _ = painting()
    found = scores(load_model(path, device="cpu"), image)
    raised = np.exp(wanted_logits(image))
    assert np.allclose(np.exp(found), raised / raised.sum(0), atol=1e-5)
    confidence = load_model(path, device="cpu").predict(image).confidence
    assert np.allclose(confidence, (raised / raised.sum(0)).max(0), atol=1e-4)


def test_logits_that_are_called_probabilities_are_refused(make: Make) -> None:
    model = load_model(make(card=table('kind = "probabilities"')), device="cpu")
    with pytest.raises(SegStudioError, match=r"not within 0\.\.1, so output.kind may be logits"):
        model.predict(painting()[0])


def test_label_maps_become_sure_predictions(make: Make) -> None:
    path = make("labels", card=table('kind = "labels"'))
    image, labels = painting()
    prediction = load_model(path, device="cpu").predict(image)
    assert np.array_equal(prediction.label_map, labels)
    assert prediction.confidence.min() > 0.9999 and prediction.entropy.max() < 1e-3


def test_labels_beyond_the_classes_are_refused(make: Make) -> None:
    card = CARD.replace(', "dark"', "") + '[output]\nkind = "labels"'
    model = load_model(make("labels", card=card), device="cpu")
    with pytest.raises(SegStudioError, match=r"values up to 3, which are no labels of 3 classes"):
        model.predict(painting()[0])


def test_a_network_of_one_size_gets_that_size(make: Make) -> None:
    model = load_model(make(size=(12, 16), batch=1), device="cpu")
    assert (model.preprocessing.resize, model.preprocessing.size) == ("exact", (12, 16))
    image, _ = painting(24, 32)
    assert scores(model, image).shape == (4, 24, 32)
    assert model.network(torch.zeros(2, 3, 7, 3)).shape == (2, 4, 12, 16)


def test_images_as_bytes(make: Make) -> None:
    card = CARD.replace("0.25", "0").replace("0.5", "1").replace("pixel_max = 1", "pixel_max = 255")
    model = load_model(make(type=onnx.TensorProto.UINT8, card=card), device="cpu")
    image, labels = painting()
    image[labels == 3] = labels[labels == 3] = 0
    image[labels == 0] = (255, 0, 0)  # with a mean of 0, black is nothing
    assert np.array_equal(model.predict(image).label_map, labels)
    assert scores(model, image).max() == 255


def test_coarse_logits_are_brought_to_the_image(make: Make) -> None:
    model = load_model(make(stride=2, card=CARD + "divisor = 4"), device="cpu")
    image = np.zeros((9, 13, 3), np.uint8)
    image[:, :, 1] = 255
    assert model.network(torch.zeros(1, 3, 8, 8)).shape == (1, 4, 4, 4)
    found = scores(model, image)
    assert found.shape == (4, 9, 13) and (found.argmax(0) == 1).all()


def test_a_label_space_file_beside_the_card(make: Make, tmp_path: Path) -> None:
    document = {"name": "paint", "classes": [{"name": name} for name in COLORS]}
    (tmp_path / "paint.json").write_text(json.dumps(document))
    card = "\n".join(line for line in CARD.splitlines() if not line.startswith("classes"))
    checkpoint = open_checkpoint(make(card='label_space = "paint.json"\n' + card))
    assert checkpoint.label_space is not None and checkpoint.label_space.name == "paint"


def test_resize_window_and_upsampling_of_the_card(make: Make) -> None:
    card = CARD + (
        'resize = "keep-ratio"\nsize = [64, 32]\nantialias = true\nwindow = [8, 12]\n'
        "stride = [4, 6]\n[output]\nalign_corners = true\nupsample_to_input = false"
    )
    found = open_checkpoint(make(card=card)).preprocessing
    assert (found.resize, found.size, found.antialias) == ("keep-ratio", (64, 32), True)
    assert (found.window, found.stride) == ((8, 12), (4, 6))
    assert found.align_corners and not found.upsample_to_input
    assert found.mean == (63.75,) * 3 and found.std == (127.5,) * 3
    fixed = make(size=(8, 12), card=card)
    assert open_checkpoint(fixed).preprocessing == found


# -- refusals --------------------------------------------------------------------------------------


def refusal(path: Path) -> str:
    """Return the one sentence with which a file is refused."""
    with pytest.raises(NotACheckpointError) as caught:
        open_checkpoint(path)
    sentence = str(caught.value)
    assert str(path.parent) in sentence and "\n" not in sentence and sentence.endswith(".")
    return sentence


def test_without_a_card(make: Make) -> None:
    assert "has no card: put colours.toml beside it" in refusal(make(card=None))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("title", "titel", "there is no key 'titel', only title, "),
        ('"Colours"', "3", "title has to be text"),
        ("[input]", "[[input]]", "input has to be a table, [input]"),
        ("[input]", "", "there is no key 'pixel_max'"),
        ("pixel_max = 1", "", "input.pixel_max is missing"),
        ("pixel_max = 1", "pixel_max = 0", "input.pixel_max has to be above 0"),
        ("pixel_max = 1", "pixel_max = 'white'", "in [input], The option pixel_max is of type"),
        ("pixel_max = 1", "pixel_max = 1\ndivsor = 4", "did you mean divisor?"),
        ("pixel_max = 1", "pixel_max = 1\ndivisor = 0", "divisor is at least 1"),
        ("pixel_max = 1", "pixel_max = 1\nsize = [4.5, 2]", "input.size has to be two whole"),
        ("pixel_max = 1", "pixel_max = 1\nwindow = [0, 2]", "input.window has to be two whole"),
        ("pixel_max = 1", "pixel_max = 1\nstride = [2, 2]", "input.stride needs an input.window"),
        ("pixel_max = 1", "pixel_max = 1\nresize = 'crop'", "resize is one of"),
        ("pixel_max = 1", "pixel_max = 1\nresize = 'exact'", "'exact' needs input.size"),
        ("pixel_max = 1", "pixel_max = 1\nlayout = 'CHW'", "layout is one of NCHW, NHWC"),
        ("pixel_max = 1", "pixel_max = 1\nname = 'x'", "input.name has to be one of image"),
        ("mean = [0.25, ", "mean = [", "input.mean and input.std have to be three numbers"),
        ("mean = [0.25, 0.25, 0.25]", "mean = 0.25", "in [input], a list is expected"),
        ("std = [0.5", "std = [0", "std above 0"),
        ("classes", "label_space = 'camvid'\nclasses", "either label_space, a name or a JSON"),
        ('classes = ["red", "green", "blue", "dark"]', "", "either label_space, a name or"),
        ('["red", "green", "blue", "dark"]', '"red"', "its class list is not a label space"),
        ('classes = ["red", "green", "blue", "dark"]', "label_space = 'camvd'", "did you mean cam"),
        ('"blue", ', "", "has 4 outputs, but its label space colours has 3 classes"),
        ("[input]", "[output]\nkind = 'scores'\n[input]", "kind is one of logits, prob"),
        ("[input]", "[output]\nname = 'x'\n[input]", "output.name has to be one of Conv0"),
        ("[input]", "[input", "cannot be read as TOML"),
    ],
)
def test_a_card_with_a_wrong_value(make: Make, old: str, new: str, reason: str) -> None:
    assert old in CARD
    assert reason in refusal(make(card=CARD.replace(old, new, 1)))


def test_a_card_that_asks_for_another_size_than_the_network_takes(make: Make) -> None:
    for wish in ("size = [12, 12]\nresize = 'exact'", "resize = 'none'", "window = [8, 8]"):
        assert "takes 12 x 16 pixels only" in refusal(make(size=(12, 16), card=CARD + wish))


def test_a_card_that_mistakes_the_output(make: Make) -> None:
    assert "which are no logits" in refusal(make("labels"))
    assert "which are no labels" in refusal(make(card=table('kind = "labels"')))
    wrong = CARD + 'layout = "NHWC"'
    assert "no NHWC image of three channels" in refusal(make(size=(12, 16), card=wrong))


@pytest.mark.parametrize("content", [b"", b"no network\n" * 50, "half"])
def test_a_damaged_file(make: Make, content: bytes | str) -> None:
    path = make()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if isinstance(content, str) else content)
    assert "is damaged, or no ONNX file at all" in refusal(path)


def test_a_size_that_the_network_cannot_take_is_a_sentence(make: Make) -> None:
    path = make()
    model = onnx.load(path)
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("kernel_shape", [9, 9]))
    bigger = np.zeros((4, 3, 9, 9), np.float32)
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(bigger, "weight"))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(SegStudioError, match="failed on an input of 1 x 3 x 6 x 8") as caught:
        load_model(path, device="cpu").predict(painting()[0])
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


# -- weights outside the file ----------------------------------------------------------------------


def keep_outside(path: Path, location: str) -> None:
    """Let a network read its weight from another file."""
    model = onnx.load(path)
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", location
    path.write_bytes(model.SerializeToString())


def test_weights_in_the_same_folder_are_read(make: Make, tmp_path: Path) -> None:
    path = make()
    (tmp_path / "weights.bin").write_bytes(WEIGHT.tobytes())
    keep_outside(path, "weights.bin")
    image, labels = painting()
    assert np.array_equal(load_model(path, device="cpu").predict(image).label_map, labels)
    (tmp_path / "weights.bin").unlink()
    assert "keeps weights in a file beside it that is missing or damaged" in refusal(path)


@pytest.mark.parametrize("way", ["up", "absolute", "link"])
def test_weights_elsewhere_are_refused(make: Make, tmp_path_factory: Any, way: str) -> None:
    path = make()
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.bin"
    secret.write_bytes(WEIGHT.tobytes())
    location = f"../{secret.parent.name}/{secret.name}"
    assert (path.parent / location).is_file()
    if way == "absolute":
        location = str(secret)
    if way == "link":
        (path.parent / "link.bin").symlink_to(secret)
        location = "link.bin"
    keep_outside(path, location)
    assert "wants to read its weights from outside its folder" in refusal(path)


def test_weights_in_this_programs_memory_are_refused(make: Make) -> None:
    path = make()
    keep_outside(path, "*/_ORT_MEM_ADDR_/*")
    assert "cannot be run by onnxruntime" in refusal(path)


# -- onnxruntime -----------------------------------------------------------------------------------


def test_without_onnxruntime(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "which is not installed; install it with pip install 'segstudio[onnx]'" in refusal(path)


def test_an_old_onnxruntime_reads_any_file_and_is_refused(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    path = make()
    monkeypatch.setattr(onnxruntime, "__version__", "1.23.2")
    assert "needs onnxruntime 1.24.4 or newer" in refusal(path)
    monkeypatch.setattr(onnxruntime, "__version__", "1.24.4")
    assert isinstance(load_model(path, device="cpu"), Model)


def test_the_plugin_loads_neither_torch_nor_onnxruntime() -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom segstudio.session.plugins import load_plugins\n"
        "found = load_plugins(folders=[Path('plugins')])\n"
        "assert [info.error for info in found] == [None] * len(found)\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"torch", "onnxruntime"} & set(done.stdout.split())
