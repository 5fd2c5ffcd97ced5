"""LPIPS on a toy trunk: a float64 reference in NumPy, the two versions, properties, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.metrics.lpips import lpips

RNG = np.random.default_rng(0)
VARIABLES = {
    "first": RNG.normal(size=(3, 6)).astype(np.float32),
    "second": RNG.normal(size=(6, 4)).astype(np.float32),
}
HEADS = {"z": RNG.random(6).astype(np.float32), "a": RNG.random(4).astype(np.float32)}
A, B = RNG.random((2, 3, 8, 10, 3)).astype(np.float32)
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def trunk(variables, images):
    """Two 1x1 layers behind ImageNet's normalisation; names against the alphabet."""
    x = (images - jnp.array(MEAN, jnp.float32)) / jnp.array(STD, jnp.float32)
    z = jax.nn.relu(x @ variables["first"])
    return {"z": z, "a": jax.nn.relu(z[:, ::2, ::2] @ variables["second"])}


RUN = jax.jit(lambda v, h, a, b: lpips(trunk, v, h, a, b))
OLD = jax.jit(lambda v, h, a, b: lpips(trunk, v, h, a, b, version="v0.0"))


def reference(a, b, version):
    """The module of richzhang/PerceptualSimilarity in float64, from its description."""

    def layers(x):
        x = 2 * x.astype(np.float64) - 1
        if version == "v0.1":
            x = (x - [-0.030, -0.088, -0.188]) / [0.458, 0.448, 0.450]
        z = np.maximum(x @ VARIABLES["first"].astype(np.float64), 0)
        return z, np.maximum(z[:, ::2, ::2] @ VARIABLES["second"].astype(np.float64), 0)

    total = 0.0
    for f, g, head in zip(layers(a), layers(b), HEADS.values()):
        f, g = (v / (np.sqrt((v**2).sum(-1, keepdims=True)) + 1e-10) for v in (f, g))
        total = total + (((f - g) ** 2) * head).sum(-1).mean((1, 2))
    return total


@pytest.mark.parametrize(("run", "version"), [(RUN, "v0.1"), (OLD, "v0.0")])
def test_against_float64(run, version):
    found = run(VARIABLES, HEADS, A, B)
    assert found.shape == (3,) and found.dtype == jnp.float32
    # float32 features; a position whose features nearly vanish turns rounding into direction.
    np.testing.assert_allclose(found, reference(A, B, version), rtol=2e-5, atol=0)


def test_the_versions_differ():
    assert np.abs(RUN(VARIABLES, HEADS, A, B) - OLD(VARIABLES, HEADS, A, B)).min() > 1e-3


def test_identities():
    d = np.asarray(RUN(VARIABLES, HEADS, A, B))
    # A fused multiply-add rounds one of the two equal terms only: (1e-8)² is left.
    np.testing.assert_allclose(RUN(VARIABLES, HEADS, A, A), np.zeros(3), rtol=0, atol=1e-14)
    np.testing.assert_allclose(RUN(VARIABLES, HEADS, B, A), d, rtol=1e-6, atol=0)
    np.testing.assert_array_equal(RUN(VARIABLES, HEADS, A, B), d)  # deterministic
    assert np.all(d > 0)
    # one by one as in the batch; another compilation may sum in another order
    single = [RUN(VARIABLES, HEADS, A[k : k + 1], B[k : k + 1])[0] for k in range(3)]
    np.testing.assert_allclose(single, d, rtol=1e-6, atol=0)
    # blind to a positive factor on a layer's features
    scaled = VARIABLES | {"second": 7.5 * VARIABLES["second"]}
    np.testing.assert_allclose(RUN(scaled, HEADS, A, B), d, rtol=1e-6, atol=0)
    # linear in the heads
    doubled = {name: 2 * head for name, head in HEADS.items()}
    np.testing.assert_allclose(RUN(VARIABLES, doubled, A, B), 2 * d, rtol=1e-6, atol=0)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="one shape"):
        lpips(trunk, VARIABLES, HEADS, A, B[:, 1:])
    with pytest.raises(ValueError, match=r"compares \[B, H, W, 3\]"):
        lpips(trunk, VARIABLES, HEADS, A[..., :1], B[..., :1])
    with pytest.raises(ValueError, match="version must be one of v0.1, v0.0"):
        lpips(trunk, VARIABLES, HEADS, A, B, version="0.1")
    with pytest.raises(ValueError, match="do not fit the layers"):
        lpips(trunk, VARIABLES, {"z": HEADS["z"]}, A, B)
    with pytest.raises(ValueError, match="do not fit the layers"):
        lpips(trunk, VARIABLES, HEADS | {"a": HEADS["z"]}, A, B)
