"""Semi-supervised segmentation with a generative adversarial network.

N. Souly, C. Spampinato, M. Shah: "Semi Supervised Semantic Segmentation Using Generative
Adversarial Network", ICCV 2017, arXiv:1703.09695.

The segmentation network is the discriminator: each pixel is one of K classes or *fake*.  On
labelled images it learns the classes, on unlabelled ones that no pixel is fake, on generated ones
that every pixel is.  The generator learns to make images whose pixels are taken for one of the
classes.

K + 1 logits have one too many: a softmax does not change when a number is added to all of them.
The logit of *fake* is therefore fixed at 0 and the network keeps its K outputs (T. Salimans et al.:
"Improved Techniques for Training GANs", NeurIPS 2016, section 5): with Z the sum of the
exponentials of the K logits, p(fake) = 1 / (Z + 1).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from segstudio.training.data import Batch, iterate_batches
from segstudio.training.objective import Objective, Parts, with_stream

__all__ = ["GenerativeAdversary", "Generator", "fake_loss", "real_loss"]

_NOISE = 100
_WIDTHS = (256, 128, 64, 32)
_LEARNING_RATE = 2e-4
"""Of the generator's Adam, with betas 0.5 and 0.999 (A. Radford et al., 2016)."""


def real_loss(logits: Tensor) -> Tensor:
    """Return the mean of -log(1 - p(fake)) of (N, K, H, W) logits."""
    strength = logits.float().logsumexp(1)
    return F.softplus(-strength).mean()


def fake_loss(logits: Tensor) -> Tensor:
    """Return the mean of -log p(fake) of (N, K, H, W) logits."""
    return F.softplus(logits.float().logsumexp(1)).mean()


class Generator(nn.Module):
    """Noise to images: a small grid, doubled four times.

    Parameters
    ----------
    size : (int, int)
        Height and width of the images.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.grid = -(-size[0] // 16), -(-size[1] // 16)
        self.start = nn.Linear(_NOISE, _WIDTHS[0] * self.grid[0] * self.grid[1])
        blocks: list[nn.Module] = []
        for channels, width in zip(_WIDTHS, (*_WIDTHS[1:], 16), strict=True):
            blocks += [
                nn.Upsample(scale_factor=2),
                nn.Conv2d(channels, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
        self.blocks = nn.Sequential(*blocks)
        self.paint = nn.Conv2d(16, 3, 3, padding=1)

    def forward(self, noise: Tensor) -> Tensor:
        """Return (N, 3, H, W) images in 0..255 of (N, 100) noise."""
        x = self.start(noise).view(len(noise), _WIDTHS[0], *self.grid)
        image = self.paint(self.blocks(x))[..., : self.size[0], : self.size[1]]
        return 255 * torch.sigmoid(image)


@contextlib.contextmanager
def _remembering(network: nn.Module, wanted: bool) -> Iterator[None]:
    """Let batch normalisation keep its running statistics as they are, unless it is wanted."""
    norms = (
        [] if wanted else [entry for entry in network.modules() if isinstance(entry, _BatchNorm)]
    )
    momenta = [entry.momentum for entry in norms]
    for entry in norms:
        entry.momentum = 0.0
    try:
        yield
    finally:
        for entry, momentum in zip(norms, momenta, strict=True):
            entry.momentum = momentum


class GenerativeAdversary(Objective):
    """The supervised losses, real against fake, and the generator; see the module."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        options = parts.plan.options
        self._options = with_stream(parts.plan)
        self.generator = Generator((options.crop_height, options.crop_width)).to(parts.device)
        self._optimizer = torch.optim.Adam(
            self.generator.parameters(), lr=_LEARNING_RATE, betas=(0.5, 0.999)
        )
        self._batches: Iterator[Batch] | None = None

    def backward(self, batch: Batch, backward: Callable[[Tensor], None]) -> Tensor:
        """Add the losses on unlabelled and on generated images to the supervised one."""
        total = super().backward(batch, backward)
        parts = self.parts
        image = parts.normalise(self._unlabelled(batch.step).images)
        with torch.no_grad():
            generated = self._generated(len(image))
        weight = parts.plan.options.unlabelled_weight / (2 * parts.crew.size)
        for pixels, loss in ((image, real_loss), (generated, fake_loss)):
            remembering = pixels is image  # generated images are not what the network will see
            with parts.casting(), _remembering(parts.network, remembering):
                logits = parts.network.logits(pixels)
            value = weight * loss(logits)
            backward(value)
            total = total + value.detach()
        return total

    def after_step(self, batch: Batch) -> None:
        """Let the generator learn what the network takes for real."""
        parts = self.parts
        network = parts.network
        needed = [entry.requires_grad for entry in network.parameters()]
        network.requires_grad_(False)
        # The running statistics are of images, not of what a generator makes up.
        network.eval()
        with parts.casting():
            logits = network.logits(self._generated(parts.plan.options.batch))
        self._optimizer.zero_grad(set_to_none=True)
        (real_loss(logits) / parts.crew.size).backward()
        parts.crew.sum_gradients(self.generator.parameters())
        self._optimizer.step()
        parts.crew.mean_buffers(self.generator)
        for entry, was in zip(network.parameters(), needed, strict=True):
            entry.requires_grad_(was)

    def _generated(self, count: int) -> Tensor:
        noise = torch.randn(count, _NOISE, device=self.parts.device)
        normalise = self.parts.normalise
        return (self.generator(noise) - normalise.mean) / normalise.std

    def _unlabelled(self, step: int) -> Batch:
        parts = self.parts
        if self._batches is None:
            assert parts.plan.unlabelled is not None
            self._batches = iterate_batches(
                parts.plan.unlabelled,
                self._options,
                first_step=step,
                steps=parts.steps,
                rank=parts.crew.rank,
                size=parts.crew.size,
                stream=1,
            )
        return next(self._batches)

    def state(self) -> dict[str, Any]:
        """Return the generator and its optimizer too."""
        return {
            **super().state(),
            "generator": self.generator.state_dict(),
            "generator_optimizer": self._optimizer.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned."""
        super().load_state(state)
        self.generator.load_state_dict(state["generator"])
        self._optimizer.load_state_dict(state["generator_optimizer"])

    def close(self) -> None:
        """End the thread that makes batches."""
        if self._batches is not None:
            self._batches.close()  # type: ignore[attr-defined]
