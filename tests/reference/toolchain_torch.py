"""Tools, agent and one A2C update of RL-Restore in plain PyTorch: a loop that groups images by tool.

Written from the sheet and the layers' tables, without jaxsr's environment: what the two must agree on.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

Held = dict[str, dict[str, torch.Tensor]]


def held(tree: Mapping[str, Any]) -> Held:
    """{layer: {kernel, bias}} of Flax as tensors; kernels as OIHW and [out,in]."""
    made: Held = {}
    for name, leaves in tree.items():
        leaves = leaves.get("gates", leaves)
        kernel = np.asarray(leaves["kernel"])
        kernel = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T
        made[name] = {
            "kernel": torch.tensor(kernel.copy()),
            "bias": torch.tensor(np.array(leaves["bias"])),
        }
    return made


def conv(x: torch.Tensor, layer: dict[str, torch.Tensor], *, stride: int = 1, zeros=None):
    kernel = layer["kernel"]
    if zeros is None:
        return F.conv2d(x, kernel, layer["bias"], padding=kernel.shape[-1] // 2)
    x = F.pad(x, (zeros[0], zeros[1], zeros[0], zeros[1]))
    return F.conv2d(x, kernel, layer["bias"], stride=stride)


def tool(p: Held, x: torch.Tensor) -> torch.Tensor:
    """[b,3,h,w] through a tool of three layers or of eight."""
    if "conv1_2" not in p:
        return x + conv(F.relu(conv(F.relu(conv(x, p["conv1"])), p["conv2"])), p["conv3"])
    s1 = conv(F.relu(conv(x, p["conv1"])), p["conv1_2"])
    s2 = s1 + conv(F.relu(conv(F.relu(s1), p["conv2"])), p["conv2a"])
    s3 = s2 + conv(F.relu(conv(F.relu(s2), p["conv2c"])), p["conv2d"])
    return x + conv(F.relu(conv(s3, p["conv2_2"])), p["conv3"])


def agent(p: Held, images: torch.Tensor, previous: torch.Tensor):
    """images [t,b,3,63,63], previous [t,b,n] -> logits [t,b,n+1], value [t,b]."""
    steps, batch = images.shape[:2]
    x = images.flatten(0, 1)
    for name, zeros in (("l1", (4, 4)), ("l2", (1, 2)), ("l3", (1, 2)), ("l4", (1, 2))):
        x = F.relu(conv(x, p[name], stride=2, zeros=zeros))
    x = x.permute(0, 2, 3, 1).reshape(steps * batch, -1)
    x = F.relu(F.linear(x, p["l7"]["kernel"], p["l7"]["bias"])).reshape(steps, batch, -1)
    c = h = torch.zeros(batch, 50)
    outputs = []
    for seen, before in zip(x, previous, strict=True):
        z = F.linear(torch.cat([seen, before, h], -1), p["lstm"]["kernel"], p["lstm"]["bias"])
        i, g, f, o = z.chunk(4, -1)
        c = c * torch.sigmoid(f + 1) + torch.sigmoid(i) * torch.tanh(g)
        h = torch.tanh(c) * torch.sigmoid(o)
        outputs.append(h)
    memory = torch.stack(outputs)
    logits = F.linear(memory, p["q"]["kernel"], p["q"]["bias"])
    return logits, F.linear(memory, p["value"]["kernel"], p["value"]["bias"])[..., 0]


def psnr(images: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return -10 * torch.log10((images - truth).square().mean((-3, -2, -1)) + 1e-10)


@torch.no_grad()
def follow(tools: Sequence[Held], lq: torch.Tensor, actions: np.ndarray) -> list[torch.Tensor]:
    """Images before each step and at the end, for actions [t,b]: groups of one tool at a time."""
    images = [lq]
    for taken in actions:
        now = images[-1].clone()
        for action in np.unique(taken[taken < len(tools)]):
            rows = torch.from_numpy(np.flatnonzero(taken == action))
            now[rows] = tool(tools[action], images[-1][rows])
        images.append(now)
    return images


@torch.no_grad()
def play(p: Held, tools: Sequence[Held], lq: torch.Tensor, *, steps: int, seed: int) -> np.ndarray:
    """Sampled chains, actions [t,b]; the network is called anew for all steps so far, as they come."""
    rng = torch.Generator().manual_seed(seed)
    images, before = [lq], [torch.zeros(len(lq), len(tools))]
    taken: list[np.ndarray] = []
    stopped = torch.zeros(len(lq), dtype=torch.bool)
    for _ in range(steps):
        logits, _ = agent(p, torch.stack(images), torch.stack(before))
        drawn = torch.multinomial(logits[-1].softmax(-1), 1, generator=rng)[:, 0]
        drawn[stopped] = len(tools)
        stopped |= drawn == len(tools)
        taken.append(drawn.numpy())
        images.append(follow(tools, images[-1], taken[-1][None])[-1])
        before.append(F.one_hot(drawn, len(tools) + 1)[:, :-1].float())
    return np.stack(taken)


def a2c_loss(
    p: Held, images: Sequence[torch.Tensor], truth: torch.Tensor, actions: np.ndarray, *,
    decay: float, discount: float, scale: float, value_weight: float, bonus: float,
) -> torch.Tensor:  # fmt: skip
    """The loss of one update on chains that were played: images of `follow`, actions [t,b]."""
    steps, batch = actions.shape
    tools = p["q"]["bias"].shape[0] - 1
    taken = torch.from_numpy(actions.astype(np.int64))
    hot = F.one_hot(taken, tools + 1)[..., :-1].float()
    previous = torch.cat([torch.zeros_like(hot[:1]), hot[:-1]])
    alive = torch.cat([torch.ones(1, batch), (taken != tools).float().cumprod(0)])
    alive[-1] = 0
    logits, value = agent(p, torch.stack(list(images[:-1])), previous)
    scores = torch.stack([psnr(x, truth) for x in images])
    rewards = scale * (scores[1:] - scores[:-1]) * alive[:-1]
    going, after, advantages = discount * alive[1:], torch.zeros(batch), []
    fixed = value.detach()
    for t in reversed(range(steps)):
        ahead = fixed[t + 1] if t + 1 < steps else torch.zeros(batch)
        after = rewards[t] + going[t] * ahead - fixed[t] + going[t] * decay * after
        advantages.insert(0, after)
    advantage = torch.stack(advantages)
    logs, weight = logits.log_softmax(-1), alive[:-1]
    chosen = logs.gather(-1, taken[..., None])[..., 0]
    entropy = -(logs.exp() * logs).sum(-1)
    error = (value - (advantage + fixed)).square()
    total = -chosen * advantage + value_weight * error - bonus * entropy
    return (weight * total).sum() / weight.sum()
