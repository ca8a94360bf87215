"""Images of any size: tiles without a seam and windows in bounded memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from segstudio.architectures.enet import ENet
from segstudio.core.preprocessing import Preprocessing
from segstudio.datasets.rows import ArrayRows
from segstudio.inference import bands as bands_module
from segstudio.inference.bands import join_bands
from segstudio.inference.model import load_model
from segstudio.inference.planning import Planner
from segstudio.inference.preprocess import resize_image, to_input
from segstudio.inference.windows import Plan, slide, slide_bands, tile_spans, window_spans

SaveModel = Callable[..., Path]
CPU = torch.device("cpu")


def picture(height: int, width: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(height).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
    return np.kron(coarse, np.ones((8, 8, 1))).astype(np.uint8)[:height, :width]


def tiled(network: Callable[[Tensor], Tensor], image: Tensor, side: int, step: int) -> Tensor:
    height, width = image.shape[-2:]
    spans = tile_spans(height, side, step), tile_spans(width, side, step)
    read = image.narrow
    bands = slide_bands(
        network,
        lambda top, bottom: read(2, top, bottom - top),
        spans,
        (height, width),
        align_corners=False,
    )
    return torch.cat(list(bands), 1)


# -- what covers what ------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 50, 256, 257, 300, 448, 449, 1000, 5000])
@pytest.mark.parametrize(("side", "step"), [(256, 32), (128, 32), (512, 64), (100, 1)])
def test_tiles_cover_every_pixel_once_and_start_on_the_grid(
    length: int, side: int, step: int
) -> None:
    spans = tile_spans(length, side, step)
    counts = np.zeros(length, int)
    for span in spans:
        counts[span.first : span.last] += 1
        assert span.start % step == 0 and span.stop <= length
        assert span.start <= span.first < span.last <= span.stop
        # What does not touch the image's border keeps an eighth of the tile as its surroundings.
        if span.start:
            assert span.first - span.start >= side // 8 - 1
        if span.stop < length:
            assert span.stop - span.last >= side // 8 - 1
    assert (counts == 1).all()


def test_windows_count_wherever_they_are() -> None:
    spans = window_spans(100, 40, 25)
    assert [(span.start, span.stop) for span in spans] == [(0, 40), (25, 65), (50, 90), (60, 100)]
    assert all((span.start, span.stop) == (span.first, span.last) for span in spans)


# -- no seam ---------------------------------------------------------------------------------------


def small_network() -> nn.Sequential:
    """Return convolutions of stride 4 whose receptive field has a radius of 31 pixels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1, stride=2),
            nn.ReLU(),
            nn.Conv2d(6, 6, 3, padding=1, stride=2),
            nn.ReLU(),
            nn.Conv2d(6, 5, 5, padding=4, dilation=2),
        ).eval()


@torch.inference_mode()
def test_tiles_of_a_convolutional_network_show_no_seam() -> None:
    network = small_network()
    image = torch.rand(1, 3, 300, 436, generator=torch.Generator().manual_seed(1))
    whole = F.interpolate(network(image), (300, 436), mode="bilinear", align_corners=False)[0]
    # Tiles of 256 have 32 pixels around what counts of them: enough for this network.
    result = tiled(network, image, 256, 32)
    torch.testing.assert_close(result, whole, atol=1e-5, rtol=0)
    # Those of 128 have 16, which are too few, and the seams show that the test sees them.
    seamed = tiled(network, image, 128, 32)
    assert (seamed - whole).abs().max() > 1e-3
    # Averaged windows see less than the whole image near their borders, however large they are.
    window = slide(network, image, ((256, 256), (192, 192)), align_corners=False)[0]
    assert (window - whole).abs().max() > 1e-3


@torch.inference_mode()
def test_tiles_of_enet_show_no_seam() -> None:
    """Its dilated stages look 600 pixels far, so the tiles have to be large."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        network = ENet(3).eval()
    image = torch.rand(1, 3, 16, 6400, generator=torch.Generator().manual_seed(3))
    whole = network.logits(image)[0]
    result = tiled(network, image, 5120, 64)
    torch.testing.assert_close(result, whole, atol=1e-4, rtol=0)


def test_a_model_in_tiles_says_what_it_says_whole(
    save_model: SaveModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule: dict[str, Any] = {"divisor": 8, "resize": "keep-ratio", "size": (1200, 700)}
    model = load_model(save_model(**rule), device="cpu")
    small = small_network()
    monkeypatch.setattr(model, "_forward", lambda batch: small(batch)[:, :4].float())
    image = picture(420, 611)  # 700 x 1018 for the network, padded to 704 x 1024
    whole = model.predict(image)
    said: list[str] = []
    model.report = said.append
    monkeypatch.setattr(Planner, "plan", lambda *_: Plan(tile=256))
    parts = model.predict(image)
    assert said == [
        "An image of 420 x 611 pixels is predicted in tiles of 256 x 256: otherwise it does not "
        "fit into the memory of cpu."
    ]
    np.testing.assert_allclose(parts.entropy, whole.entropy, atol=1e-4)
    assert (parts.label_map == whole.label_map).mean() > 0.9999


@pytest.mark.parametrize("two_steps", [False, True])
@pytest.mark.parametrize("align_corners", [False, True])
def test_logits_go_by_way_of_the_input_where_the_source_does_that(
    save_model: SaveModel,
    two_steps: bool,
    align_corners: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rule = {
        "resize": "exact",
        "size": (64, 80),
        "upsample_to_input": two_steps,
        "align_corners": align_corners,
    }
    model = load_model(save_model(**rule), device="cpu")
    small = small_network()
    monkeypatch.setattr(model, "_forward", lambda batch: small(batch)[:, :4].float())
    monkeypatch.setattr(bands_module, "_BAND_BYTES", 4 * 4 * 80 * 5)
    image = picture(131, 99)
    batch = to_input(resize_image(image, model.preprocessing), model.preprocessing, CPU)
    with torch.inference_mode():
        wanted = small(batch)[:, :4]
        if two_steps:
            wanted = F.interpolate(wanted, (64, 80), mode="bilinear", align_corners=align_corners)
        wanted = F.interpolate(wanted, (131, 99), mode="bilinear", align_corners=align_corners)[0]
    prediction, scores = model.predict_with_scores(image)
    np.testing.assert_allclose(scores, wanted, atol=1e-5)
    np.testing.assert_allclose(prediction.confidence, wanted.softmax(0).amax(0), atol=1e-5)
    assert (prediction.label_map == wanted.argmax(0).numpy()).mean() > 0.9999


# -- by bands of rows ------------------------------------------------------------------------------


class CountingRows(ArrayRows):
    """Rows that remember how many were read at once."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        super().__init__(image)
        self.largest = 0

    def read_rows(self, top: int, bottom: int) -> NDArray[np.uint8]:
        assert 0 <= top <= bottom <= self.height
        self.largest = max(self.largest, bottom - top)
        return super().read_rows(top, bottom)


