"""An independent PyTorch build of Deep Video Prior's U-Net, the reference's and that of the port."""

import torch
import torch.nn.functional as F
from torch import nn


def doubled(x: torch.Tensor, rule: str) -> torch.Tensor:
    """[B,C,h,w] -> [B,C,2h,2w] bilinear; `legacy`: source = target/2, the border repeated."""
    if rule != "legacy":
        corners = rule == "align_corners"
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=corners)
    for axis in (2, 3):
        count = x.shape[axis]
        after = x.index_select(axis, torch.arange(1, count + 1).clamp(max=count - 1))
        x = torch.stack((x, (x + after) / 2), axis + 1).flatten(axis, axis + 1)
    return x


class UNet(nn.Module):
    """Modules are named as our parameters."""

    def __init__(self, outputs: int, width: int, *, port: bool, rule: str):
        super().__init__()
        self.port, self.rule = port, rule
        wide = [width, 2 * width, 4 * width, 8 * width, 16 * width]

        def conv(name: str, inputs: int, features: int, size: int = 3, bias: bool = not port):
            self.add_module(name, nn.Conv2d(inputs, features, size, padding=size // 2, bias=bias))

        inputs = 3
        for block, features in enumerate(wide, start=1):
            conv(f"conv{block}_1", inputs, features, 1 if block == 1 and not port else 3)
            conv(f"conv{block}_2", features, features)
            inputs = features
        for number, features in enumerate(reversed(wide[:-1]), start=1):
            conv(f"up_{number}", 2 * features, features, bias=True)
            conv(f"conv{5 + number}_1", 2 * features, features)
            if number < 4 or port:
                conv(f"conv{5 + number}_2", features, features)
        conv("output" if port else "conv9_2", width, outputs, 1 if port else 3, bias=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        def act(x: torch.Tensor) -> torch.Tensor:
            return F.relu(x) if self.port else torch.maximum(0.2 * x, x)

        def layer(name: str, x: torch.Tensor) -> torch.Tensor:
            return getattr(self, name)(x)

        encoded = []
        for block in range(1, 6):
            x = F.max_pool2d(x, 2) if block > 1 else x
            x = act(layer(f"conv{block}_2", act(layer(f"conv{block}_1", x))))
            encoded.append(x)
        for number in range(1, 5):
            x = layer(f"up_{number}", doubled(x, self.rule))
            x = act(layer(f"conv{5 + number}_1", torch.cat((x, encoded[4 - number]), 1)))
            if number < 4 or self.port:
                x = act(layer(f"conv{5 + number}_2", x))
        return layer("output" if self.port else "conv9_2", x)
