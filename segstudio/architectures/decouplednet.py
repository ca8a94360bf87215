"""DecoupledNet.

S. Hong, H. Noh, B. Han: "Decoupled Deep Neural Network for Semi-supervised Semantic Segmentation",
NIPS 2015, arXiv:1506.04924.

A classification network says which classes an image has; a segmentation network tells foreground
from background for one class at a time.  Between the two lie bridging layers: they see the last
features of the encoder and, for the class in question, the gradient of its score with respect to
these features, which is large where the class is.  So many images with image-level labels teach the
first, and few with masks, of whatever classes, the second (the mode "decoupled" of a training).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segstudio.architectures._base import (
    ARCHITECTURES,
    Facts,
    Recognition,
    SegmentationNetwork,
    StateDict,
    pad_to_multiple,
)
from segstudio.architectures._vgg import (
    conv_unit,
    decode_with_indices,
    encode_with_indices,
    initialise,
    mirrored_channels,
    stage_widths,
    vgg16_encoder,
    vgg16_width,
)
from segstudio.core.options import option


@dataclass(frozen=True)
class DecoupledNetOptions:
    """Variant of DecoupledNet."""

    width: int = option(
        64,
        "Channels of the first stage; the last two have eight times as many.",
        minimum=1,
        maximum=512,
    )
    fc_width: int = option(
        1024,
        "Channels of the classification network's last layers and of the bridging layers.",
        minimum=1,
        maximum=16384,
    )


class Classifier(nn.Module):
    """Class scores of an image from its last features, and their gradient.

    Where VGG16 has fully connected layers for images of one size, these are convolutions and a
    mean over the image.
    """

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        self.fc6 = nn.Conv2d(channels, width, 3, padding=1)
        self.fc7 = nn.Conv2d(width, width, 1)
        self.score = nn.Linear(width, classes)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (N, C) scores and both layers' values, which `gradient` needs."""
        first = F.relu(self.fc6(features))
        second = F.relu(self.fc7(first))
        return self.score(second.mean((2, 3))), first, second

    def gradient(self, index: int, first: Tensor, second: Tensor) -> Tensor:
        """Return how the score of class ``index`` grows with each feature, scaled by the area.

        Written out rather than left to autograd, so that it exists in inference mode too.
        """
        flow = self.score.weight[index].view(1, -1, 1, 1) * (second > 0)
        flow = F.conv_transpose2d(flow, self.fc7.weight) * (first > 0)
        return F.conv_transpose2d(flow, self.fc6.weight, padding=1)


@ARCHITECTURES.register("decouplednet")
class DecoupledNet(SegmentationNetwork):
    """DecoupledNet with an output at full resolution, one segmentation pass per class.

    The logit of a class is the segmentation network's log-odds of foreground plus the log of the
    class's probability in the image.  The paper passes over the classes that the classification
    network does not see; here they only get a low logit, so that an image's result depends on
    nothing but the image.
    """

    Options = DecoupledNetOptions
    facts = Facts(
        title="DecoupledNet",
        paper="Hong et al.: Decoupled Deep Neural Network for Semi-supervised Semantic "
        "Segmentation, NIPS 2015, arXiv:1506.04924",
        year=2015,
        output_stride=1,
        published="62.5 mIoU on PASCAL VOC 2012 test with 25 masks a class (the paper, table 2)",
    )
    smallest = {"width": 4, "fc_width": 16}

    def __init__(self, classes: int, options: DecoupledNetOptions | None = None) -> None:
        super().__init__(classes, options)
        chosen: DecoupledNetOptions = self.options
        deepest, middle = stage_widths(chosen.width)[-1], chosen.fc_width
        self.encoder = vgg16_encoder(chosen.width, batch_norm=True)
        self.classifier_of_images = Classifier(deepest, middle, classes)
        self.bridge = nn.Sequential(
            conv_unit(nn.Conv2d(2 * deepest, middle, 1), batch_norm=True),
            conv_unit(nn.Conv2d(middle, middle, 3, padding=1), batch_norm=True),
            conv_unit(nn.Conv2d(middle, deepest, 1), batch_norm=True),
        )
        self.decoder = nn.ModuleList(
            nn.Sequential(
                *(
                    conv_unit(nn.ConvTranspose2d(inside, out, 3, padding=1), batch_norm=True)
                    for inside, out in stage
                )
            )
            for stage in mirrored_channels(chosen.width)
        )
        self.foreground = nn.Conv2d(chosen.width, 1, 1)
        self.apply(initialise)
        for module in self.modules():
            if isinstance(module, nn.ConvTranspose2d):
                nn.init.normal_(module.weight, std=(2 / (module.in_channels * 9)) ** 0.5)

    def classification_modules(self) -> list[nn.Module]:
        """Return what image-level labels teach; masks teach the rest."""
        return [self.encoder, self.classifier_of_images]

    def encode(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the last features and the places of the poolings' maxima.

        Parameters
        ----------
        image : Tensor of shape (N, 3, H, W)
            Padded at the bottom and right to multiples of 32.
        """
        features, indices = encode_with_indices(
            self.encoder, pad_to_multiple(image, 2 ** len(self.encoder))
        )
        return features, indices

    def class_scores(self, image: Tensor) -> Tensor:
        """Return (N, C) logits of "the image has this class", of each class by itself."""
        scores: Tensor = self.classifier_of_images(self.encode(image)[0])[0]
        return scores

    def log_odds(
        self, features: Tensor, saliency: Tensor, indices: list[Tensor], size: tuple[int, int]
    ) -> Tensor:
        """Return (N, 1, H, W) log-odds of foreground for the class that the saliency is of."""
        # Its size depends on how well the classifier is trained; its pattern is what counts.
        scale = saliency.abs().mean((1, 2, 3), keepdim=True).clamp(min=1e-12)
        x = self.bridge(torch.cat([features, saliency / scale], 1))
        x = decode_with_indices(self.decoder, x, indices)
        found: Tensor = self.foreground(x)[..., : size[0], : size[1]]
        return found

    def forward(self, image: Tensor) -> Tensor:
        features, indices = self.encode(image)
        scores, first, second = self.classifier_of_images(features)
        size = (image.shape[-2], image.shape[-1])
        maps = []
        for index in range(self.classes):
            saliency = self.classifier_of_images.gradient(index, first, second)
            odds = self.log_odds(features, saliency, indices, size)
            maps.append(odds + F.logsigmoid(scores[:, index]).view(-1, 1, 1, 1))
        return torch.cat(maps, 1)

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        width = vgg16_width(state_dict, batch_norm=True)
        score = state_dict.get("classifier_of_images.score.weight")
        bridge = state_dict.get("bridge.0.conv.weight")
        if width is None or score is None or bridge is None or score.ndim != 2:
            return None
        options = DecoupledNetOptions(width, int(bridge.shape[0]))
        return Recognition("segstudio", options, int(score.shape[0]))
