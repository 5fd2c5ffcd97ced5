"""The PyTorch half of benchmark.py: the networks of tests/reference at work.

Importing it fails where torch is missing; `benchmark.py` then fills the columns of jaxsr alone.
"""

import contextlib
import ctypes
import functools
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from reference import classic_torch, residual_torch
from reference import sftgan_torch as ref
from torch import nn

from jaxsr.interchange import convert

Call = Callable[[], torch.Tensor]
VGG_MEAN, VGG_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def side(
    case: str, config: Mapping[str, Any], start: Mapping[str, Any],
    batch: Mapping[str, np.ndarray], *, layer: str, widths: tuple[int, ...], device: str,
) -> tuple[Call, float, float, int | None]:  # fmt: skip
    """A training case, called twice: (call that waits, first value, seconds of the first call, bytes).

    config: of jaxsr; start: its weights on the host, `gen`, and for sftgan-train `disc`, `stats`,
    `vgg`; layer, widths: of VGG19; bytes: as `memory_kind` says, None where they are not to be had
    """
    before = resident_bytes()
    nets = {name: net.to(device) for name, net in networks(config, start, layer, widths).items()}
    data = {name: ref.nchw(batch[name]).to(device) for name in ("lq", "hq", "seg")}
    data["label"] = torch.from_numpy(batch["label"].astype(np.int64)).to(device)
    cast = functools.partial(
        torch.autocast, device, dtype=torch.bfloat16, enabled=config["precision"] == "bfloat16"
    )
    make = gan_step if case == "sftgan-train" else l1_step
    return timed(make(nets, config, data, cast), before, device)


def view(
    name: str, section: Mapping[str, Any], variables: Mapping[str, Any], images: tuple[Any, ...],
    dtype: str, *, device: str,
) -> tuple[Call, float, float, int | None]:  # fmt: skip
    """A network that restores one image, as `side`; the weights come through the export of jaxsr."""
    before = resident_bytes()
    options = {key: value for key, value in section.items() if key != "name"}
    layout = convert.of_network(section["name"], options, variables)
    arrays = convert.to_theirs(layout, options, variables)
    net = restoring(name, section)
    net.load_state_dict({key: torch.from_numpy(value) for key, value in arrays.items()})
    net, data = net.eval().to(device), [ref.nchw(image).to(device) for image in images]

    def call() -> torch.Tensor:
        with (
            torch.inference_mode(),
            torch.autocast(device, dtype=torch.bfloat16, enabled=dtype == "bfloat16"),
        ):
            return net(*data).float()

    return timed(call, before, device)


def restoring(name: str, section: Mapping[str, Any]) -> nn.Module:
    """The reference's network of an inference case."""
    if name == "srcnn":
        return classic_torch.SRCNN(section["kernels"], section["features"])
    if name == "vdsr":
        return classic_torch.VDSR(section["depth"], section["features"], section["bias"])
    features, blocks = section["features"], section["blocks"]
    if name == "sftgan":
        return ref.SFTNet(False, features, blocks)
    if name == "parent":
        return ref.SRResNet(features, blocks, section["scale"])
    if name == "srresnet":
        return residual_torch.SRGANGenerator(section["scale"], features, blocks)
    return residual_torch.RRDBNet(section["scale"], features, blocks, section["growth"])


def timed(call: Call, before: int | None, device: str) -> tuple[Call, float, float, int | None]:
    """(call that waits, first value, seconds of the first call, bytes) of a call made ready."""

    def run() -> torch.Tensor:
        result = call()
        if device == "cuda":
            torch.cuda.synchronize()
        return result

    resident_bytes()  # starts the peak anew: copying the weights is not part of it
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    result = run()
    first = time.perf_counter() - began
    run()
    if device == "cuda":
        memory = torch.cuda.max_memory_allocated()
    else:
        memory = None if before is None else peak_bytes() - before
    return run, float(result.abs().mean()), first, memory


def prepare(*, threads: int) -> None:
    """As many threads as XLA takes, TF32 and algorithm search as there; loads the code of torch.

    The pages of its libraries would otherwise count as memory of the first case.
    """
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("high")  # TF32 on a GPU, as for convolutions by default
    torch.backends.cudnn.benchmark = True
    small = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1))
    mover = torch.optim.Adam(small.parameters())
    for _ in range(2):
        F.l1_loss(small(torch.zeros(2, 3, 32, 32)), torch.ones(2, 8, 15, 15)).backward()
        mover.step()


def memory_kind(device: str) -> str:
    """What the bytes of `side` are."""
    if device == "cuda":
        return "torch.cuda.max_memory_allocated"
    return "peak RSS over two calls - RSS before the networks"


