"""Options of the residual networks that no layout reaches, against PyTorch; the reference's counts."""

import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from reference import disc_torch  # noqa: E402
from reference import residual_torch as ref  # noqa: E402
from reference.random_trees import random_like, shapes_of  # noqa: E402

from jaxsr.models.disc_vgg import VGGDiscriminator  # noqa: E402
from jaxsr.models.edsr import EDSR  # noqa: E402
from jaxsr.models.srresnet import SRResNet  # noqa: E402

TOLERANCE = 1e-5  # float32 sums in another order, some ten layers deep


def close(ours, theirs):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert theirs.std() > 1e-2
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE * np.abs(theirs).max())


def image(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).random((*shape, 3)), jnp.float32)


def nchw(images):
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).contiguous()


def load(module, places, variables):
    """Our variables into a module; `places`: its layer -> ours, the rest must be counters."""
    leaves = {"weight": ("kernel", "scale", "slope"), "bias": ("bias",)}
    leaves |= {"running_mean": ("mean",), "running_var": ("var",)}
    state = {}
    for name, value in module.state_dict().items():
        layer, leaf = name.rsplit(".", 1)
        if leaf == "num_batches_tracked":
            state[name] = value
            continue
        held = variables["params"][places[layer]]
        held |= variables.get("batch_stats", {}).get(places[layer], {})
        array = np.array(next(held[key] for key in leaves[leaf] if key in held))
        if array.ndim > 1:
            array = array.transpose(*range(array.ndim - 1, 1, -1), *range(array.ndim - 2))
        state[name] = torch.from_numpy(array)
    module.load_state_dict(state, strict=True)
    return module


def srgan_places(blocks, stages):
    places = {"block1.0": "conv_input", "block1.1": "act_input"}
    for i in range(blocks):
        for theirs, ours in (("conv", "conv"), ("bn", "norm")):
            for j in (1, 2):
                places[f"block{i + 2}.{theirs}{j}"] = f"residual_{i}_{ours}{j}"
        places[f"block{i + 2}.prelu"] = f"residual_{i}_act"
    places |= {f"block{blocks + 2}.0": "conv_mid", f"block{blocks + 2}.1": "norm_mid"}
    tail = f"block{blocks + 3}"
    for i in range(stages):
        places |= {f"{tail}.{i}.conv": f"up_{i}_conv", f"{tail}.{i}.prelu": f"up_{i}_act"}
    return places | {f"{tail}.{stages}": "conv_output"}


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(
    "ours, theirs",
    [
        ({}, {}),
        (
            dict(activation="prelu_per_channel", bias="unnormalised", head_size=3, tail_size=1),
            dict(shared=False, bias=False, head=3, tail=1),
        ),
    ],
)
def test_srresnet_of_the_paper(ours, theirs, train):
    if train and not ours:
        pytest.skip("the other one has the same normalisation")
    lq = image(2, 4, 5)
    network = SRResNet(features=8, blocks=2, scale=4, **ours)
    variables = random_like(shapes_of(network, lq), seed=1, gain=0.7)
    module = ref.SRGANGenerator(4, 8, 2, tanh=False, **theirs)
    if theirs:  # a slope per channel in the upsampling stages too
        for stage in list(module.block5)[:-1]:
            stage.prelu = torch.nn.PReLU(8)
    load(module, srgan_places(2, 2), variables).train(train)
    with torch.no_grad():
        expected = module(nchw(lq)).permute(0, 2, 3, 1)
    out, moved = network.apply(variables, lq, train=train, mutable=["batch_stats"])
    close(out, expected)
    after = dict(module.named_buffers())
    close(moved["batch_stats"]["norm_mid"]["mean"], after["block4.1.running_mean"])


def test_edsr_residual_scale():
    lq = image(1, 3, 5)
    network = EDSR(features=8, blocks=2, scale=3, residual_scale=0.1)
    variables = random_like(shapes_of(network, lq), seed=2)
    places = {f"body.{i}.conv{j}": f"body_{i}_conv{j}" for i in (0, 1) for j in (1, 2)}
    places |= {name: name for name in ("conv_first", "conv_after_body", "conv_last")}
    module = load(ref.EDSR(3, 8, 2), places | {"upsample.0": "upsample_0"}, variables)
    with torch.no_grad():
        close(network.apply(variables, lq), module(nchw(lq)).permute(0, 2, 3, 1))


