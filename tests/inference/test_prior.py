"""Prior maps of a segmenter: what it sees and what comes out."""

import jax.numpy as jnp
import numpy as np

from jaxsr.inference import prior
from jaxsr.ops.resize import imresize


def photograph(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_maps_are_probabilities_times_255_of_the_size_of_the_image():
    weights = jnp.asarray(np.random.default_rng(1).standard_normal((3, 8)) * 4, jnp.float32)
    maps = prior.prior_maps(lambda weights, image: image @ weights, weights)
    for size in ((20, 36), (64, 64), (68, 12)):
        found = maps(photograph(*size))
        assert found.shape == (*size, 8) and found.dtype == np.uint8
        # eight roundings of at most half a level
        assert np.abs(found.astype(int).sum(-1) - 255).max() <= 4
        assert found.max() > 200 and found.std() > 10


def test_a_sure_background_is_255_in_its_channel():
    logits = jnp.asarray([50.0] + [0.0] * 7)
    maps = prior.prior_maps(
        lambda logits, image: jnp.broadcast_to(logits, (*image.shape[:3], 8)), logits
    )
    found = maps(photograph(16, 24))
    assert (found[..., 0] == 255).all() and (found[..., 1:] == 0).all()


def test_the_segmenter_sees_the_degraded_image_padded_to_few_sizes():
    seen = []

    def segment(image):
        seen.append(image.shape)
        return jnp.concatenate([image, jnp.zeros((*image.shape[:3], 5))], -1) * 8

    maps = prior.prior_maps(lambda _, image: segment(image), {})
    # hard edges overshoot [0, 1] when they are reduced, and that is not to be clipped
    image = 255 * (photograph(10, 18) > 127).astype(np.uint8).repeat(4, 0).repeat(4, 1)
    found = maps(image)
    maps(photograph(44, 100))
    assert seen == [(1, 64, 128, 3)], "one compilation serves both sizes"
    small = imresize(image / 255.0, 1 / 4, border="mirror", round_passes=False)
    large = imresize(small, 4, border="mirror", round_passes=False)
    logits = np.concatenate([large, np.zeros((40, 72, 5))], -1) * 8
    power = np.exp(logits)
    expected = 255 * power / power.sum(-1, keepdims=True)
    # half a level of rounding, and float32 against float64
    np.testing.assert_allclose(found, expected, atol=0.501)
