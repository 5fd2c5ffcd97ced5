"""Networks against an independent PyTorch build, on random weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from reference import sftgan_torch as ref  # noqa: E402
from reference.random_trees import random_like, shapes_of  # noqa: E402

from jaxsr.interchange.vgg import load_vgg19  # noqa: E402
from jaxsr.models.acd_vgg import ACDVGG96  # noqa: E402
from jaxsr.models.legacy_srresnet import LegacySRResNet  # noqa: E402
from jaxsr.models.sftnet import SFTNet  # noqa: E402
from jaxsr.models.vgg import VGG19, layer_names  # noqa: E402

# Both sides are float32 and add the 576 products of a convolution in another order: 1e-7 relative
# each, some 40 layers deep. A wrong layer, slope or channel order is off by 1e-1 at these weights.
TOLERANCE = 2e-5


def close(ours, theirs, tolerance=TOLERANCE):
    """Equal within `tolerance` of the largest value; and large enough to tell."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    scale = np.abs(theirs).max()
    assert scale > 1e-2
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale)


def inputs(batch=2, h=5, w=7, seed=0):
    rng = np.random.default_rng(seed)
    seg = np.exp(3 * rng.standard_normal((batch, 4 * h, 4 * w, 8)))
    seg /= seg.sum(-1, keepdims=True)
    return jnp.asarray(rng.random((batch, h, w, 3)), jnp.float32), jnp.asarray(seg, jnp.float32)


@pytest.mark.parametrize("variant, count", [("pytorch", 1_833_763), ("torch", 1_612_195)])
def test_sftnet(variant, count):
    lq, seg = inputs()
    network = SFTNet(variant=variant)
    variables = random_like(shapes_of(network, lq, seg), seed=1, gain=0.7)
    theirs = ref.load(ref.SFTNet(variant == "torch"), variables["params"])
    assert sum(p.numel() for p in theirs.parameters()) == count
    with torch.no_grad():
        expected = ref.nhwc(theirs(ref.nchw(lq), ref.nchw(seg)))
    close(jax.jit(network.apply)(variables, lq, seg), expected)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_srresnet(scale):
    lq, _ = inputs()
    options = {"blocks": 16} if scale == 4 else {"features": 16, "blocks": 2}
    network = LegacySRResNet(scale=scale, **options)
    variables = random_like(shapes_of(network, lq), seed=2, gain=0.7)
    theirs = ref.load(ref.SRResNet(scale=scale, **options), variables["params"])
    with torch.no_grad():
        expected = ref.nhwc(theirs(ref.nchw(lq)))
    close(jax.jit(network.apply)(variables, lq), expected)


@pytest.mark.parametrize("train", [False, True])
def test_discriminator(train):
    options = dict(size=32, features=8, classes=8, hidden=20)
    images = jnp.asarray(np.random.default_rng(3).random((3, 32, 32, 3)), jnp.float32)
    network = ACDVGG96(**options)
    variables = random_like(shapes_of(network, images), seed=4)
    theirs = ref.load(
        ref.ACDVGG(**options), variables["params"], variables["batch_stats"], flat_channels=64
    )
    theirs.train(train)
    before = {name: value.clone() for name, value in theirs.named_buffers()}
    with torch.no_grad():
        gan, classes = theirs(ref.nchw(images))
    out, moved = network.apply(variables, images, train=train, mutable=["batch_stats"])
    close(out["gan"], gan)
    close(out["class"], classes)
    moved = ref.to_torch(moved["batch_stats"])
    after = dict(theirs.named_buffers())
    sides = {3: 16, 6: 16, 9: 8, 12: 8, 15: 4, 18: 4, 21: 2}
    for name, value in moved.items():
        expected = after[name]
        if train and name.endswith("var"):
            # PyTorch keeps the unbiased variance of the batch, Flax the biased one
            n = 3 * sides[int(name.split(".")[1])] ** 2
            batch = (expected - 0.9 * before[name]) / 0.1
            expected = 0.9 * before[name] + 0.1 * batch * (n - 1) / n
        close(value, expected)
    changed = any(not torch.equal(after[name], before[name]) for name in moved)
    assert changed == train


def test_vgg_layers():
    """Each named layer is the one of that index in torchvision's flat list; odd sizes."""
    widths = (4, 6, 8, 10, 12)
    images = jnp.asarray(np.random.default_rng(5).random((2, 37, 50, 3)), jnp.float32)
    names = layer_names()
    network = VGG19(layers=names, widths=widths)
    variables = random_like(shapes_of(network, images), seed=6, gain=1.4)
    out = jax.jit(network.apply)(variables, images)
    theirs = ref.load(ref.VGG19Head(36, widths), variables["params"]).features
    x = ref.nchw((images - jnp.array([0.485, 0.456, 0.406])) / jnp.array([0.229, 0.224, 0.225]))
    assert list(ref.VGG_INDEX.values()) == [i for i, n in enumerate(names) if "conv" in n]
    with torch.no_grad():
        for name, layer in zip(names, theirs, strict=True):
            x = layer(x)
            close(out[name], ref.nhwc(x))


def test_vgg_head_with_trained_weights(shared):
    path = shared / "weights" / "vgg19_torchvision_head" / "VGGMOD.npz"
    params = load_vgg19(path, layer="conv3_1")
    images = jnp.asarray(np.random.default_rng(7).random((1, 24, 40, 3)), jnp.float32)
    out = VGG19(layers=("relu2_1", "conv3_1")).apply({"params": params}, images)
    theirs = ref.load(ref.VGG19Head(10), params)
    with torch.no_grad():
        close(out["conv3_1"], ref.nhwc(theirs(ref.nchw(images))))
        theirs.features = theirs.features[:7]
        close(out["relu2_1"], ref.nhwc(theirs(ref.nchw(images))))


@pytest.mark.parametrize(
    "module, count",
    [(ref.SRResNet, 1_554_499), (ref.ACDVGG, 10_813_717), (ref.VGG19Head, 20_024_384)],
)
def test_the_reference_has_the_published_size(module, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in module().parameters()) == count
