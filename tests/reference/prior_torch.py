"""An independent PyTorch build of Deep Image Prior's networks, and of its fit, with PyTorch's own start.

Written from the tables of the networks and the description of the loop alone. Sections are those of our
configs; modules are named as our parameters, so that `load` can give both the same weights.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

ACTIVATIONS = {
    "leaky_relu": nn.LeakyReLU(0.2),
    "elu": nn.ELU(),
    "swish": nn.SiLU(),
    "none": nn.Identity(),
}


class Units(nn.Module):
    """Convolution, batch normalisation of the batch at hand, activation; for each size."""

    def __init__(self, inputs, features, sizes, section, *, stride=1, pool=False, join=False):
        super().__init__()
        mode = "reflect" if section["pad"] == "reflection" else "zeros"
        self.join = nn.BatchNorm2d(inputs) if join else None
        self.act, self.pool, self.count = ACTIVATIONS[section["activation"]], pool, len(sizes)
        for number, size in enumerate(sizes, start=1):
            conv = nn.Conv2d(
                inputs, features, size, stride if number == 1 else 1, size // 2, padding_mode=mode
            )
            self.add_module(f"conv{number}", conv)
            self.add_module(f"norm{number}", nn.BatchNorm2d(features))
            inputs = features

    def forward(self, x):
        if self.join is not None:
            x = self.join(x)
        for number in range(1, self.count + 1):
            x = getattr(self, f"conv{number}")(x)
            if self.pool and number == 1:
                x = F.avg_pool2d(x, 2)
            x = self.act(getattr(self, f"norm{number}")(x))
        return x


class Skip(nn.Module):
    """The hourglass of a section `networks.gen` named skip_net, for a code of `channels` maps."""

    def __init__(self, section: Mapping[str, Any], channels: int):
        super().__init__()
        self.section, self.scales, inputs = section, len(section["skip"]), channels
        pool = section["reduce"] == "avg"
        assert pool or section["reduce"] == "stride"
        for n, (thin, wide) in enumerate(zip(section["skip"], section["down"]), start=1):
            if thin:
                self.add_module(f"skip{n}", Units(inputs, thin, (1,), section))
            sizes = (section["down_sizes"][n - 1],) * 2
            made = Units(inputs, wide, sizes, section, stride=1 if pool else 2, pool=pool)
            self.add_module(f"down{n}", made)
            inputs = wide
        for n in range(self.scales, 0, -1):
            thin, wide = section["skip"][n - 1], section["up"][n - 1]
            sizes = (section["up_sizes"][n - 1],) + ((1,) if section["mix"] else ())
            self.add_module(f"up{n}", Units(inputs + thin, wide, sizes, section, join=True))
            inputs = wide
        self.output = nn.Conv2d(inputs, section["outputs"], 1)

    def forward(self, x):
        kept = []
        for n, thin in enumerate(self.section["skip"], start=1):
            kept.append(getattr(self, f"skip{n}")(x) if thin else None)
            x = getattr(self, f"down{n}")(x)
        for n in range(self.scales, 0, -1):
            mode = self.section["enlarge"][n - 1]
            corners = {} if mode == "nearest" else {"align_corners": False}
            x = F.interpolate(x, scale_factor=2, mode=mode, **corners)
            if kept[n - 1] is not None:
                size = [min(a, b) for a, b in zip(kept[n - 1].shape[2:], x.shape[2:])]
                x = torch.cat([middle(kept[n - 1], size), middle(x, size)], 1)
            x = getattr(self, f"up{n}")(x)
        x = self.output(x)
        return torch.sigmoid(x) if self.section["sigmoid"] else x


class ResNet(nn.Module):
    """The residual network of a section named prior_resnet."""

    def __init__(self, section: Mapping[str, Any], channels: int):
        super().__init__()
        wide, self.blocks = section["features"], section["blocks"]
        self.head = nn.Conv2d(channels, wide, 3, padding=1, padding_mode="reflect")
        for n in range(1, self.blocks + 1):
            for half in (1, 2):
                plain = nn.Conv2d(wide, wide, 3, padding=1, bias=False)
                self.add_module(f"block{n}_conv{half}", plain)
                self.add_module(f"block{n}_norm{half}", nn.BatchNorm2d(wide))
        self.tail = nn.Conv2d(wide, wide, 3, padding=1)
        self.tail_norm = nn.BatchNorm2d(wide)
        self.output = nn.Conv2d(wide, section["outputs"], 3, padding=1, padding_mode="reflect")

    def forward(self, x):
        x = F.leaky_relu(self.head(x), 0.2)
        for n in range(1, self.blocks + 1):
            conv1, norm1, conv2, norm2 = (
                getattr(self, f"block{n}_{part}{half}")
                for half in (1, 2)
                for part in ("conv", "norm")
            )
            x = x + norm2(conv2(F.leaky_relu(norm1(conv1(x)), 0.2)))
        return torch.sigmoid(self.output(self.tail_norm(self.tail(x))))


class UNet(nn.Module):
    """The U-Net of a section named prior_unet: transposed convolutions, plain normalisation."""

    def __init__(self, section: Mapping[str, Any], channels: int):
        super().__init__()
        assert section["enlarge"] == "deconv" and not section["scale_and_shift"]
        widths = [*section["widths"]] + [section["widths"][-1]] * section["deeper"]
        self.depth, inputs = len(widths) - 1, channels
        for n, wide in enumerate(widths):
            self._pair(f"down{n}" if n else "start", inputs, wide)
            inputs = wide
        for n in range(self.depth, 0, -1):
            wide = widths[n - 1]
            self.add_module(f"up{n}_enlarge", nn.ConvTranspose2d(inputs, wide, 4, 2, 1))
            self._pair(f"up{n}", 2 * wide, wide)
            inputs = wide
        self.output = nn.Conv2d(inputs, section["outputs"], 1)

    def _pair(self, name, inputs, features):
        self.add_module(f"{name}_conv1", nn.Conv2d(inputs, features, 3, padding=1))
        self.add_module(f"{name}_conv2", nn.Conv2d(features, features, 3, padding=1))

    def forward(self, x):
        def twice(x, name, normalise):
            for half in (1, 2):
                x = getattr(self, f"{name}_conv{half}")(x)
                x = F.relu(F.instance_norm(x) if normalise else x)
            return x

        seen = [twice(x, "start", True)]
        for n in range(1, self.depth + 1):
            seen.append(twice(F.max_pool2d(seen[-1], 2), f"down{n}", True))
        x = seen.pop()
        for n in range(self.depth, 0, -1):
            x = getattr(self, f"up{n}_enlarge")(x)
            x = twice(torch.cat([x, middle(seen.pop(), x.shape[2:])], 1), f"up{n}", False)
        return torch.sigmoid(self.output(x))


NETWORKS = {"skip_net": Skip, "prior_resnet": ResNet, "prior_unet": UNet}


def middle(x, size):
    top, left = ((n - m) // 2 for n, m in zip(x.shape[2:], size))
    return x[:, :, top : top + size[0], left : left + size[1]]


def load(module: nn.Module, tree: Mapping[str, Any]) -> nn.Module:
    """Gives a module our parameters of the same names."""
    with torch.no_grad():
        for name, param in module.named_parameters():
            *path, last = name.split(".")
            held = tree
            for key in path:
                held = held[key]
            if "kernel" in held and last == "weight":
                value = np.transpose(np.array(held["kernel"]), (3, 2, 0, 1))
                if path[-1].endswith("_enlarge"):  # transposed: [I,O,h,w], and ours is flipped
                    value = np.swapaxes(value, 0, 1)[:, :, ::-1, ::-1]
            else:
                value = np.array(held["scale" if last == "weight" else "bias"])
            assert param.shape == value.shape, name
            param.copy_(torch.from_numpy(np.ascontiguousarray(value)))
    return module


def lanczos(x: torch.Tensor, factor: int) -> torch.Tensor:
    """The down-sampling operator: two lobes, phase 0.5, borders repeated."""
    taps = 4 * factor
    at = (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / factor
    line = torch.sinc(at) * torch.sinc(at / 2)
    line = (line / line.sum()).to(x.dtype)
    kernel = torch.outer(line, line).expand(x.shape[1], 1, taps, taps)
    pad = (taps - factor) // 2
    padded = F.pad(x, (pad,) * 4, mode="replicate")
    return F.conv2d(padded, kernel, stride=factor, groups=x.shape[1])


def step_of(
    net: nn.Module, z: torch.Tensor, target: torch.Tensor, mask: torch.Tensor, mover: Any,
    operator: Callable[[torch.Tensor], torch.Tensor], sigma: float,
) -> Callable[[], torch.Tensor]:  # fmt: skip
    """One step of the published loop, as a call that gives the output."""

    def step() -> torch.Tensor:
        mover.zero_grad()
        image = net(z + sigma * torch.randn_like(z)) if sigma else net(z)
        ((operator(image) - target) * mask).square().mean().backward()
        mover.step()
        return image.detach()

    return step


def fit(
    config: Mapping[str, Any], seen: Mapping[str, np.ndarray], *, seed: int, factor: int
) -> dict[str, np.ndarray]:
    """The fit that a config of ours describes to an observation: {"image", "average"}, [H,W,c].

    Backtracking is left out: it was never seen to act. The code is drawn by PyTorch.
    """
    torch.manual_seed(seed)
    code, shape = config["code"], seen["lq"].shape
    size = [factor * n for n in shape[:2]]
    z = torch.rand(1, code["channels"], *size) * code["scale"] if code["name"] == "noise" else None
    if code["name"] == "grid":
        rows, columns = (torch.linspace(0, 1, n) for n in size)
        z = torch.stack(torch.meshgrid(columns, rows, indexing="xy"))[None]
    if code["name"] == "guide":
        z = nchw(seen["guide"])
    gen = config["networks"]["gen"]
    net = NETWORKS[gen["name"]](gen, z.shape[1])
    mover = torch.optim.Adam(net.parameters(), lr=config["optimisers"]["gen"]["rate"]["peak"])
    mask = nchw(seen["mask"]) if "mask" in seen else torch.ones(1)

    def operator(image: torch.Tensor) -> torch.Tensor:
        return lanczos(image, factor) if factor > 1 else image

    step = step_of(net, z, nchw(seen["lq"]), mask, mover, operator, config["noise"]["peak"])
    average = None
    for _ in range(config["train"]["steps"]):
        image = step()
        decay = config["average"]
        average = image if average is None else decay * average + (1 - decay) * image
    with torch.no_grad():
        last = net(z)
    return {"image": nhwc(last), "average": nhwc(average)}


def nchw(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0)))[None]


def nhwc(image: torch.Tensor) -> np.ndarray:
    return np.moveaxis(image[0].numpy(), 0, -1)
