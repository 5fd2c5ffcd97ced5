"""Enlargement by two: numbers by hand, and the frameworks' own functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.ops.upsample import RULES, double
from jaxsr.types import UserError

LINE = jnp.arange(4.0)[None, None, :, None]
BY_HAND = {
    "half_pixel": [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3],
    "legacy": [0, 0.5, 1, 1.5, 2, 2.5, 3, 3],
    "align_corners": [3 * i / 7 for i in range(8)],
}


@pytest.mark.parametrize("rule", RULES)
def test_by_hand_on_both_axes(rule):
    made = double(LINE, rule=rule)
    assert made.shape == (1, 2, 8, 1)
    np.testing.assert_allclose(made[0, 0, :, 0], BY_HAND[rule], atol=1e-6)
    np.testing.assert_allclose(made[0, 1], made[0, 0])
    turned = double(LINE.transpose(0, 2, 1, 3), rule=rule)
    np.testing.assert_allclose(turned.transpose(0, 2, 1, 3), made)
    one = double(jnp.full((1, 1, 1, 2), 0.3), rule=rule)
    np.testing.assert_allclose(one, 0.3, rtol=1e-6)


def test_half_pixel_is_jax_and_pytorch():
    x = jax.random.uniform(jax.random.key(0), (2, 5, 7, 3))
    wanted = jax.image.resize(x, (2, 10, 14, 3), "linear")
    np.testing.assert_allclose(double(x, rule="half_pixel"), wanted, atol=1e-6)
    torch = pytest.importorskip("torch")
    nchw = torch.from_numpy(np.moveaxis(np.asarray(x), -1, 1).copy())
    for rule, flag in (("half_pixel", False), ("align_corners", True)):
        theirs = torch.nn.functional.interpolate(
            nchw, scale_factor=2, mode="bilinear", align_corners=flag
        )
        np.testing.assert_allclose(
            double(x, rule=rule), np.moveaxis(theirs.numpy(), 1, -1), atol=1e-5
        )


def test_another_rule_is_refused():
    with pytest.raises(UserError, match="no rule 'cubic'.*half_pixel"):
        double(LINE, rule="cubic")
