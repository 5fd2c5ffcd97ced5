"""The residual networks in PyTorch, built a second time from the sheets.

Nothing of jaxsr is imported. Every module carries the names of its repository, so that a strict
load of a state dict proves the names.
"""

import torch
import torch.nn.functional as F
from torch import nn

MEAN = (0.4488, 0.4371, 0.4040)


def conv(a, b, k=3, stride=1, pad=None, bias=True, groups=1):
    return nn.Conv2d(a, b, k, stride, k // 2 if pad is None else pad, bias=bias, groups=groups)


def factors(scale):
    return [3] if scale == 3 else {1: [], 2: [2], 4: [2, 2], 8: [2, 2, 2]}[scale]


class _Leftthomas(nn.Module):
    def __init__(self, f, shared=True, bias=True):
        super().__init__()
        self.conv1, self.bn1 = conv(f, f, bias=bias), nn.BatchNorm2d(f)
        self.prelu = nn.PReLU(1 if shared else f)
        self.conv2, self.bn2 = conv(f, f, bias=bias), nn.BatchNorm2d(f)

    def forward(self, x):
        y = self.prelu(self.bn1(self.conv1(x)))
        return x + self.bn2(self.conv2(y))


class _UpPReLU(nn.Module):
    def __init__(self, f, r, shared=True):
        super().__init__()
        self.conv, self.prelu = conv(f, f * r * r), nn.PReLU(1 if shared else f)
        self.shuffle = nn.PixelShuffle(r)

    def forward(self, x):
        return self.prelu(self.shuffle(self.conv(x)))


class SRGANGenerator(nn.Module):
    """leftthomas' names; with tanh False the paper's range, shared and bias its four counts."""

    def __init__(self, scale=4, f=64, blocks=16, tanh=True, shared=True, bias=True, head=9, tail=9):
        super().__init__()
        self.blocks, self.tanh = blocks, tanh
        self.block1 = nn.Sequential(conv(3, f, head), nn.PReLU(1 if shared else f))
        for i in range(blocks):
            self.add_module(f"block{i + 2}", _Leftthomas(f, shared, bias))
        end = nn.Sequential(conv(f, f, bias=bias), nn.BatchNorm2d(f))
        self.add_module(f"block{blocks + 2}", end)
        ups = [_UpPReLU(f, r, shared) for r in factors(scale)]
        self.add_module(f"block{blocks + 3}", nn.Sequential(*ups, conv(f, 3, tail)))

    def forward(self, x):
        first = y = self.block1(x)
        for i in range(self.blocks + 1):
            y = getattr(self, f"block{i + 2}")(y)
        y = getattr(self, f"block{self.blocks + 3}")(first + y)
        return ((torch.tanh(y) if self.tanh else y) + 1) / 2


class _Twtygqyy(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.conv1, self.in1 = conv(f, f, bias=False), nn.InstanceNorm2d(f, affine=True)
        self.conv2, self.in2 = conv(f, f, bias=False), nn.InstanceNorm2d(f, affine=True)

    def forward(self, x):
        return x + self.in2(self.conv2(F.leaky_relu(self.in1(self.conv1(x)), 0.2)))


class NetG(nn.Module):
    """twtygqyy/pytorch-SRResNet."""

    def __init__(self, f=64, blocks=16):
        super().__init__()
        self.conv_input = conv(3, f, 9, bias=False)
        self.residual = nn.Sequential(*[_Twtygqyy(f) for _ in range(blocks)])
        self.conv_mid, self.bn_mid = conv(f, f, bias=False), nn.InstanceNorm2d(f, affine=True)
        stage = [conv(f, 4 * f, bias=False), nn.PixelShuffle(2), nn.LeakyReLU(0.2)]
        again = [conv(f, 4 * f, bias=False), nn.PixelShuffle(2), nn.LeakyReLU(0.2)]
        self.upscale4x = nn.Sequential(*stage, *again)
        self.conv_output = conv(f, 3, 9, bias=False)

    def forward(self, x):
        first = F.leaky_relu(self.conv_input(x), 0.2)
        y = self.bn_mid(self.conv_mid(self.residual(first)))
        return self.conv_output(self.upscale4x(first + y))


class _Plain(nn.Module):
    def __init__(self, f, scale=1.0):
        super().__init__()
        self.conv1, self.conv2, self.scale = conv(f, f), conv(f, f), scale

    def forward(self, x):
        return x + self.scale * self.conv2(F.relu(self.conv1(x)))


class MSRResNet(nn.Module):
    def __init__(self, scale=4, f=64, blocks=16):
        super().__init__()
        self.scale = scale
        self.conv_first = conv(3, f)
        self.body = nn.Sequential(*[_Plain(f) for _ in range(blocks)])
        for i, r in enumerate(factors(scale), start=1):
            self.add_module(f"upconv{i}", conv(f, f * r * r))
        self.conv_hr, self.conv_last = conv(f, f), conv(f, 3)

    def forward(self, x):
        y = self.body(F.leaky_relu(self.conv_first(x), 0.1))
        for i, r in enumerate(factors(self.scale), start=1):
            y = F.leaky_relu(F.pixel_shuffle(getattr(self, f"upconv{i}")(y), r), 0.1)
        y = self.conv_last(F.leaky_relu(self.conv_hr(y), 0.1))
        base = F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return y + base


class EDSR(nn.Module):
    """BasicSR's names; its mean is no buffer."""

    def __init__(self, scale=4, f=256, blocks=32, residual_scale=0.1, levels=255.0):
        super().__init__()
        self.levels = levels
        self.conv_first = conv(3, f)
        self.body = nn.Sequential(*[_Plain(f, residual_scale) for _ in range(blocks)])
        self.conv_after_body = conv(f, f)
        ups = [m for r in factors(scale) for m in (conv(f, f * r * r), nn.PixelShuffle(r))]
        self.upsample = nn.Sequential(*ups)
        self.conv_last = conv(f, 3)

    def forward(self, x):
        mean = torch.tensor(MEAN).view(1, 3, 1, 1)
        y = self.conv_first((x - mean) * self.levels)
        y = y + self.conv_after_body(self.body(y))
        return self.conv_last(self.upsample(y)) / self.levels + mean


class _SonBlock(nn.Module):
    def __init__(self, f, scale):
        super().__init__()
        self.body, self.scale = nn.Sequential(conv(f, f), nn.ReLU(), conv(f, f)), scale

    def forward(self, x):
        return x + self.body(x) * self.scale


def _shift(levels, sign):
    layer = nn.Conv2d(3, 3, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(3).view(3, 3, 1, 1))
        layer.bias.copy_(sign * levels * torch.tensor(MEAN))
    return layer.requires_grad_(False)


class EDSRSon(nn.Module):
    """sanghyun-son/EDSR-PyTorch: takes and gives levels 0..`levels`."""

    def __init__(self, scale=4, f=256, blocks=32, residual_scale=0.1, levels=255.0):
        super().__init__()
        self.sub_mean, self.add_mean = _shift(levels, -1), _shift(levels, 1)
        self.head = nn.Sequential(conv(3, f))
        self.body = nn.Sequential(
            *[_SonBlock(f, residual_scale) for _ in range(blocks)], conv(f, f)
        )
        ups = [m for r in factors(scale) for m in (conv(f, f * r * r), nn.PixelShuffle(r))]
        self.tail = nn.Sequential(nn.Sequential(*ups), conv(f, 3))

    def forward(self, x):
        y = self.head(self.sub_mean(x))
        return self.add_mean(self.tail(y + self.body(y)))


class _Dense(nn.Module):
    def __init__(self, f, g):
        super().__init__()
        for k in range(1, 6):
            self.add_module(f"conv{k}", conv(f + (k - 1) * g, f if k == 5 else g))

    def forward(self, x):
        seen = [x]
        for k in range(1, 5):
            y = getattr(self, f"conv{k}")(torch.cat(seen, 1))
            seen.append(F.leaky_relu(y, 0.2))
        return x + 0.2 * self.conv5(torch.cat(seen, 1))


class _RRDB(nn.Module):
    def __init__(self, f, g):
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (_Dense(f, g) for _ in range(3))

    def forward(self, x):
        return x + 0.2 * self.rdb3(self.rdb2(self.rdb1(x)))


class RRDBNet(nn.Module):
    """The names of BasicSR."""

    def __init__(self, scale=4, f=64, blocks=23, growth=32):
        super().__init__()
        self.fold = 4 // scale
        self.conv_first = conv(3 * self.fold**2, f)
        self.body = nn.Sequential(*[_RRDB(f, growth) for _ in range(blocks)])
        self.conv_body = conv(f, f)
        self.conv_up1, self.conv_up2, self.conv_hr = conv(f, f), conv(f, f), conv(f, f)
        self.conv_last = conv(f, 3)

    def forward(self, x):
        y = self.conv_first(F.pixel_unshuffle(x, self.fold))
        y = y + self.conv_body(self.body(y))
        for up in (self.conv_up1, self.conv_up2):
            y = F.leaky_relu(up(F.interpolate(y, scale_factor=2, mode="nearest")), 0.2)
        return self.conv_last(F.leaky_relu(self.conv_hr(y), 0.2))


def rrdb_old_names(state, kind):
    """A state dict of RRDBNet under the names of xinntao/ESRGAN or of BasicSR before 2019."""
    blocks = 1 + max(int(n.split(".")[1]) for n in state if n.startswith("body."))
    ends = {
        "esrgan": ["conv_first", "trunk_conv", "upconv1", "upconv2", "HRconv", "conv_last"],
        "old": ["model.0", f"model.1.sub.{blocks}", "model.3", "model.6", "model.8", "model.10"],
    }[kind]
    new = ["conv_first", "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"]
    plain = dict(zip(new, ends, strict=True))
    out = {}
    for name, value in state.items():
        parts = name.split(".")
        leaf = parts.pop()
        if parts[0] == "body":
            _, i, rdb, layer = parts
            stem = {"esrgan": f"RRDB_trunk.{i}.", "old": f"model.1.sub.{i}."}[kind]
            stem += rdb.upper() + "." + layer + (".0" if kind == "old" else "")
        else:
            stem = plain[parts[0]]
        out[f"{stem}.{leaf}"] = value
    return out


class _Body(nn.Module):
    """A module whose layers stand in `body`, and the ReLU behind it (with a skip where asked)."""

    def __init__(self, *layers, skip):
        super().__init__()
        self.body, self.skip = nn.Sequential(*layers), skip

    def forward(self, x):
        return F.relu(self.body(x) + x) if self.skip else self.body(x)


class _Cascade(nn.Module):
    def forward_cascade(self, x, units):
        seen, out = x, x
        for j, unit in enumerate(units, start=1):
            seen = torch.cat([seen, unit(out)], 1)
            out = getattr(self, f"c{j}")(seen)
        return out

    def add_fusions(self, f):
        for j in (1, 2, 3):
            self.add_module(f"c{j}", _Body(conv(f * (j + 1), f, 1), nn.ReLU(), skip=False))


class _CARNBlock(_Cascade):
    def __init__(self, f, groups, shared):
        super().__init__()
        self.shared = shared
        for j in (1,) if shared else (1, 2, 3):
            layers = [conv(f, f, groups=groups), nn.ReLU(), conv(f, f, groups=groups)]
            layers += [nn.ReLU(), conv(f, f, 1)] if shared else []
            self.add_module(f"b{j}", _Body(*layers, skip=True))
        self.add_fusions(f)

    def forward(self, x):
        units = [self.b1] * 3 if self.shared else [self.b1, self.b2, self.b3]
        return self.forward_cascade(x, units)


class _Shifter(nn.Module):
    def __init__(self, sign):
        super().__init__()
        self.shifter = _shift(1, sign)

    def forward(self, x):
        return self.shifter(x)


class CARN(_Cascade):
    """nmhkahn/CARN-pytorch; CARN-M with shared; three upsamplers with scale 0."""

    def __init__(self, scale=4, f=64, groups=1, shared=False):
        super().__init__()
        self.sub_mean, self.add_mean = _Shifter(-1), _Shifter(1)
        self.entry = conv(3, f)
        self.b1, self.b2, self.b3 = (_CARNBlock(f, groups, shared) for _ in range(3))
        self.add_fusions(f)
        self.upsample = nn.Module()
        for s in (scale,) if scale else (2, 3, 4):
            ups = [
                m
                for r in factors(s)
                for m in (conv(f, f * r * r, groups=groups), nn.ReLU(), nn.PixelShuffle(r))
            ]
            self.upsample.add_module("up" if scale else f"up{s}", _Body(*ups, skip=False))
        self.exit = conv(f, 3)

    def forward(self, x, scale=0):
        y = self.entry(self.sub_mean(x))
        y = self.forward_cascade(y, [self.b1, self.b2, self.b3])
        y = getattr(self.upsample, f"up{scale or ''}")(y)
        return self.add_mean(self.exit(y))


def randomise(module, seed, gain=0.7):
    """Random parameters and running statistics at which every layer shows; counters stay 0."""
    draw = torch.Generator().manual_seed(seed)
    frozen = {id(p) for p in module.parameters() if not p.requires_grad}
    with torch.no_grad():
        for name, p in [*module.named_parameters(), *module.named_buffers()]:
            if id(p) in frozen or p.ndim == 0:
                continue
            noise = torch.randn(p.shape, generator=draw)
            uniform = torch.rand(p.shape, generator=draw)
            if p.ndim > 1:
                p.copy_(gain * noise / p[0].numel() ** 0.5)
            elif name.endswith(("weight", "running_var")):
                p.copy_(0.5 + uniform)
            else:
                p.copy_(0.1 * noise)
    return module.eval()
