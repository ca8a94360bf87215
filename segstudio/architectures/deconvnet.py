"""DeconvNet.

H. Noh, S. Hong, B. Han: "Learning Deconvolution Network for Semantic Segmentation", ICCV 2015,
arXiv:1505.04366.

VGG16 with batch normalisation down to a single cell of 4096 values (for the paper's 224 x 224
images), and its mirror image back: transposed convolutions, and unpoolings that put values where
the poolings found their maxima.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from segstudio.architectures._base import (
    ARCHITECTURES,
    Facts,
    PublishedSize,
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

_WINDOW = 7
"""Window of fc6, in cells of the fifth pooling: the paper's 224 x 224 image has just one."""


@dataclass(frozen=True)
class DeconvNetOptions:
    """Variant of DeconvNet."""

    width: int = option(
        64,
        "Channels of the first stage; the last two have eight times as many.",
        minimum=1,
        maximum=512,
    )
    fc_width: int = option(
        4096, "Channels of fc6 and fc7, VGG16's fully connected layers.", minimum=1, maximum=16384
    )


@ARCHITECTURES.register("deconvnet")
class DeconvNet(SegmentationNetwork):
    """DeconvNet with an output at full resolution.

    The paper labels proposals, each resized to 224 x 224; here larger images are taken whole, as
    the layers allow.  Images are padded at the bottom and right, to 224 at least and to multiples
    of 32, and the logits cropped back.  Batch normalisation sees one value per image and channel
    in fc6 and fc7 of a small image: train with several images a batch.
    """

    Options = DeconvNetOptions
    facts = Facts(
        title="DeconvNet",
        paper="Noh et al.: Learning Deconvolution Network, ICCV 2015, arXiv:1505.04366",
        year=2015,
        output_stride=1,
        published="69.6 mIoU on PASCAL VOC 2012 test, over proposals (the paper, table 3)",
        sizes=(PublishedSize(252, 11, {}, "FC-DenseNet's paper, table 3", tolerance=0.002),),
    )
    smallest = {"width": 4, "fc_width": 16}
    classifier = "classify"
    needs_fp32 = True

    def __init__(self, classes: int, options: DeconvNetOptions | None = None) -> None:
        super().__init__(classes, options)
        chosen: DeconvNetOptions = self.options
        deepest, middle = stage_widths(chosen.width)[-1], chosen.fc_width
        self.encoder = vgg16_encoder(chosen.width, batch_norm=True)
        self.fc6 = conv_unit(nn.Conv2d(deepest, middle, _WINDOW), batch_norm=True)
        self.fc7 = conv_unit(nn.Conv2d(middle, middle, 1), batch_norm=True)
        self.deconv_fc6 = conv_unit(nn.ConvTranspose2d(middle, deepest, _WINDOW), batch_norm=True)
        self.decoder = nn.ModuleList(
            nn.Sequential(
                *(
                    conv_unit(nn.ConvTranspose2d(inside, out, 3, padding=1), batch_norm=True)
                    for inside, out in stage
                )
            )
            for stage in mirrored_channels(chosen.width)
        )
        self.classify = nn.Conv2d(chosen.width, classes, 1)
        # The paper starts from ImageNet's weights; without them, what lets VGG16 train.
        self.apply(initialise)
        for module in self.modules():
            if isinstance(module, nn.ConvTranspose2d):
                # Zero-mean Gaussians, as in the paper, which does not say how wide.  Of fc6's
                # mirror only one input cell reaches each output cell of a 224 x 224 image.
                window = 1 if module is self.deconv_fc6.conv else 9
                nn.init.normal_(module.weight, std=(2 / (module.in_channels * window)) ** 0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        stride = 2 ** len(self.encoder)
        bottom, right = (max(0, stride * _WINDOW - size) for size in (height, width))
        x = pad_to_multiple(F.pad(image, (0, right, 0, bottom)), stride)
        x, indices = encode_with_indices(self.encoder, x)
        x = self.deconv_fc6(self.fc7(self.fc6(x)))
        x = decode_with_indices(self.decoder, x, indices)
        return self.classify(x)[..., :height, :width]

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        width = vgg16_width(state_dict, batch_norm=True)
        up = state_dict.get("deconv_fc6.conv.weight")
        head = state_dict.get("classify.weight")
        if width is None or up is None or head is None:
            return None
        if tuple(up.shape[1:]) != (stage_widths(width)[-1], _WINDOW, _WINDOW) or head.ndim != 4:
            return None
        return Recognition(
            "segstudio", DeconvNetOptions(width, int(up.shape[0])), int(head.shape[0])
        )
