"""SFT-GAN in PyTorch, built a second time from the papers' tables: an oracle for the tests.

Nothing of jaxsr is imported. The modules carry the key names of the published files, so a state
dict of xinntao/SFTGAN or of BasicSR before v1.0 would load into the full-size ones.
"""

import re

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class SFTLayer(nn.Module):
    """gamma and beta from two pairs of 1x1 convolutions on the condition."""

    def __init__(self, features, condition, paper):
        super().__init__()
        self.SFT_scale_conv0 = nn.Conv2d(condition, condition, 1)
        self.SFT_scale_conv1 = nn.Conv2d(condition, features, 1)
        self.SFT_shift_conv0 = nn.Conv2d(condition, condition, 1)
        self.SFT_shift_conv1 = nn.Conv2d(condition, features, 1)
        self.paper = paper

    def forward(self, x, c):
        slope = 0.01 if self.paper else 0.1
        gamma = self.SFT_scale_conv1(F.leaky_relu(self.SFT_scale_conv0(c), slope))
        beta = self.SFT_shift_conv1(F.leaky_relu(self.SFT_shift_conv0(c), slope))
        return x * gamma + beta if self.paper else x * (gamma + 1) + beta


class SFTBlock(nn.Module):
    def __init__(self, features, condition, paper):
        super().__init__()
        self.sft0 = SFTLayer(features, condition, paper)
        self.conv0 = nn.Conv2d(features, features, 3, padding=1)
        self.sft1 = SFTLayer(features, condition, paper)
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.paper = paper

    def forward(self, x, c):
        u = self.sft0(x, c)
        if self.paper:
            u = self.sft1(self.conv0(F.relu(u)), c)
            return x + self.conv1(F.relu(u))
        u = self.sft1(F.relu(self.conv0(u)), c)
        return x + self.conv1(u)


class SFTNet(nn.Module):
    """Both variants; paper=True is SFT_Net_torch."""

    def __init__(self, paper, features=64, blocks=16, condition=32, hidden=128, classes=8):
        super().__init__()
        f, act = features, nn.LeakyReLU(0.1)
        self.conv0 = nn.Conv2d(3, f, 3, padding=1)
        self.sft_branch = nn.ModuleList(
            [SFTBlock(f, condition, paper) for _ in range(blocks)]
            + [SFTLayer(f, condition, paper), nn.Conv2d(f, f, 3, padding=1)]
        )
        self.CondNet = nn.Sequential(
            nn.Conv2d(classes, hidden, 4, 4),
            act,
            nn.Conv2d(hidden, hidden, 1),
            act,
            nn.Conv2d(hidden, hidden, 1),
            act,
            nn.Conv2d(hidden, hidden, 1),
            act,
            nn.Conv2d(hidden, condition, 1),
        )
        if paper:
            up = [
                m
                for _ in range(2)
                for m in (
                    nn.Upsample(scale_factor=2, mode="nearest"),
                    nn.Conv2d(f, f, 3, padding=1),
                    nn.ReLU(),
                )
            ]
        else:
            up = [
                m
                for _ in range(2)
                for m in (nn.Conv2d(f, 4 * f, 3, padding=1), nn.PixelShuffle(2), nn.ReLU())
            ]
        self.HR_branch = nn.Sequential(
            *up, nn.Conv2d(f, f, 3, padding=1), nn.ReLU(), nn.Conv2d(f, 3, 3, padding=1)
        )

    def forward(self, lq, seg):
        c = self.CondNet(seg)
        first = self.conv0(lq)
        x = first
        for block in self.sft_branch[:-1]:
            x = block(x, c)
        return self.HR_branch(first + self.sft_branch[-1](x))


class ResidualPair(nn.Module):
    def __init__(self, features):
        super().__init__()
        conv = [nn.Conv2d(features, features, 3, padding=1) for _ in range(2)]
        self.res = nn.Sequential(conv[0], nn.ReLU(), conv[1])

    def forward(self, x):
        return x + self.res(x)


class Shortcut(nn.Module):
    def __init__(self, sub):
        super().__init__()
        self.sub = sub

    def forward(self, x):
        return x + self.sub(x)


