"""Looking inside networks: attention against whole matrices, geometry, projections, norms."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from segstudio.architectures import _swin
from segstudio.architectures._base import ARCHITECTURES
from segstudio.checkpoints.native import NativeCheckpoint, save_native, state_dict_of
from segstudio.core.errors import SegStudioError, UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.core.options import options_to_json
from segstudio.core.preprocessing import Preprocessing
from segstudio.core.types import BBox
from segstudio.inference.insight import weights as weights_module
from segstudio.inference.insight.attention import (
    AttentionReader,
    attention_layers,
    attention_map,
    require_attention,
)
from segstudio.inference.insight.distance import attention_distances
from segstudio.inference.insight.embeddings import class_embeddings, project
from segstudio.inference.insight.features import feature_norms
from segstudio.inference.insight.pictures import heat_colors, heat_table, outlined, overlay
from segstudio.inference.insight.probabilities import class_probabilities
from segstudio.inference.insight.view import NetworkView, TokenGrid, grid_extent
from segstudio.inference.model import Model, load_model

MakeModel = Callable[..., Model]
VIT = {"variant": "tiny", "crop": 64, "layers": 2, "head_layers": 1, "drop_path": 0.0}
SWIN = {"encoder": "swin-micro", "head_width": 16, "drop_path": 0.0}
SIZE = (77, 101)


@pytest.fixture
def make_model(tmp_path: Path, space: LabelSpace) -> MakeModel:
    """Return a function that builds a seeded model of four classes with lively weights."""
    numbers = itertools.count()

    def make(architecture: str, options: dict[str, Any] | None = None, **rule: Any) -> Model:
        page = ARCHITECTURES.get(architecture)
        window = rule.pop("use_window", "auto")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            network = page(len(space), page.Options(**(options or {})))
            for name, entry in network.named_parameters():
                # As they are drawn, attention is hardly more than a mean.
                if name.endswith(("qkv.weight", ".q.weight", ".kv.weight")):
                    torch.nn.init.normal_(entry, std=0.15)
                elif name.endswith(("bias_table", "qkv.bias", "q.bias", "kv.bias")):
                    torch.nn.init.normal_(entry, std=0.5)
        checkpoint = NativeCheckpoint(
            architecture=architecture,
            options=options_to_json(network.options),
            label_space=space,
            preprocessing=Preprocessing(**rule),
            state_dict=state_dict_of(network),
        )
        path = tmp_path / f"{architecture}-{next(numbers)}.safetensors"
        save_native(path, checkpoint)
        return load_model(path, device="cpu", precision="fp32", window=window)

    return make


def photograph(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.fixture
def whole_matrices(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Compute attention by its definition, and keep the matrix of every call."""
    seen: list[torch.Tensor] = []

    def plain(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
    ) -> torch.Tensor:
        assert dropout_p == 0.0
        scores = torch.einsum("nhqd,nhkd->nhqk", query.double(), key.double())
        scores /= query.shape[-1] ** 0.5
        if attn_mask is not None:
            scores += attn_mask
        weights = torch.exp(scores - scores.amax(-1, keepdim=True))
        weights /= weights.sum(-1, keepdim=True)
        seen.append(weights)
        return (weights @ value.double()).to(value.dtype)

    monkeypatch.setattr(F, "scaled_dot_product_attention", plain)
    return seen


def hooks_of(model: Model) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks)
        for module in model.network.modules()
    )


PIXELS = ((0, 0), (38, 50), (76, 100), (17, 83))


def check_reader(
    model: Model,
    image: np.ndarray,
    layer: int,
    expected: Callable[[int, int], tuple[np.ndarray, np.ndarray]],
) -> None:
    """Compare some pixels of a layer with what ``expected`` gives for their cells."""
    reader = AttentionReader(model, image)
    for row, column in PIXELS:
        found = reader.read(row, column, layer=layer)
        weights, elsewhere = expected(*found.cell)
        for head in range(found.layer.heads):
            one = reader.read(row, column, layer=layer, head=head)
            np.testing.assert_allclose(one.weights, weights[head], atol=2e-6)
            assert one.elsewhere == pytest.approx(float(elsewhere[head]), abs=2e-6)
            assert one.weights.sum(dtype=np.float64) + one.elsewhere == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(found.weights, weights.mean(0), atol=2e-6)
        assert found.picture.shape == image.shape[:2]
        # The point of an uneven map: heads and places differ.
        assert weights.max() > 1.5 * weights[weights > 0].min()


