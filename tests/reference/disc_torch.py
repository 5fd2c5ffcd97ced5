"""The VGG-style discriminators in PyTorch, built a second time from the sheet.

Nothing of jaxsr is imported. The modules carry the names of their repositories.
"""

import torch.nn.functional as F
from reference.residual_torch import conv
from torch import nn


def _pairs(f, stages, size, bias):
    """(stage, place, convolution, normalisation or None) of a VGG discriminator."""
    a = 3
    for i in range(stages):
        b = f * min(2**i, 8)
        first = i == 0
        yield i, 0, conv(a, b, bias=bias or first), None if first else nn.BatchNorm2d(b)
        yield i, 1, conv(b, b, size, 2, 1, bias=bias), nn.BatchNorm2d(b)
        a = b


class VGGStyle(nn.Module):
    """BasicSR VGGStyleDiscriminator for size 4·2^stages."""

    def __init__(self, f=64, stages=5):
        super().__init__()
        self.order = []
        for i, j, layer, norm in _pairs(f, stages, 4, False):
            self.add_module(f"conv{i}_{j}", layer)
            if norm:
                self.add_module(f"bn{i}_{j}", norm)
            self.order.append((f"conv{i}_{j}", f"bn{i}_{j}" if norm else ""))
        self.linear1 = nn.Linear(f * min(2 ** (stages - 1), 8) * 16, 100)
        self.linear2 = nn.Linear(100, 1)

    def forward(self, x):
        for layer, norm in self.order:
            x = getattr(self, layer)(x)
            x = F.leaky_relu(getattr(self, norm)(x) if norm else x, 0.2)
        return self.linear2(F.leaky_relu(self.linear1(x.flatten(1)), 0.2))


def _sequence(f, stages, size):
    layers = []
    for _, _, layer, norm in _pairs(f, stages, size, True):
        layers += [layer, *([norm] if norm else []), nn.LeakyReLU(0.2)]
    return layers


class OldVGG(nn.Module):
    """BasicSR before 2020 (size side·2^stages), and SRGAN's with size 3 and hidden 1024."""

    def __init__(self, f=64, stages=5, side=4, size=4, hidden=100):
        super().__init__()
        self.features = nn.Sequential(*_sequence(f, stages, size))
        flat = f * min(2 ** (stages - 1), 8) * side**2
        self.classifier = nn.Sequential(
            nn.Linear(flat, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1)
        )

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class PooledVGG(nn.Module):
    """leftthomas/SRGAN Discriminator, without its sigmoid."""

    def __init__(self, f=64, hidden=1024):
        super().__init__()
        self.net = nn.Sequential(
            *_sequence(f, 4, 3),
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(8 * f, hidden, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(hidden, 1, 1),
        )

    def forward(self, x):
        return self.net(x).flatten(1)