@pytest.mark.parametrize(
    "rule",
    [
        {"window": (64, 48), "stride": (40, 30)},
        {"window": (64, 64), "stride": (64, 64), "divisor": 32},
        {"window": (96, 96), "stride": (50, 50), "fill_window": True},
    ],
)
@pytest.mark.parametrize("size", [(230, 170), (50, 300), (300, 50)])
def test_rows_are_those_of_the_whole_prediction(
    save_model: SaveModel,
    rule: dict[str, Any],
    size: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = picture(*size)
    model = load_model(save_model(**rule), device="cpu")
    whole = model.predict(image)
    monkeypatch.setattr(bands_module, "_BLOCK_PIXELS", 7 * size[1])
    source = CountingRows(image)
    bands = list(model.predict_rows(source))
    assert [band.top for band in bands] == [0, *(band.bottom for band in bands[:-1])]
    assert bands[-1].bottom == size[0] and len(bands) >= size[0] // 7
    if min(size) >= 96 or not rule.get("fill_window"):
        assert source.largest <= 96
    joined = join_bands(bands, size[0])
    for name in ("label_map", "entropy", "confidence", "runner_up"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))


def test_a_window_gives_what_it_gives_in_one_piece(save_model: SaveModel) -> None:
    rule = {"window": (64, 48), "stride": (40, 30), "divisor": 32}
    model = load_model(save_model(**rule), device="cpu")
    image = picture(150, 131)
    tensor = F.pad(torch.from_numpy(image).permute(2, 0, 1)[None].float(), (0, 29, 0, 10), value=-1)
    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1) for v in (Preprocessing().mean, Preprocessing().std)
    )
    batch = torch.where(tensor < 0, 0.0, (tensor - mean) / std)
    total, count = torch.zeros(4, 160, 160), torch.zeros(160, 160)
    with torch.inference_mode():
        for top in (0, 40, 80, 96):
            for left in (0, 30, 60, 90, 112):
                piece = batch[..., top : top + 64, left : left + 48]
                total[:, top : top + 64, left : left + 48] += model.network.logits(piece)[0]
                count[top : top + 64, left : left + 48] += 1
    wanted = (total / count)[:, :150, :131]
    _, scores = model.predict_with_scores(image)
    np.testing.assert_allclose(scores, wanted, atol=1e-4)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_goes_with_the_width_not_with_the_area() -> None:
    """After 200 rows in a process of its own, 3,000 hardly raise the peak."""
    code = """
import sys
import numpy as np, torch
from pathlib import Path
from segstudio.core.preprocessing import Preprocessing
from segstudio.inference.augmentation import View
from segstudio.inference.engine import Engine
from segstudio.inference.fused import fuse_block

class Rows:
    height, width = int(sys.argv[1]), 512
    def read_rows(self, top, bottom):
        return np.full((bottom - top, self.width, 3), top % 256, np.uint8)

pool = torch.nn.AvgPool2d(4)
def network(batch):
    return pool(batch).repeat(1, 20, 1, 1)

def work(source):
    seen = 0
    for block in engine.blocks(source):
        seen += len(fuse_block(block).label_map)
    assert seen == source.height

torch.set_num_threads(1)
engine = Engine(network, Preprocessing(), views=(View(),), device=torch.device("cpu"),
                window=((128, 128), (96, 96)), tiles=True, classes=60, say=print)
warm = Rows()
warm.height = 200
work(warm)
Path("/proc/self/clear_refs").write_text("5")
before = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
work(Rows())
after = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
print(after - before)
"""

    def growth(height: int) -> float:
        done = subprocess.run(
            [sys.executable, "-c", code, str(height)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return float(done.stdout) / 1024

    # 3,000 rows of 60 classes would be 369 MB as scores; a window's share of them is 16 MB.
    assert growth(3000) < 60
