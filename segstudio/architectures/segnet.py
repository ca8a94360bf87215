"""SegNet.

V. Badrinarayanan, A. Kendall, R. Cipolla: "SegNet: A Deep Convolutional Encoder-Decoder
Architecture for Image Segmentation", IEEE TPAMI 2017, arXiv:1511.00561.

The thirteen convolutions of VGG16 with batch normalisation, and a decoder that mirrors them.  No
features go across: of each max pooling only the places of the maxima are remembered, the decoder
puts its values back there, and its convolutions fill the gaps.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    vgg16_encoder,
    vgg16_width,
)
from segstudio.core.options import option


@dataclass(frozen=True)
class SegNetOptions:
    """Variant of SegNet."""

    width: int = option(
        64,
        "Channels of the first stage; the last two have eight times as many.",
        minimum=1,
        maximum=512,
    )


@ARCHITECTURES.register("segnet")
class SegNet(SegmentationNetwork):
    """SegNet with an output at full resolution.

    Sizes that the five poolings do not divide are padded at the bottom and right, and the logits
    are cropped back.  ``encoder`` and ``decoder`` are numbered by stage, 0 being the finest.
    """

    Options = SegNetOptions
    facts = Facts(
        title="SegNet",
        paper="Badrinarayanan et al.: SegNet, IEEE TPAMI 2017, arXiv:1511.00561",
        year=2017,
        output_stride=1,
        published="60.1 mIoU on CamVid test, 11 classes (the paper, table 3)",
        sizes=(
            # Neither table says for how many classes; one more is 577 parameters.
            PublishedSize(29.46, 19, {}, "ENet's paper, table 3", tolerance=0.001),
            PublishedSize(29.5, 11, {}, "FC-DenseNet's paper, table 3", tolerance=0.002),
        ),
    )
    smallest = {"width": 4}
    classifier = "classify"
    needs_fp32 = True

    def __init__(self, classes: int, options: SegNetOptions | None = None) -> None:
        super().__init__(classes, options)
        width: int = self.options.width
        self.encoder = vgg16_encoder(width, batch_norm=True)
        channels = mirrored_channels(width)
        channels[0].pop()  # The classifier is the mirror of the encoder's first convolution.
        self.decoder = nn.ModuleList(
            nn.Sequential(
                *(
                    conv_unit(nn.Conv2d(inside, out, 3, padding=1), batch_norm=True)
                    for inside, out in stage
                )
            )
            for stage in channels
        )
        self.classify = nn.Conv2d(width, classes, 3, padding=1)
        # The paper's choice for encoder and decoder.
        self.apply(initialise)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        x = pad_to_multiple(image, 2 ** len(self.encoder))
        x, indices = encode_with_indices(self.encoder, x)
        x = decode_with_indices(self.decoder, x, indices)
        return self.classify(x)[..., :height, :width]

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        width = vgg16_width(state_dict, batch_norm=True)
        coarse = state_dict.get("decoder.4.2.conv.weight")
        head = state_dict.get("classify.weight")
        if width is None or coarse is None or head is None or "fc6.conv.weight" in state_dict:
            return None
        if coarse.ndim != 4 or head.ndim != 4 or tuple(head.shape[1:]) != (width, 3, 3):
            return None
        return Recognition("segstudio", SegNetOptions(width), int(head.shape[0]))