@pytest.mark.parametrize("code", ["authors", "mmseg"])
def test_attention_of_a_vision_transformer(
    make_model: MakeModel, whole_matrices: list[torch.Tensor], code: str
) -> None:
    model = make_model("segmenter", {**VIT, "distilled": True, "code": code})
    image = photograph(*SIZE)
    names = [layer.name for layer in attention_layers(model)]
    assert names == ["encoder.blocks.0", "encoder.blocks.1", "head.blocks.0"]
    attention_map(model, image, row=0, column=0)
    matrices = [entry[0].numpy() for entry in whole_matrices]
    rows, columns = 5, 7  # 77 x 101 in patches of 16
    for layer, first in ((0, 2), (1, 2), (2, 0)):
        matrix = matrices[layer]
        assert matrix.shape[1] == rows * columns + (2 if first else 4)

        def expected(
            row: int, column: int, first: int = first, matrix: np.ndarray = matrix
        ) -> tuple[np.ndarray, np.ndarray]:
            line = matrix[:, first + row * columns + column]
            grid = line[:, first : first + rows * columns]
            return grid.reshape(-1, rows, columns), line.sum(1) - grid.sum(1)

        check_reader(model, image, layer, expected)
    found = attention_map(model, image, row=38, column=50, layer=0)
    assert found.cell == (2, 3)
    assert found.grid == (rows, columns)
    assert found.patch == BBox(32, 48, 48, 64)
    assert attention_map(model, image, row=76, column=100).patch == BBox(64, 96, 77, 101)


def test_attention_of_setr_without_a_class_token(
    make_model: MakeModel, whole_matrices: list[torch.Tensor]
) -> None:
    options = {"variant": "tiny", "head": "mla", "crop": 64, "layers": 4}
    model = make_model("setr", options)
    found = attention_map(model, photograph(*SIZE), row=38, column=50, layer=3)
    np.testing.assert_allclose(
        found.weights.ravel(), whole_matrices[3][0, :, 2 * 7 + 3].mean(0).numpy(), atol=2e-6
    )
    assert found.elsewhere == pytest.approx(0, abs=1e-6)


def test_attention_of_segformer_goes_to_a_coarser_grid(
    make_model: MakeModel, whole_matrices: list[torch.Tensor]
) -> None:
    model = make_model("segformer")
    image = photograph(*SIZE)
    attention_map(model, image, row=0, column=0)
    matrices = [entry[0].numpy() for entry in whole_matrices]
    queries = [(20, 26), (20, 26), (10, 13), (10, 13), (5, 7), (5, 7), (3, 4), (3, 4)]
    keys = [(2, 3), (2, 3), (2, 3), (2, 3), (2, 3), (2, 3), (3, 4), (3, 4)]
    for layer, (matrix, grid, coarse) in enumerate(zip(matrices, queries, keys, strict=True)):
        assert matrix.shape[1:] == (grid[0] * grid[1], coarse[0] * coarse[1])

        def expected(
            row: int,
            column: int,
            matrix: np.ndarray = matrix,
            grid: tuple[int, int] = grid,
            coarse: tuple[int, int] = coarse,
        ) -> tuple[np.ndarray, np.ndarray]:
            line = matrix[:, row * grid[1] + column]
            return line.reshape(-1, *coarse), np.zeros(len(line))

        check_reader(model, image, layer, expected)
        assert attention_map(model, image, row=76, column=50, layer=layer).cell == (
            grid[0] - 1,
            grid[1] // 2,
        )


def window_index(grid: tuple[int, int], window: int, shift: int) -> np.ndarray:
    """Return the (windows, L) places in the grid of the tokens of Swin's windows, -1 for padding.

    By the network's own way: places take the road of the features.
    """
    places = torch.arange(1, grid[0] * grid[1] + 1).reshape(1, *grid, 1)
    padded = _swin._pad_grid(places, window).roll((-shift, -shift), (1, 2))
    found: np.ndarray = _swin._to_windows(padded, window)[..., 0].numpy() - 1
    return found


