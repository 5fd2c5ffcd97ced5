"""config.weight_gradient: whole steps agree, the networks know nothing of it, mistakes are named."""

import contextlib
import runpy

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference.random_trees import random_like

from jaxsr import build, devices, train
from jaxsr.algorithms import wrap
from jaxsr.models.blocks import TransposedConv, convolution, convolving
from jaxsr.ops.convolution import conv_with_own_gradients, everywhere
from jaxsr.state import step_key
from jaxsr.types import Algorithm, UserError


def experiment(root, name, kind, **changes):
    config = runpy.run_path(str(root / "configs" / f"{name}.py"))["get_config"]("tiny")
    config.unlock()
    config.weight_gradient = kind
    config.update_from_flattened_dict(changes)
    return build.experiment(config)


def start(made):
    """A state with drawn weights; to compile `init` for it would take longer than all the rest."""
    abstract = train.shapes(made)[0]
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), abstract)
    return zeros.replace(params=random_like(abstract.params, seed=0))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("sftnet_psnr", {}),
        pytest.param("sftnet", {"optimisers.gen.freeze": 0}, marks=pytest.mark.slow),
        pytest.param(
            "rl_restore_joint", {"environment.steps": 1, "data.batch": 2}, marks=pytest.mark.slow
        ),
    ],
)
def test_a_whole_step_is_that_of_xlas_rule(root, name, changes):
    ours, theirs = (experiment(root, name, kind, **changes) for kind in ("products", "xla"))
    with contextlib.closing(train.batches(ours, 0)) as batches:
        batch = devices.put(next(batches), ours.place)
    given = step_key(0, 0), start(ours), batch, ours.frozen
    made = [jax.jit(each.algorithm.step).lower(*given) for each in (ours, theirs)]
    assert made[0].as_text() != made[1].as_text(), "the rule was not used"
    (state, metrics), (expected, figures) = (each.compile()(*given) for each in made)
    for key in figures:
        np.testing.assert_allclose(metrics[key], figures[key], rtol=1e-4, atol=1e-6, err_msg=key)
    # after one step Adam's moments are the gradients, summed in another order, and their squares
    for a, b in zip(jax.tree.leaves(state.opt), jax.tree.leaves(expected.opt), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max() + 1e-9)
    # and the weights move by the gradient's sign, which is chance where the gradient is rounding
    pairs = zip(jax.tree.leaves(state.params), jax.tree.leaves(expected.params), strict=True)
    far = np.concatenate([np.ravel(np.abs(a - b) > 1e-6) for a, b in pairs])
    assert far.mean() < 0.01


class Small(nn.Module):
    """A convolution of each kind, one of them recomputed."""

    @nn.compact
    def __call__(self, x):
        x = convolution(8, 3, name="first", dtype=jnp.float32)(x)
        x = nn.remat(nn.Conv)(6, (1, 1), name="again")(x)
        x = TransposedConv(6, 4, 2, ((1, 1), (1, 1)), name="large")(x)
        return convolution(3, 3, name="last", dtype=jnp.float32)(x)


def test_the_context_reaches_every_convolution_and_changes_neither_parameters_nor_values():
    seen = []

    conv = conv_with_own_gradients(treats=everywhere)

    def noted(lhs, rhs, *arguments, **options):
        seen.append(rhs.shape)
        return conv(lhs, rhs, *arguments, **options)

    x = jax.random.normal(jax.random.key(0), (1, 6, 7, 3))
    net = Small()
    plain = jax.jit(lambda key: net.init(key, x))(jax.random.key(1))
    with convolving(noted):
        held = jax.jit(lambda key: net.init(key, x))(jax.random.key(1))
        made = jax.jit(lambda held: net.apply(held, x))(plain)
    assert {(3, 3, 3, 8), (1, 1, 8, 6), (3, 3, 6, 3)} == set(seen)
    jax.tree.map(np.testing.assert_array_equal, held, plain)
    count = len(seen)
    np.testing.assert_array_equal(made, jax.jit(lambda held: net.apply(held, x))(plain))
    assert len(seen) == count, "the context ended"


def test_only_the_step_is_traced_in_the_context():
    inside, entered = [], []

    @contextlib.contextmanager
    def context():
        inside.append(True)
        yield
        inside.pop()

    def noting(*_):
        entered.append(bool(inside))

    made = wrap.within(Algorithm(noting, noting, noting), context=context)
    made.init(0, 0), made.step(0, 0, 0, 0), made.predict(0, 0, 0, 0)
    assert entered == [False, True, False] and not inside


def test_a_rule_that_there_is_not_is_named(root):
    with pytest.raises(UserError, match="weight_gradient = 'product' .*did you mean 'products'"):
        experiment(root, "sftnet_psnr", "product")
    assert experiment(root, "sftnet_psnr", "products").config["weight_gradient"] == "products"
