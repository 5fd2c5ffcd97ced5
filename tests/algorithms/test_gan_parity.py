"""One step of SFT-GAN's adversarial training against PyTorch: every loss and every gradient."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

torch = pytest.importorskip("torch")

from reference import sftgan_torch as ref  # noqa: E402
from reference.random_trees import random_like, shapes_of  # noqa: E402

from jaxsr import build_method  # noqa: E402
from jaxsr.algorithms.gan import gan  # noqa: E402
from jaxsr.models.acd_vgg import ACDVGG96  # noqa: E402
from jaxsr.models.sftnet import SFTNet  # noqa: E402
from jaxsr.models.vgg import VGG19  # noqa: E402
from jaxsr.state import State  # noqa: E402

pytestmark = pytest.mark.usefixtures("unoptimised")

WEIGHT = 5e-3
BATCH, SIZE = 3, 32
GEN = dict(features=8, blocks=1, condition=4)
DISC = dict(size=SIZE, features=8, hidden=16)
WIDTHS = (6, 8, 10, 12, 14)
BEFORE_NORM = {f"feature.{index}.bias" for index in (2, 5, 8, 11, 14, 17, 20)}
FLAT = 8 * DISC["features"]  # channels that the heads of D flatten


def recorder():
    """An optimiser that moves nothing and keeps the gradients as its state."""
    return optax.GradientTransformation(
        lambda params: jax.tree.map(jnp.zeros_like, params),
        lambda grads, held, params=None: (jax.tree.map(jnp.zeros_like, grads), grads),
    )


def networks(variant):
    return (
        SFTNet(variant, **GEN, condition_hidden=8),
        ACDVGG96(**DISC),
        VGG19(layers=("conv5_4",), widths=WIDTHS),
    )


def make_batch(labels):
    rng = np.random.default_rng(0)
    seg = np.exp(3 * rng.standard_normal((BATCH, SIZE, SIZE, 8)))
    return {
        "lq": rng.random((BATCH, SIZE // 4, SIZE // 4, 3)).astype(np.float32),
        "seg": (seg / seg.sum(-1, keepdims=True)).astype(np.float32),
        "hq": rng.random((BATCH, SIZE, SIZE, 3)).astype(np.float32),
        "label": np.array(labels, np.int32),
    }


def make_state(variant, batch):
    """Random weights of a trained network's size, so that no gradient is near zero."""
    gen, disc, vgg = networks(variant)
    drawn = {
        "gen": random_like(shapes_of(gen, batch["lq"], batch["seg"]), seed=1, gain=0.7),
        "disc": random_like(shapes_of(disc, batch["hq"]), seed=2, gain=1.2),
    }
    params = {name: held["params"] for name, held in drawn.items()}
    state = State(
        step=jnp.zeros([], jnp.int32),
        params=params,
        opt=jax.tree.map(jnp.zeros_like, params),
        extra={"batch_stats": {"disc": drawn["disc"]["batch_stats"]}},
    )
    return state, random_like(shapes_of(vgg, batch["hq"]), seed=3, gain=1.4)


@functools.cache  # compiled once for the two tests of a variant
def make_step(variant):
    """The step of the config's algorithm, its losses and rules made by build_method."""
    gen, disc, vgg = networks(variant)
    keep = lambda drawn: drawn  # noqa: E731
    content = {"perceptual": {"name": "feature_l1", "weight": 1.0}}
    adversarial = {
        "adversarial": {"name": "vanilla", "weight": WEIGHT},
        "classification": {"weight": WEIGHT},
    }
    method = gan(
        gen=build_method.bind(gen, keep),
        disc=build_method.bind(disc, keep),
        inputs=("lq", "seg"),
        losses=build_method.losses(
            content, lambda variables, image: vgg.apply(variables, image), {"conv5_4": 1.0}
        ),
        optimisers={"gen": recorder(), "disc": recorder()},
        **build_method.rules(adversarial),
    )
    return jax.jit(method.step)


@pytest.mark.parametrize("variant", ["pytorch", "torch"])
def test_losses_and_gradients_of_one_step(variant):
    batch = make_batch([4, 0, 2])  # one background image, which the class losses ignore
    state, vgg = make_state(variant, batch)
    disc_stats = state.extra["batch_stats"]["disc"]
    new, metrics = make_step(variant)(jax.random.key(0), state, batch, {"features": vgg})

    theirs = [
        ref.load(ref.SFTNet(variant == "torch", hidden=8, **GEN), state.params["gen"]),
        ref.load(ref.ACDVGG(**DISC), state.params["disc"], disc_stats, flat_channels=FLAT),
        ref.load(ref.VGG19Head(34, WIDTHS), vgg["params"]),
    ]
    losses, gen_grads, disc_grads = ref.gan_step(
        *theirs,
        *(ref.nchw(batch[name]) for name in ("lq", "seg", "hq")),
        torch.from_numpy(batch["label"].astype(np.int64)),
        adversarial=WEIGHT,
        classification=WEIGHT,
    )

    names = {
        "perceptual": "perceptual",
        "adversarial": "adversarial",
        "classification": "classification",
        "gen": "gen",
        "disc": "disc",
        "adversarial_disc": "disc_adversarial",
    }
    for ours, name in names.items():
        # float32 sums over networks of 20 layers
        assert float(metrics[f"loss/{ours}"]) == pytest.approx(losses[name], rel=1e-5), ours
    classes = metrics["loss/classification_real"] + metrics["loss/classification_fake"]
    assert float(classes) == pytest.approx(losses["disc_classification"], rel=1e-5)

    for network, expected in (("gen", gen_grads), ("disc", disc_grads)):
        found = ref.to_torch(new.opt[network], flat_channels=FLAT)
        assert found.keys() == expected.keys()
        whole = np.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in expected.values()))
        for name, grad in expected.items():
            if network == "disc" and name in BEFORE_NORM:
                # normalisation takes a constant away: the gradient is 0 but for rounding
                assert np.abs(grad).max() < 1e-6 * whole
                assert np.abs(found[name]).max() < 1e-6 * whole
                continue
            # float32 sums in another order; measured on several CPUs: 1.5e-4 at worst, 2e-6 in most
            error = np.abs(found[name] - grad).max()
            assert error < 4e-4 * np.abs(grad).max(), (name, error)


def test_a_batch_of_background_only():
    """PyTorch's own mean is 0/0 here; the class losses are 0 and the step stays finite."""
    batch = make_batch([0, 0, 0])
    state, vgg = make_state("pytorch", batch)
    new, metrics = make_step("pytorch")(jax.random.key(0), state, batch, {"features": vgg})
    for name in ("classification", "classification_real", "classification_fake"):
        assert float(metrics[f"loss/{name}"]) == 0
    assert all(np.isfinite(value) for value in metrics.values())
    for name in ("cls_0", "cls_2"):  # nothing teaches the class head
        assert not any(leaf.any() for leaf in jax.tree.leaves(new.opt["disc"][name]))
    assert new.opt["disc"]["gan_2"]["kernel"].any()
