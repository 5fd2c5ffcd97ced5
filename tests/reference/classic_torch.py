"""The classic luminance networks in PyTorch, built a second time from the sheet: oracles for tests.

Nothing of jaxsr is imported. Modules carry the names of the published state dicts, so that a strict
load proves an export; networks published by TensorFlow, MatConvNet and Caffe are functions of the
arrays of their files, under those files' names and in those files' layouts.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def nchw(x):
    return torch.from_numpy(np.array(x, np.float32).transpose(0, 3, 1, 2).copy())


def nhwc(x):
    return x.detach().numpy().transpose(0, 2, 3, 1)


def loaded(module, arrays):
    """The module with these arrays as its state dict, strictly, in evaluation mode."""
    state = {name: torch.from_numpy(np.array(a)) for name, a in arrays.items()}
    module.load_state_dict(state, strict=True)
    return module.eval()


class SRCNN(nn.Module):
    def __init__(self, kernels=(9, 5, 5), features=(64, 32), channels=1):
        super().__init__()
        for i, (size, inputs, outputs) in enumerate(
            zip(kernels, (channels, *features), (*features, channels), strict=True), start=1
        ):
            setattr(self, f"conv{i}", nn.Conv2d(inputs, outputs, size, padding=size // 2))

    def forward(self, x):
        return self.conv3(F.relu(self.conv2(F.relu(self.conv1(x)))))


def srcnn_edges(arrays, x):
    """Arrays conv1/kernel (HWIO), conv1/bias, ...; every layer sees its input with repeated edges."""
    for i in (1, 2, 3):
        kernel = torch.from_numpy(np.array(arrays[f"conv{i}/kernel"], np.float32))
        pad = kernel.shape[0] // 2
        x = F.pad(x, (pad, pad, pad, pad), mode="replicate") if pad else x
        x = F.conv2d(x, kernel.permute(3, 2, 0, 1), torch.tensor(arrays[f"conv{i}/bias"]).float())
        x = F.relu(x) if i < 3 else x
    return x


def from_matlab(arrays):
    """The arrays of the authors' demo as those of srcnn_edges, element by element of its loops."""
    held = {}
    for i in (1, 2, 3):
        weights = arrays[f"weights_conv{i}"]
        if i == 1:
            weights = weights[None]  # one input: (1, k², outputs)
        elif i == 3:
            weights = weights[:, :, None]  # one output: (inputs, k², 1)
        inputs, area, outputs = weights.shape
        size = round(area**0.5)
        kernel = np.zeros((size, size, inputs, outputs), np.float32)
        for place in range(area):
            kernel[place % size, place // size] = weights[:, place]
        held[f"conv{i}/kernel"] = kernel
        held[f"conv{i}/bias"] = arrays[f"biases_conv{i}"][:, 0]
    return held


class FSRCNN(nn.Module):
    def __init__(self, scale, d=56, s=12, m=4, channels=1):
        super().__init__()
        self.first_part = nn.Sequential(nn.Conv2d(channels, d, 5, padding=2), nn.PReLU(d))
        middle = [nn.Conv2d(d, s, 1), nn.PReLU(s)]
        for _ in range(m):
            middle += [nn.Conv2d(s, s, 3, padding=1), nn.PReLU(s)]
        self.mid_part = nn.Sequential(*middle, nn.Conv2d(s, d, 1), nn.PReLU(d))
        self.last_part = nn.ConvTranspose2d(
            d, channels, 9, stride=scale, padding=4, output_padding=scale - 1
        )

    def forward(self, x):
        return self.last_part(self.mid_part(self.first_part(x)))


def _hwio(arrays, name):
    return torch.from_numpy(np.ascontiguousarray(arrays[name].transpose(3, 2, 0, 1)))


def _vector(arrays, name):
    return torch.from_numpy(np.array(arrays[name]))


def _same(arrays, kernel, x, bias=None):
    weight = _hwio(arrays, kernel)
    bias = None if bias is None else _vector(arrays, bias)
    return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


def fsrcnn_graph(arrays, x, scale):
    """The frozen graph: relu(x) + 0.5·alpha·(x - |x|), bias of the last layer after the shuffle."""
    last = 1 + sum(name.startswith("alpha") for name in arrays)
    for i in range(1, last):
        x = _same(arrays, f"f{i}", x, f"b{i}")
        alpha = _vector(arrays, f"alpha{i}")[:, None, None]
        x = F.relu(x) + 0.5 * alpha * (x - x.abs())
    return F.pixel_shuffle(_same(arrays, f"f{last}", x), scale) + _vector(arrays, f"b{last}")


class ESPCN(nn.Module):
    def __init__(self, scale, channels=1):
        super().__init__()
        self.first_part = nn.Sequential(
            nn.Conv2d(channels, 64, 5, padding=2),
            nn.Tanh(),
            nn.Conv2d(64, 32, 3, padding=1),
            nn.Tanh(),
        )
        self.last_part = nn.Sequential(
            nn.Conv2d(32, channels * scale**2, 3, padding=1), nn.PixelShuffle(scale)
        )

    def forward(self, x):
        return self.last_part(self.first_part(x))


class ESPCNSigmoid(nn.Module):
    """The listing with a sigmoid: hidden widths (64, 64, 32) in the seed, (64, 32) at first."""

    def __init__(self, scale, widths=(64, 64, 32)):
        super().__init__()
        self.layers = len(widths) + 1
        pairs = zip((1, *widths), (*widths, scale**2), strict=True)
        for i, (inputs, outputs) in enumerate(pairs, start=1):
            size = 5 if i == 1 else 3
            setattr(self, f"conv{i}", nn.Conv2d(inputs, outputs, size, padding=size // 2))
        self.scale = scale

    def forward(self, x):
        for i in range(1, self.layers):
            x = torch.tanh(getattr(self, f"conv{i}")(x))
        x = getattr(self, f"conv{self.layers}")(x)
        return torch.sigmoid(F.pixel_shuffle(x, self.scale))


def espcn_graph(arrays, x, scale):
    """The frozen graph: ReLU, ReLU, depth to space, tanh."""
    x = F.relu(_same(arrays, "f1", x, "b1"))
    x = F.relu(_same(arrays, "f2", x, "b2"))
    return torch.tanh(F.pixel_shuffle(_same(arrays, "f3", x, "b3"), scale))


class _ConvReLU(nn.Module):
    def __init__(self, features, bias):
        super().__init__()
        self.conv = nn.Conv2d(features, features, 3, padding=1, bias=bias)

    def forward(self, x):
        return F.relu(self.conv(x))


class VDSR(nn.Module):
    def __init__(self, depth=20, features=64, bias=False):
        super().__init__()
        self.input = nn.Conv2d(1, features, 3, padding=1, bias=bias)
        self.residual_layer = nn.Sequential(*(_ConvReLU(features, bias) for _ in range(depth - 2)))
        self.output = nn.Conv2d(features, 1, 3, padding=1, bias=bias)

    def forward(self, x):
        return x + self.output(self.residual_layer(F.relu(self.input(x))))


def _stack(arrays, names, x):
    """Convolutions name/kernel (HWIO), name/bias with ReLU between."""
    for i, name in enumerate(names):
        x = _same(arrays, f"{name}/kernel", F.relu(x) if i else x, f"{name}/bias")
    return x


def vdsr_arrays(arrays, x):
    """conv0 ... of the MATLAB weights."""
    return x + _stack(arrays, [f"conv{i}" for i in range(len(arrays) // 2)], x)


def dncnn_arrays(arrays, x):
    """layer00, layer02, ... of the MatConvNet weights."""
    return x - _stack(arrays, [f"layer{i:02}" for i in range(0, len(arrays), 2)], x)


class DnCNN(nn.Module):
    """The sequence is called `prefix`; bias: all, unnormalised (none before BN) or first."""

    def __init__(self, prefix="model", depth=17, features=64, channels=1, norm=False, bias="all"):
        super().__init__()
        layers = [nn.Conv2d(channels, features, 3, padding=1), nn.ReLU()]
        for _ in range(depth - 2):
            layers.append(nn.Conv2d(features, features, 3, padding=1, bias=bias == "all"))
            layers += [nn.BatchNorm2d(features, eps=1e-4, momentum=0.9)] * norm + [nn.ReLU()]
        layers.append(nn.Conv2d(features, channels, 3, padding=1, bias=bias != "first"))
        self.prefix = prefix
        setattr(self, prefix, nn.Sequential(*layers))

    def forward(self, x):
        return x - getattr(self, self.prefix)(x)


def _matconvnet_transposed(arrays, name, x, crop, bias=None):
    """vl_nnconvt with upsampling 2; crop (top, bottom, left, right) of the full output."""
    weight = torch.from_numpy(np.ascontiguousarray(arrays[name].transpose(3, 2, 0, 1)))
    y = F.conv_transpose2d(x, weight, None if bias is None else _vector(arrays, bias), stride=2)
    top, bottom, left, right = crop
    return y[:, :, top : y.shape[2] - bottom, left : y.shape[3] - right]


def _leaky(x):
    return F.leaky_relu(x, 0.2)


def lapsrn(arrays, x, *, levels, depth):
    """The DAG of LapSRN_x*.layers.txt; level numbers count down."""
    image, x = x, _leaky(_same(arrays, "input_conv_f", x, "input_conv_b"))
    for level in (f"level{n}" for n in range(levels, 0, -1)):
        for i in range(1, depth + 1):
            x = _leaky(_same(arrays, f"{level}_conv{i}_f", x, f"{level}_conv{i}_b"))
        up = f"{level}_upconv"
        x = _leaky(_matconvnet_transposed(arrays, f"{up}_f", x, (0, 1, 0, 1), f"{up}_b"))
        image = _matconvnet_transposed(arrays, f"{level}_img_up_f", image, (1, 1, 1, 1))
        image = image + _same(arrays, f"{level}_residual_conv_f", x, f"{level}_residual_conv_b")
    return image


def mslapsrn(arrays, x, *, levels, recursions, depth, skip):
    """The DAG of MSLapSRN_D5R8.layers.txt for one scale."""
    image, level = x, _same(arrays, "input_conv_f", x, "input_conv_b")
    for _ in range(levels):
        state = level
        for _ in range(recursions):
            y = state
            for i in range(1, depth + 1):
                y = _same(arrays, f"conv{i}_f", _leaky(y), f"conv{i}_b")
            state = y + level if skip == "SS" else y + state if skip == "DS" else y
        level = _matconvnet_transposed(arrays, "upconv_f", _leaky(state), (0, 1, 0, 1), "upconv_b")
        image = _matconvnet_transposed(arrays, "img_up_f", image, (1, 1, 1, 1))
        image = image + _same(arrays, "residual_conv_f", level, "residual_conv_b")
    return image


def idn_residual(arrays, x, scale, padding=8):
    """Blob `upsample` of IDN_x*_deploy.prototxt: without the bicubic image.

    s(H - 1) + 1 rows with the published padding.
    """

    def conv(name, x):
        weight = _vector(arrays, f"{name}.0")
        groups = x.shape[1] // weight.shape[1]
        y = F.conv2d(
            x, weight, _vector(arrays, f"{name}.1"), padding=weight.shape[-1] // 2, groups=groups
        )
        return F.leaky_relu(y, 0.05)

    x = conv("conv2", conv("conv1", x))
    quarter = x.shape[1] // 4
    for block in range(1, 5):
        y = x
        for i in (1, 2, 3):
            y = conv(f"conv{block + 2}_{i}", y)
        aside, y = y[:, :quarter], y[:, quarter:]
        for i in (4, 5, 6):
            y = conv(f"conv{block + 2}_{i}", y)
        x = conv(f"down{block}", y + torch.cat([x, aside], 1))
    return F.conv_transpose2d(
        x,
        _vector(arrays, "upsample.0"),
        _vector(arrays, "upsample.1"),
        stride=scale,
        padding=padding,
    )
