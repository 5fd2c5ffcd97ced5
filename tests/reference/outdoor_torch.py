"""SFT-GAN's segmenter in PyTorch, built from the table of its specification: an oracle for the tests.

Nothing of jaxsr is imported. The modules carry the key names of the published file.
"""

import torch
from torch import nn


def unit(inputs, outputs, size=3, *, stride=1, dilation=1, relu=True):
    pad = dilation * (size // 2)
    conv = nn.Conv2d(inputs, outputs, size, stride, pad, dilation, bias=False)
    return [conv, nn.BatchNorm2d(outputs)] + [nn.ReLU()] * relu


class Res131(nn.Module):
    def __init__(self, inputs, middle, outputs, dilation=1, stride=1):
        super().__init__()
        self.res = nn.Sequential(
            *unit(inputs, middle, 1),
            *unit(middle, middle, stride=stride, dilation=dilation),
            *unit(middle, outputs, 1, relu=False),
        )
        if inputs != outputs:
            self.proj = nn.Sequential(*unit(inputs, outputs, 1, stride=stride, relu=False))

    def forward(self, x):
        shortcut = self.proj(x) if hasattr(self, "proj") else x
        return torch.relu(shortcut + self.res(x))


class OutdoorSceneSeg(nn.Module):
    """BGR levels minus the mean [B,3,H,W] -> logits; the published module ends in a softmax."""

    def __init__(self, features=64, blocks=(3, 4, 23, 3), classes=8):
        super().__init__()
        f = features
        layers = [*unit(3, f, stride=2), *unit(f, f), *unit(f, 2 * f)]
        layers.append(nn.MaxPool2d(3, 2, padding=0, ceil_mode=True))
        inputs = 2 * f
        for count, (middle, dilation, stride) in zip(
            blocks, ((f, 1, 1), (2 * f, 1, 2), (4 * f, 2, 1), (8 * f, 4, 1))
        ):
            for i in range(count):
                layers.append(Res131(inputs, middle, 4 * middle, dilation, 1 if i else stride))
                inputs = 4 * middle
        layers += [*unit(inputs, 8 * f), nn.Dropout(0.1), nn.Conv2d(8 * f, classes, 1)]
        self.feature = nn.Sequential(*layers)
        self.deconv = nn.ConvTranspose2d(
            classes, classes, 16, stride=8, padding=4, groups=classes, bias=False
        )

    def forward(self, x):
        return self.deconv(self.feature(x))


def to_bgr(rgb):
    """RGB in [0,1] [B,3,H,W] -> BGR levels 0..255 minus the mean."""
    mean = torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    return 255 * rgb.flip(1) - mean