def whole_of_swin(
    matrix: torch.Tensor, grid: tuple[int, int], window: int, shift: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the (heads, N, N) attention of a whole grid, and what goes to padding (heads, N)."""
    index = window_index(grid, window, shift)
    count = grid[0] * grid[1]
    whole = np.zeros((matrix.shape[1], count, count))
    padding = np.zeros((matrix.shape[1], count))
    for places, weights in zip(index, matrix.numpy(), strict=True):
        for place, line in zip(places, weights.transpose(1, 0, 2), strict=True):
            if place >= 0:
                whole[:, place, places[places >= 0]] = line[:, places >= 0]
                padding[:, place] = line[:, places < 0].sum(1)
    return whole, padding


SWIN_GRIDS = ((20, 26), (20, 26), (10, 13), (10, 13), (5, 7), (5, 7), (3, 4), (3, 4))


def test_attention_of_swin_stays_in_its_window(
    make_model: MakeModel, whole_matrices: list[torch.Tensor]
) -> None:
    model = make_model("upernet", SWIN)
    image = photograph(*SIZE)
    names = [layer.name for layer in attention_layers(model)]
    assert names == [f"encoder.stages.{index // 2}.blocks.{index % 2}" for index in range(8)]
    attention_map(model, image, row=0, column=0)
    matrices = list(whole_matrices)
    for layer, (matrix, grid) in enumerate(zip(matrices, SWIN_GRIDS, strict=True)):
        if layer in {2, 4, 6}:
            continue
        whole, padding = whole_of_swin(matrix, grid, 7, 3 if layer % 2 else 0)

        def expected(
            row: int,
            column: int,
            whole: np.ndarray = whole,
            padding: np.ndarray = padding,
            grid: tuple[int, int] = grid,
        ) -> tuple[np.ndarray, np.ndarray]:
            place = row * grid[1] + column
            return whole[:, place].reshape(-1, *grid), padding[:, place]

        check_reader(model, image, layer, expected)
    plain = attention_map(model, image, row=0, column=0, layer=0)
    assert np.count_nonzero(plain.weights) == 49
    assert plain.patch == BBox(0, 0, 4, 4)
    # The last rows of the window are padding: 20 rows in windows of 7.
    assert attention_map(model, image, row=76, column=100, layer=0).elsewhere > 0


def distances_by_definition(weights: np.ndarray, queries: TokenGrid, keys: TokenGrid) -> np.ndarray:
    """Return each head's mean over all queries of sum(w d) / sum(w)."""
    ask = list(itertools.product(*queries.centres()))
    look = list(itertools.product(*keys.centres()))
    distances = np.array([[np.hypot(y - v, x - u) for v, u in look] for y, x in ask])
    found: np.ndarray = ((weights * distances).sum(2) / weights.sum(2)).mean(1)
    return found


def test_mean_attention_distance_of_a_matrix_by_hand() -> None:
    # A row of three patches of 10 x 10 pixels; head 0 looks at itself, head 1 at the first.
    grid = TokenGrid(1, 3, 10.0, 30.0)
    weights = np.zeros((2, 3, 3))
    weights[0] = np.eye(3)
    weights[1, :, 0] = 1
    distances = torch.tensor([[0.0, 10, 20], [10, 0, 10], [20, 10, 0]])
    means = weights_module._mean_distances(torch.from_numpy(weights), distances.double())
    np.testing.assert_allclose(means.numpy(), [[0, 0, 0], [0, 10, 20]])
    # Half of the weight elsewhere changes nothing: what is left is normalised.
    halved = weights_module._mean_distances(torch.from_numpy(weights) / 2, distances.double())
    np.testing.assert_allclose(halved.numpy(), means.numpy())
    np.testing.assert_allclose(distances_by_definition(weights, grid, grid), [0, 10])
    # Queries of zero look everywhere alike: distances of 10, 20 / 3 and 10, in a layer with a
    # token in front that is no patch.
    attention = weights_module.GlobalAttention(
        grid,
        grid,
        key=torch.randn(1, 4, 8),
        first=1,
        query=lambda start, stop: torch.zeros(1, stop - start, 8),
    )
    total, count = attention.distance_sums()
    assert count == 3
    assert total[0] / count == pytest.approx((10 + 20 / 3 + 10) / 3)
    on_grid, elsewhere = attention.row(0, 1)
    np.testing.assert_allclose(on_grid, np.full((1, 1, 3), 0.25))
    np.testing.assert_allclose(elsewhere, [0.25])


@pytest.mark.parametrize("block", [4_000_000, 700])
def test_mean_attention_distance_of_networks(
    make_model: MakeModel,
    whole_matrices: list[torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
    block: int,
) -> None:
    monkeypatch.setattr(weights_module, "_BLOCK_VALUES", block)
    image = photograph(*SIZE)
    vit = make_model("segmenter", VIT)
    found = attention_distances(vit, image)
    patches = TokenGrid(5, 7, 80.0, 112.0)
    for layer, first in ((0, 1), (1, 1), (2, 0)):
        part = slice(first, first + 35)
        weights = whole_matrices[layer][0, :, part, part].numpy()
        expected = distances_by_definition(weights, patches, patches)
        np.testing.assert_allclose(found.layers[layer].heads, expected, rtol=1e-4)
        assert found.layers[layer].mean == pytest.approx(expected.mean(), rel=1e-4)
    assert (found.input_size, found.piece_size, found.pieces) == (SIZE, SIZE, 1)
    whole_matrices.clear()
    mix = attention_distances(make_model("segformer"), image)
    queries = TokenGrid(10, 13, 77.0, 101.0)
    # Four tokens of stage 1 make a key, so two rows of keys span 8 of 10 rows of tokens.
    keys = TokenGrid(2, 3, 77 * 8 / 10, 101 * 12 / 13)
    expected = distances_by_definition(whole_matrices[2][0].numpy(), queries, keys)
    np.testing.assert_allclose(mix.layers[2].heads, expected, rtol=1e-4)
    whole_matrices.clear()
    swin = attention_distances(make_model("upernet", SWIN), image)
    for layer, stride in ((2, 8), (3, 8), (5, 16)):
        grid = SWIN_GRIDS[layer]
        weights, _ = whole_of_swin(whole_matrices[layer], grid, 7, 3 if layer % 2 else 0)
        tokens = TokenGrid(*grid, float(grid[0] * stride), float(grid[1] * stride))
        expected = distances_by_definition(weights, tokens, tokens)
        np.testing.assert_allclose(swin.layers[layer].heads, expected, rtol=1e-4)


class LargestTensor(TorchDispatchMode):
    """Notes the number of values of the largest tensor that an operator returns."""

    values = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for entry in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(entry, torch.Tensor):
                # An expanded view takes no memory.
                held = entry.untyped_storage().nbytes() // max(1, entry.element_size())
                self.values = max(self.values, min(entry.numel(), held))
        return out


def test_no_whole_matrix_ever_exists(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights_module, "_BLOCK_VALUES", 300_000)
    model = make_model("segmenter", {**VIT, "patch": 8, "layers": 1})
    image = photograph(400, 400)
    tokens = 50 * 50 + 1
    with LargestTensor() as meter:
        attention_map(model, image, row=10, column=10, layer=0)
        attention_distances(model, image)
    assert 0 < meter.values < tokens**2 // 2
    with LargestTensor() as meter:
        torch.zeros(tokens, tokens)
    assert meter.values == tokens**2


@pytest.mark.parametrize("architecture", ["segmenter", "segformer", "upernet", "enet"])
def test_the_network_is_left_as_it_was(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, architecture: str
) -> None:
    options = {"segmenter": VIT, "upernet": SWIN}.get(architecture)
    model = make_model(architecture, options)
    image = photograph(40, 50)
    before = {name: entry.clone() for name, entry in model.network.state_dict().items()}
    label_map = model.predict(image).label_map
    looks: list[Callable[[], Any]] = [
        lambda: feature_norms(model, image),
        lambda: class_probabilities(model, image),
    ]
    if architecture != "enet":
        looks.append(lambda: attention_map(model, image, row=3, column=4))
        looks.append(lambda: attention_distances(model, image))
    for use in looks:
        use()
        assert hooks_of(model) == 0
    assert not model.network.training
    assert all(
        not entry.requires_grad or entry.grad is None for entry in model.network.parameters()
    )
    after = model.network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    np.testing.assert_array_equal(model.predict(image).label_map, label_map)

    # Nor does a pass that fails on its way leave hooks behind.
    last = [module for module in model.network.modules() if isinstance(module, torch.nn.Conv2d)][-1]

    def fail(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(last, "forward", fail)
    for use in (looks[0], *looks[2:]):
        with pytest.raises(SegStudioError, match="does not fit into the memory of cpu"):
            use()
        assert hooks_of(model) == 0


def test_a_click_in_the_same_layer_costs_no_pass(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = []
    plain = NetworkView.run
    monkeypatch.setattr(
        NetworkView, "run", lambda self, piece: (passes.append(piece), plain(self, piece))
    )
    reader = AttentionReader(make_model("segmenter", VIT), photograph(64, 64))
    first = reader.read(5, 5, layer=0)
    other = reader.read(60, 60, layer=0, head=1)
    assert len(passes) == 1
    assert not np.array_equal(first.weights, other.weights)
    assert reader.read(5, 5, layer=1).layer.index == 1
    assert len(passes) == 2


def test_windows_see_a_part_of_the_image(make_model: MakeModel) -> None:
    rule: dict[str, Any] = {"resize": "keep-ratio", "size": (256, 64)}
    model = make_model("segmenter", VIT, window=(64, 64), stride=(32, 32), **rule)
    image = photograph(32, 60)  # becomes 64 x 120: windows at 0, 32 and 56
    found = attention_map(model, image, row=16, column=31)
    assert found.seen == BBox(0, 16, 32, 48)
    assert found.grid == (4, 4)
    assert found.cell == (2, 1)  # the pixel is at 33, 63 and the window begins at 32
    assert found.patch == BBox(16, 24, 24, 32)
    assert not found.picture[:, :16].any()
    assert not found.picture[:, 48:].any()
    assert (found.picture[:, 16:48] > 0).all()
    assert attention_map(model, image, row=0, column=0).seen == BBox(0, 0, 32, 32)
    last = attention_map(model, image, row=31, column=59)
    assert last.seen == BBox(0, 28, 32, 60)
    distances = attention_distances(model, image)
    assert (distances.input_size, distances.piece_size, distances.pieces) == (
        (64, 120),
        (64, 64),
        3,
    )


def test_a_window_alone_is_the_same_pass(make_model: MakeModel) -> None:
    image = photograph(64, 120)
    windowed = make_model("segmenter", VIT, window=(64, 64), stride=(32, 32))
    found = attention_map(windowed, image, row=40, column=110)
    assert found.seen == BBox(0, 56, 64, 120)
    alone = make_model("segmenter", VIT)
    crop = np.ascontiguousarray(image[:, 56:])
    other = attention_map(alone, crop, row=40, column=110 - 56)
    np.testing.assert_allclose(found.weights, other.weights, atol=1e-7)
    np.testing.assert_allclose(found.picture[:, 56:], other.picture, atol=1e-7)


def test_a_small_image_is_filled_up_to_the_window(make_model: MakeModel) -> None:
    model = make_model("segmenter", VIT, window=(64, 64), stride=(32, 32), fill_window=True)
    found = attention_map(model, photograph(32, 40), row=31, column=39)
    assert found.seen == BBox(0, 8, 32, 40)
    assert found.cell == (3, 3)
    assert found.patch == BBox(24, 32, 32, 40)


@pytest.mark.parametrize("size", [(1, 1), (33, 17), (64, 65)])
@pytest.mark.parametrize("architecture", ["segmenter", "segformer", "upernet", "enet"])
def test_odd_sizes(make_model: MakeModel, architecture: str, size: tuple[int, int]) -> None:
    model = make_model(architecture, {"segmenter": VIT, "upernet": SWIN}.get(architecture))
    image = photograph(*size)
    for stage in feature_norms(model, image):
        assert stage.picture.shape == size
        assert np.isfinite(stage.picture).all()
        assert stage.picture.min() >= 0
    if architecture == "enet":
        return
    for layer in attention_layers(model):
        found = attention_map(model, image, row=size[0] - 1, column=size[1] - 1, layer=layer.index)
        assert found.picture.shape == size
        assert np.isfinite(found.picture).all()
        assert found.weights.sum() + found.elsewhere == pytest.approx(1, abs=1e-5)
        assert not found.patch.is_empty
    assert all(np.isfinite(entry.heads).all() for entry in attention_distances(model, image).layers)


def test_maps_come_back_through_resizing_and_padding(make_model: MakeModel) -> None:
    # 30 x 50 becomes 60 x 100, is padded to 64 x 128 and goes through two windows.
    rule: dict[str, Any] = {"resize": "exact", "size": (60, 100), "divisor": 64}
    model = make_model("enet", None, window=(64, 80), stride=(64, 48), **rule)
    view = NetworkView(model, photograph(30, 50))
    assert view.input_size == (64, 128)
    areas = [piece.area for piece in view.pieces()]
    assert areas == [BBox(0, 0, 30, 40), BBox(0, 24, 30, 50)]
    grid = TokenGrid(8, 10, 64.0, 80.0)
    y, x = grid.centres()
    for piece in view.pieces():
        # A map whose value is its own place in the piece says where each pixel was sought.
        rows = np.arange(piece.area.top, piece.area.bottom)
        columns = np.arange(piece.area.left, piece.area.right)
        down = view.spread(np.repeat(y[:, None], 10, 1), grid, piece)
        right = view.spread(np.repeat(x[None], 8, 0), grid, piece)
        at = np.clip((rows + 0.5) * 2 - piece.top, y[0], y[-1])
        np.testing.assert_allclose(down, np.repeat(at[:, None], len(columns), 1), atol=1e-4)
        at = np.clip((columns + 0.5) * 2 - piece.left, x[0], x[-1])
        np.testing.assert_allclose(right, np.repeat(at[None], len(rows), 0), atol=1e-4)
    piece = view.piece_at(0, 49)
    assert (piece.top, piece.left) == (0, 48)
    # Columns 80 to 88 of the network's input are columns 40 to 44 of the image.
    assert view.cell_box(grid, (1, 4), piece) == BBox(4, 40, 8, 44)
    # A grid that begins above and left of the piece.
    shifted = TokenGrid(10, 12, 80.0, 96.0, -16.0, -16.0)
    assert shifted.cell_at(0.5, 0.5) == (2, 2)
    assert shifted.centres()[0][0] == -12
    assert view.cell_box(shifted, (2, 2), piece) == BBox(0, 24, 4, 28)


@pytest.mark.parametrize(
    ("pixels", "cells", "extent"),
    [(64, 16, 64), (65, 17, 68), (65, 16, 64), (518, 37, 518), (512, 37, 518), (100, 73, 100)],
)
def test_the_extent_of_a_grid(pixels: int, cells: int, extent: float) -> None:
    assert grid_extent(pixels, cells) == extent


def test_feature_norms_are_those_of_the_stages(make_model: MakeModel) -> None:
    model = make_model("enet")
    image = photograph(48, 64)
    found = feature_norms(model, image)
    names = ["initial", "down1", "stage1", "down2", "stage2", "stage3"]
    assert [stage.name for stage in found] == names  # and nothing of the decoder
    assert [(stage.channels, stage.stride) for stage in found] == [
        (16, 2), (64, 4), (64, 4), (128, 8), (128, 8), (128, 8)
    ]  # fmt: skip
    view = NetworkView(model, image)
    (piece,) = view.pieces()
    network: Any = model.network
    with torch.inference_mode():
        first = network.initial(piece.batch)
        second = network.stage1(network.down1(first)[0])
    for stage, features in ((found[0], first), (found[2], second)):
        norms = features[0].double().square().sum(0).sqrt()
        expected = F.interpolate(norms[None, None], (48, 64), mode="bilinear")[0, 0]
        np.testing.assert_allclose(stage.picture, expected.numpy(), rtol=1e-4)
        assert stage.grid == tuple(norms.shape)


def test_feature_norms_of_overlapping_windows_are_averaged(make_model: MakeModel) -> None:
    model = make_model("enet", None, window=(64, 64), stride=(64, 32))
    image = photograph(64, 96)
    whole = feature_norms(model, image)
    halves = [
        feature_norms(model, np.ascontiguousarray(image[:, left : left + 64])) for left in (0, 32)
    ]
    for stage, (first, last) in zip(whole, zip(*halves, strict=True), strict=True):
        np.testing.assert_allclose(stage.picture[:, :32], first.picture[:, :32], rtol=1e-4)
        np.testing.assert_allclose(stage.picture[:, 64:], last.picture[:, 32:], rtol=1e-4)
        middle = (first.picture[:, 32:] + last.picture[:, :32]) / 2
        np.testing.assert_allclose(stage.picture[:, 32:64], middle, rtol=1e-4)


@pytest.mark.parametrize(
    ("architecture", "strides"),
    [
        ("fcn-vgg", [1, 2, 4, 8, 16]),  # pads by 99 pixels all around
        ("segnet", [1, 2, 4, 8, 16]),  # pads to a multiple of 32
        ("linknet", [4, 8, 16, 32]),
        ("upernet", [4, 8, 16, 32]),
        ("image-pyramid", [2, 4, 4, 8, 8, 8]),  # its inner network, ENet
    ],
)
def test_feature_norms_of_other_encoders(
    make_model: MakeModel, architecture: str, strides: list[int]
) -> None:
    options = SWIN if architecture == "upernet" else dict(ARCHITECTURES.get(architecture).smallest)
    model = make_model(architecture, options)
    image = np.zeros((72, 100, 3), np.uint8)
    image[30:38, 60:68] = 255
    found = feature_norms(model, image)
    assert [stage.stride for stage in found] == strides
    if architecture == "upernet":
        return  # its windows carry a spot of light over all their patches
    dark = feature_norms(model, np.zeros_like(image))
    change = np.abs(found[0].picture - dark[0].picture).astype(np.float64)
    change[change < change.max() / 4] = 0
    # A strided convolution looks from the upper left corner of a cell rather than its centre.
    reach = max(3, 1.5 * strides[0])
    rows, columns = np.indices(change.shape)
    assert (change * rows).sum() / change.sum() == pytest.approx(33.5, abs=reach)
    assert (change * columns).sum() / change.sum() == pytest.approx(63.5, abs=reach)


def test_probabilities_are_those_of_the_prediction(make_model: MakeModel) -> None:
    model = make_model("enet")
    image = photograph(70, 50)
    prediction, scores = model.predict_with_scores(image)
    expected = torch.from_numpy(scores).softmax(0).numpy()
    found = class_probabilities(model, image)
    order = list(np.argsort(-expected.mean((1, 2))))
    assert list(found.outputs) == order
    assert list(found.names) == [model.label_space.names[index] for index in order]
    np.testing.assert_allclose(found.maps, expected[order], atol=1e-6)
    np.testing.assert_allclose(found.means, expected.mean((1, 2)), atol=1e-6)
    np.testing.assert_array_equal(np.array(order)[found.maps.argmax(0)], prediction.label_map)
    few = class_probabilities(model, image, most=2)
    assert list(few.outputs) == order[:2]
    np.testing.assert_array_equal(few.maps, found.maps[:2])
    one = class_probabilities(model, image, outputs=[3])
    assert one.names == ("tree",)
    np.testing.assert_allclose(one.maps[0], expected[3], atol=1e-6)
    with pytest.raises(UsageError, match="no output 4; the network has 4, 0 to 3"):
        class_probabilities(model, image, outputs=[0, 4])


def test_a_projection_by_hand() -> None:
    # Four points on the axes of a plane in three dimensions, around (1, 1, 1).
    vectors = np.array([[4, 1, 1], [-2, 1, 1], [1, 3, 1], [1, -1, 1]])
    points, explained = project(vectors)
    np.testing.assert_allclose(points, [[3, 0], [-3, 0], [0, 2], [0, -2]], atol=1e-12)
    assert explained == pytest.approx((18 / 26, 8 / 26))
    # In general: the leading eigenvectors of the covariance.
    many = np.random.default_rng(1).normal(size=(9, 5)) * [1, 5, 2, 1, 3]
    points, explained = project(many.astype(np.float32))
    values, axes = np.linalg.eigh(np.cov(many.T, bias=True))
    for axis in range(2):
        expected = (many - many.mean(0)) @ axes[:, -1 - axis]
        agree = abs(np.corrcoef(points[:, axis], expected)[0, 1])
        assert agree == pytest.approx(1, abs=1e-6)
        assert points[:, axis].var() == pytest.approx(values[-1 - axis], rel=1e-5)
        assert explained[axis] == pytest.approx(values[-1 - axis] / values.sum(), rel=1e-5)
    # The largest entry of a singular vector is positive, whatever the library likes.
    for seed in range(8):
        many = np.random.default_rng(seed).normal(size=(6, 4))
        axes = many.T @ project(many)[0]
        assert (np.take_along_axis(axes, np.abs(axes).argmax(0)[None], 0) > 0).all()
    for single in (np.ones((1, 3)), np.ones((4, 3))):
        points, explained = project(single)
        assert not points.any()
        assert explained == (0.0, 0.0)
    points, explained = project(np.array([[1.0], [3.0]]))
    np.testing.assert_allclose(points, [[-1, 0], [1, 0]])
    assert explained == (1.0, 0.0)


def test_class_embeddings(make_model: MakeModel) -> None:
    mask = make_model("segmenter", VIT)
    found = class_embeddings(mask)
    assert found.source == "mask transformer"
    assert found.names == ("sky", "road", "car", "tree")
    network: Any = mask.network
    np.testing.assert_array_equal(found.vectors, network.head.classes[0].detach().numpy())
    np.testing.assert_array_equal(found.points, project(found.vectors)[0])
    found.vectors[:] = 0  # a copy
    assert network.head.classes.abs().sum() > 0
    linear = make_model("segmenter", {**VIT, "head": "linear"})
    mix = make_model("segformer")
    for model in (linear, mix):
        found = class_embeddings(model)
        assert found.source == "classifier"
        weight = model.network.get_submodule("head.classify").weight
        np.testing.assert_array_equal(found.vectors, weight[:, :, 0, 0].detach().numpy())
    with pytest.raises(UsageError, match=r"enet.* has no vector for each class"):
        class_embeddings(make_model("enet"))


def test_what_cannot_be_looked_at_is_said(make_model: MakeModel) -> None:
    enet = make_model("enet")
    image = photograph(32, 40)
    assert attention_layers(enet) == ()
    for use in (
        lambda: attention_map(enet, image, row=0, column=0),
        lambda: attention_distances(enet, image),
    ):
        with pytest.raises(UsageError, match="look at its class probabilities and feature norms"):
            use()
    unet = make_model("unet", {"width": 4})
    with pytest.raises(UsageError, match="probabilities, feature norms and class embeddings"):
        require_attention(unet)
    vit = make_model("segmenter", VIT)
    for arguments, message in (
        ({"row": 32, "column": 0}, "row 32, column 0 is outside the image of 32 x 40"),
        ({"row": 0, "column": -1}, "column -1 is outside"),
        ({"row": 0, "column": 0, "layer": 3}, "no attention layer 3; the model has 3, 0 to 2"),
        ({"row": 0, "column": 0, "layer": -4}, "no attention layer -4"),
        ({"row": 0, "column": 0, "layer": -1, "head": 3}, "no head 3 in layer 2"),
        ({"row": 0, "column": 0, "head": -1}, "no head -1"),
    ):
        with pytest.raises(UsageError, match=message):
            attention_map(vit, image, **arguments)  # type: ignore[arg-type]
    for wrong in (image[..., 0], image.astype(np.float32), image[:0]):
        with pytest.raises(UsageError, match="shape"):
            attention_map(vit, wrong, row=0, column=0)


def test_heat_colours() -> None:
    table = heat_table().astype(int)
    assert table.shape == (256, 3)
    assert (np.diff(table @ [299, 587, 114]) >= 0).all()
    assert tuple(table[0]) == (0, 0, 4)
    assert tuple(table[255]) == (252, 253, 191)
    values = np.array([[0.0, 1.0], [2.0, 4.0]])
    np.testing.assert_array_equal(heat_colors(values), table[[[0, 64], [128, 255]]])
    np.testing.assert_array_equal(heat_colors(values, low=1, high=2), table[[[0, 0], [255, 255]]])
    np.testing.assert_array_equal(heat_colors(np.zeros((2, 2))), table[np.zeros((2, 2), int)])
    image = np.full((8, 9, 3), 100, np.uint8)
    colors = np.full((8, 9, 3), (200, 0, 50), np.uint8)
    np.testing.assert_array_equal(overlay(image, colors, opacity=0), image)
    np.testing.assert_array_equal(overlay(image, colors, opacity=1), colors)
    np.testing.assert_array_equal(overlay(image, colors, opacity=0.5)[0, 0], [150, 50, 75])
    marked = outlined(image, BBox(1, 2, 7, 9), (1, 2, 3))
    assert (image == 100).all()
    changed = (marked != 100).any(2)
    assert changed.sum() == 6 * 7 - 2 * 3
    assert changed[1, 2]
    assert changed[6, 8]
    assert not changed[3:5, 4:7].any()
    assert (outlined(image, BBox(3, 3, 4, 5), (1, 2, 3)) != 100).any(2).sum() == 2
    assert (outlined(image, BBox(3, 3, 3, 5), (1, 2, 3)) == 100).all()