@pytest.mark.parametrize("train", [False, True])
def test_discriminator_of_the_srgan_paper(train):
    """3x3 convolutions of stride 2 and a dense layer of 1024, as no released file has them."""
    hq = image(3, 16, 16) * jnp.array([0.2, 0.5, 1.0]).reshape(3, 1, 1, 1)
    options = dict(size=16, stages=3, features=4, down_size=3, hidden=10, bias=True)
    network = VGGDiscriminator(**options)
    variables = random_like(shapes_of(network, hq), seed=3, gain=1.6)
    places = {"features.0": "conv0_0", "classifier.0": "linear1", "classifier.2": "linear2"}
    for k in range(1, 6):
        places |= {f"features.{3 * k - 1}": f"conv{k // 2}_{k % 2}"}
        places |= {f"features.{3 * k}": f"bn{k // 2}_{k % 2}"}
    # the 2x2 map of 16 is flattened channels first in PyTorch
    kernel = variables["params"]["linear1"]["kernel"]
    swapped = kernel.reshape(2, 2, 16, 10).transpose(2, 0, 1, 3).reshape(64, 10)
    theirs = variables["params"] | {
        "linear1": {"kernel": swapped, "bias": variables["params"]["linear1"]["bias"]}
    }
    module = disc_torch.OldVGG(4, 3, side=2, size=3, hidden=10)
    load(module, places, variables | {"params": theirs}).train(train)
    with torch.no_grad():
        expected = module(nchw(hq))
    out, _ = network.apply(variables, hq, train=train, mutable=["batch_stats"])
    close(out["gan"], expected)


# specs/srgan_esrgan.md sections 3.1-3.5 and specs/sisr_zoo.md section 3: the same numbers as the
# tables COUNTS of our networks, so that neither build is measured by the other
REFERENCE = [
    (lambda: ref.SRGANGenerator(), 1_549_462),
    (lambda: ref.SRGANGenerator(bias=False), 1_547_350),
    (lambda: ref.SRGANGenerator(2, blocks=5), 586_506),
    (lambda: ref.SRGANGenerator(8, blocks=5), 881_932),
    (lambda: ref.NetG(), 1_546_752),
    (lambda: ref.MSRResNet(4), 1_517_571),
    (lambda: ref.MSRResNet(3), 1_554_499),
    (lambda: ref.MSRResNet(2), 1_369_859),
    (lambda: ref.EDSR(2), 40_729_603),
    (lambda: ref.EDSR(3), 43_680_003),
    (lambda: ref.EDSR(4), 43_089_923),
    (lambda: ref.EDSR(4, 64, 16), 1_517_571),
    (lambda: ref.RRDBNet(), 16_697_987),
    (lambda: ref.RRDBNet(2), 16_703_171),
    (lambda: ref.RRDBNet(1), 16_723_907),
    (lambda: ref.CARN(4), 1_111_899),
    (lambda: ref.CARN(0), 1_591_963),
    (lambda: ref.CARN(3, groups=4, shared=True), 303_451),
    (lambda: ref.CARN(0, groups=4, shared=True), 414_811),
    (lambda: disc_torch.VGGStyle(), 14_499_401),
    (lambda: disc_torch.VGGStyle(stages=6), 21_055_049),
    (lambda: disc_torch.OldVGG(side=3), 14_143_881),
    (lambda: disc_torch.OldVGG(stages=6, side=3), 20_700_553),
    (lambda: disc_torch.OldVGG(stages=4, side=6, size=3, hidden=1024), 23_565_505),
    (lambda: disc_torch.PooledVGG(), 5_215_425),
]


@pytest.mark.parametrize("build, count", REFERENCE)
def test_the_reference_has_the_published_size(build, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in build().parameters()) == count
