"""Cross-entropy: values by hand, what is ignored, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.losses.classification import cross_entropy

LOGITS = jnp.log(jnp.array([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25], [0.1, 0.1, 0.8]]))


def test_by_hand():
    # -log of the probability of the label, averaged
    assert float(cross_entropy(LOGITS, jnp.array([0, 1, 2]), ignore=255)) == pytest.approx(
        -np.log([0.7, 0.5, 0.8]).mean(), rel=1e-6
    )
    assert float(cross_entropy(LOGITS, jnp.array([0, 1, 2]), ignore=0)) == pytest.approx(
        -np.log([0.5, 0.8]).mean(), rel=1e-6
    )


def test_equal_logits_give_the_log_of_the_classes():
    labels = jnp.array([0, 3, 7])
    assert float(cross_entropy(jnp.full((3, 8), 5.0), labels, ignore=-1)) == pytest.approx(
        np.log(8), rel=1e-6
    )


def test_per_pixel_is_the_flat_one():
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.standard_normal((2, 4, 5, 3)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 3, (2, 4, 5)), jnp.int32).at[0, :2].set(255)
    assert int((labels == 255).sum()) == 10
    flat = cross_entropy(logits.reshape(-1, 3), labels.reshape(-1), ignore=255)
    assert float(cross_entropy(logits, labels, ignore=255)) == pytest.approx(float(flat), rel=1e-6)


@pytest.mark.parametrize("ignore", [0, 255, -1])
def test_an_ignored_label_has_no_gradient(ignore):
    labels = jnp.array([1, ignore, 2])
    grad = jax.grad(cross_entropy)(LOGITS, labels, ignore=ignore)
    np.testing.assert_array_equal(grad[1], 0)
    # softmax minus one-hot, over the count of two
    expected = (np.exp(LOGITS)[0] - [0, 1, 0]) / 2
    np.testing.assert_allclose(grad[0], expected, atol=1e-6)


@pytest.mark.parametrize("ignore", [0, 255])
def test_nothing_but_ignored_labels(ignore):
    value, grad = jax.jit(
        jax.value_and_grad(lambda z: cross_entropy(z, jnp.full(3, ignore), ignore=ignore))
    )(LOGITS)
    assert float(value) == 0
    np.testing.assert_array_equal(grad, 0)


@pytest.mark.parametrize("label", [3, -1, -3, 254])
def test_a_label_without_a_class_is_not_clamped(label):
    assert np.isnan(cross_entropy(LOGITS, jnp.array([0, label, 1]), ignore=255))


def test_unsigned_labels_and_large_logits():
    value = cross_entropy(1e4 * LOGITS, jnp.array([0, 255, 2], jnp.uint8), ignore=255)
    assert float(value) == 0  # the label has the largest logit by thousands


@pytest.mark.parametrize("labels", [jnp.zeros((3, 1), int), jnp.zeros(2, int), jnp.zeros(3)])
def test_unfit_labels(labels):
    with pytest.raises(ValueError, match="labels must be integers"):
        cross_entropy(LOGITS, labels, ignore=0)


def test_against_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    logits, labels = rng.standard_normal((16, 8)).astype(np.float32), rng.integers(0, 8, 16)
    theirs = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits), torch.from_numpy(labels), ignore_index=0
    )
    assert (labels == 0).any()
    ours = cross_entropy(jnp.asarray(logits), jnp.asarray(labels), ignore=0)
    assert float(ours) == pytest.approx(theirs.item(), rel=1e-6)