class SRResNet(nn.Module):
    """The residual network of BasicSR before June 2019, no normalisation, pixel shuffle."""

    def __init__(self, features=64, blocks=16, scale=4):
        super().__init__()
        f = features
        sub = nn.Sequential(
            *[ResidualPair(f) for _ in range(blocks)], nn.Conv2d(f, f, 3, padding=1)
        )
        up = []
        for r in [3] if scale == 3 else [2] * int(np.log2(scale)):
            up += [nn.Conv2d(f, f * r * r, 3, padding=1), nn.PixelShuffle(r), nn.ReLU()]
        self.model = nn.Sequential(
            nn.Conv2d(3, f, 3, padding=1),
            Shortcut(sub),
            *up,
            nn.Conv2d(f, f, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(f, 3, 3, padding=1),
        )

    def forward(self, lq):
        return self.model(lq)


class ACDVGG(nn.Module):
    """ACD_VGG_BN_96 for images of `size`."""

    def __init__(self, size=96, features=64, classes=8, hidden=100):
        super().__init__()
        f = features
        layers = [nn.Conv2d(3, f, 3, 1, 1), nn.LeakyReLU(0.1)]
        plan = [
            (f, f, 4),
            (f, 2 * f, 3),
            (2 * f, 2 * f, 4),
            (2 * f, 4 * f, 3),
            (4 * f, 4 * f, 4),
            (4 * f, 8 * f, 3),
            (8 * f, 8 * f, 4),
        ]
        for a, b, k in plan:
            layers += [
                nn.Conv2d(a, b, k, 2 if k == 4 else 1, 1),
                nn.BatchNorm2d(b),
                nn.LeakyReLU(0.1),
            ]
        self.feature = nn.Sequential(*layers)
        flat = 8 * f * (size // 16) ** 2
        self.gan = nn.Sequential(nn.Linear(flat, hidden), nn.LeakyReLU(0.1), nn.Linear(hidden, 1))
        self.cls = nn.Sequential(
            nn.Linear(flat, hidden), nn.LeakyReLU(0.1), nn.Linear(hidden, classes)
        )

    def forward(self, images):
        flat = self.feature(images).flatten(1)
        return self.gan(flat), self.cls(flat)


class VGG19Head(nn.Module):
    """torchvision's vgg19().features up to and including layer `last`, with its normalisation."""

    def __init__(self, last=34, widths=(64, 128, 256, 512, 512)):
        super().__init__()
        layers, channels = [], 3
        for width, count in zip(widths, (2, 2, 4, 4, 4)):
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers[: last + 1])

    def forward(self, images):
        mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
        return self.features((images - mean) / std)


VGG_INDEX = {
    "conv1_1": 0,
    "conv1_2": 2,
    "conv2_1": 5,
    "conv2_2": 7,
    "conv3_1": 10,
    "conv3_2": 12,
    "conv3_3": 14,
    "conv3_4": 16,
    "conv4_1": 19,
    "conv4_2": 21,
    "conv4_3": 23,
    "conv4_4": 25,
    "conv5_1": 28,
    "conv5_2": 30,
    "conv5_3": 32,
    "conv5_4": 34,
}
_LEAF = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


def to_torch(tree, flat_channels=None):
    """A jaxsr tree of parameters, gradients or statistics -> {published key: array}.

    `flat_channels`: channels of the map that the heads of a discriminator flatten; their first
    layers then go from the order (H,W,C) to (C,H,W).
    """
    out = {}

    def visit(prefix, node):
        for name, value in node.items():
            if isinstance(value, dict):
                name = f"features_{VGG_INDEX[name]}" if name in VGG_INDEX else name
                visit(prefix + [re.sub(r"_(\d+)$", r".\1", name)], value)
                continue
            value = np.asarray(value)
            if value.ndim == 4:
                value = value.transpose(3, 2, 0, 1)
            elif value.ndim == 2:
                if flat_channels and prefix[-1].endswith(".0"):
                    inputs, outputs = value.shape
                    side = int(round((inputs // flat_channels) ** 0.5))
                    value = value.reshape(side, side, flat_channels, outputs)
                    value = value.transpose(2, 0, 1, 3).reshape(inputs, outputs)
                value = value.T
            out[".".join(prefix + [_LEAF[name]])] = value

    visit([], tree)
    return out


def load(module, params, stats=None, flat_channels=None):
    """Copy jaxsr parameters (and batch statistics) into a module; every tensor must be met."""
    arrays = to_torch(params, flat_channels) | to_torch(stats or {})
    state = {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
    missing, unexpected = module.load_state_dict(state, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    assert not missing and not unexpected, (missing, unexpected)
    return module


def nchw(images):
    """NHWC array -> NCHW tensor."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).contiguous()


def nhwc(tensor):
    """NCHW tensor -> NHWC array."""
    return tensor.detach().permute(0, 2, 3, 1).numpy()


def gan_step(gen, disc, vgg, lq, seg, hq, label, *, adversarial=5e-3, classification=5e-3):
    """Losses and gradients of one step: G on the current D, then D on the image made before.

    Tensors NCHW, label int64 [B]. Returns (losses {name: float}, gradients of G and of D
    {key: array}). All networks in train mode: D normalises real and fake each by itself.
    """
    gen.train(), disc.train(), vgg.eval()
    ones, zeros = torch.ones(len(lq), 1), torch.zeros(len(lq), 1)
    bce = F.binary_cross_entropy_with_logits
    fake = gen(lq, seg)
    logit, classes = disc(fake)
    losses = {
        "perceptual": F.l1_loss(vgg(fake), vgg(hq).detach()),
        "adversarial": bce(logit, ones),
        "classification": F.cross_entropy(classes, label, ignore_index=0),
    }
    losses["gen"] = (
        losses["perceptual"]
        + adversarial * losses["adversarial"]
        + classification * losses["classification"]
    )
    gen_grads = _gradients(losses["gen"], gen)

    real_logit, real_classes = disc(hq)
    fake_logit, fake_classes = disc(fake.detach())
    losses["disc_adversarial"] = bce(real_logit, ones) + bce(fake_logit, zeros)
    losses["disc_classification"] = F.cross_entropy(
        real_classes, label, ignore_index=0
    ) + F.cross_entropy(fake_classes, label, ignore_index=0)
    losses["disc"] = losses["disc_adversarial"] + losses["disc_classification"]
    disc_grads = _gradients(losses["disc"], disc)
    return {name: value.item() for name, value in losses.items()}, gen_grads, disc_grads


def _gradients(loss, module):
    names, values = zip(*module.named_parameters())
    grads = torch.autograd.grad(loss, values)
    return {name: grad.numpy() for name, grad in zip(names, grads)}