def resident_bytes() -> int | None:
    """Resident memory, with freed pages given back and the peak started anew; None off Linux."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        return _status_bytes("VmRSS")
    except (AttributeError, OSError):
        return None


def peak_bytes() -> int:
    """The largest resident memory since `resident_bytes`."""
    return _status_bytes("VmHWM")


def _status_bytes(name: str) -> int:
    return 1024 * int(re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def networks(
    config: Mapping[str, Any], start: Mapping[str, Any], layer: str, widths: tuple[int, ...]
) -> dict[str, nn.Module]:
    """The networks whose weights are in `start`, in the sizes of the config."""
    gen, built = config["networks"]["gen"], {}
    if gen["name"] == "legacy_srresnet":
        made = ref.SRResNet(gen["features"], gen["blocks"], gen["scale"])
    else:
        made = ref.SFTNet(
            False, gen["features"], gen["blocks"], gen["condition"], gen["condition_hidden"],
            gen["classes"],
        )  # fmt: skip
    built["gen"] = ref.load(made, start["gen"])
    if "disc" in start:
        disc = config["networks"]["disc"]
        made = ref.ACDVGG(disc["size"], disc["features"], disc["classes"], disc["hidden"])
        flat = 8 * disc["features"]
        built["disc"] = ref.load(made, start["disc"], start["stats"], flat_channels=flat)
        built["vgg"] = ref.load(ref.VGG19Head(ref.VGG_INDEX[layer], widths), start["vgg"])
    return built


def adam(module: nn.Module, section: Mapping[str, Any]) -> torch.optim.Adam:
    """Adam at the first rates of a section; SFT layers and condition network have their own."""
    groups = {"rate": [], "group_rate": []}
    for name, parameter in module.named_parameters():
        groups["group_rate" if "SFT" in name or "Cond" in name else "rate"].append(parameter)
    return torch.optim.Adam(
        [{"params": held, "lr": section[rate]["peak"]} for rate, held in groups.items() if held],
        betas=(section["b1"], section["b2"]), eps=section["eps"],
    )  # fmt: skip


def gan_step(
    nets: Mapping[str, nn.Module], config: Mapping[str, Any], data: Mapping[str, torch.Tensor],
    cast: Callable[[], contextlib.AbstractContextManager],
) -> Call:  # fmt: skip
    """A step of G, then of D on the image made before: the reference's `gan_step` with optimisers.

    That one copies every gradient to the host, so its losses are written once more here.
    """
    vgg = nets["vgg"].requires_grad_(False)
    movers = {name: adam(nets[name], config["optimisers"][name]) for name in ("gen", "disc")}
    hq, device = data["hq"], data["hq"].device
    mean, std = (torch.tensor(x, device=device).view(1, 3, 1, 1) for x in (VGG_MEAN, VGG_STD))
    ones, zeros = torch.ones(len(hq), 1, device=device), torch.zeros(len(hq), 1, device=device)
    weights = config["adversarial"]["weight"], config["classification"]["weight"]

    def features(images: torch.Tensor) -> torch.Tensor:
        return vgg.features((images - mean) / std)  # float32, as build_method.features has it

    def judge(images: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with cast():
            logit, classes = nets["disc"](images)
        return (
            F.binary_cross_entropy_with_logits(logit.float(), target),
            F.cross_entropy(classes.float(), data["label"], ignore_index=0),
        )

    def move(name: str, loss: torch.Tensor) -> None:
        movers[name].zero_grad()
        loss.backward(inputs=list(nets[name].parameters()))
        movers[name].step()

    def call() -> torch.Tensor:
        with cast():
            fake = nets["gen"](data["lq"], data["seg"])
        fake = fake.float()
        adversarial, classes = judge(fake, ones)
        perceptual = F.l1_loss(features(fake), features(hq))
        gen_loss = perceptual + weights[0] * adversarial + weights[1] * classes
        move("gen", gen_loss)
        disc_loss = sum(judge(hq, ones)) + sum(judge(fake.detach(), zeros))
        move("disc", disc_loss)
        return (gen_loss + disc_loss).detach()

    return call


def l1_step(
    nets: Mapping[str, nn.Module], config: Mapping[str, Any], data: Mapping[str, torch.Tensor],
    cast: Callable[[], contextlib.AbstractContextManager],
) -> Call:  # fmt: skip
    """A supervised step of the parent."""
    gen = nets["gen"]
    mover = adam(gen, config["optimisers"]["gen"])

    def call() -> torch.Tensor:
        with cast():
            output = gen(data["lq"])
        loss = F.l1_loss(output.float(), data["hq"])
        mover.zero_grad()
        loss.backward()
        mover.step()
        return loss.detach()

    return call
