"""Self-ensemble and back-projection, against what they must do to known functions."""

import numpy as np
from reference.restorers import image, small

from jaxsr.inference import ensemble, receptive, tiles
from jaxsr.inference.restorer import Restorer
from jaxsr.ops.resize import imresize

RULE = {"border": "clamp", "round_passes": False}


def test_self_ensemble_is_the_mean_over_the_eight_symmetries():
    """A network that multiplies by a ramp of its own: the mean of the ramp's eight images is known."""

    def run(lq, *conditions):
        ramp = np.arange(lq.shape[1], dtype=np.float32)[None, :, None]
        return lq * ramp

    made = ensemble.self_ensemble(run)(np.ones((3, 3, 1), np.float32))
    # left-right, right-left, up, down, each twice: ((0,1,2) + (2,1,0)) / 2 along either axis is 1
    np.testing.assert_array_equal(made, np.ones((3, 3, 1), np.float32))
    lq = image(4, 6, 1)
    found = ensemble.self_ensemble(run)(lq)
    # the ramp's mean is 5/2 along an axis of 6 and 3/2 along one of 4, each in half of the cases
    np.testing.assert_allclose(found, lq * 2.0, rtol=1e-6)


def test_self_ensemble_of_something_symmetric_changes_nothing_and_turns_the_maps_too():
    calls = []

    def run(lq, *conditions):
        calls.append((lq.shape, conditions[0].shape))
        return np.repeat(np.repeat(lq, 2, 0), 2, 1) + conditions[0]

    lq, maps = image(3, 5, 1), image(6, 10, 1, seed=1)
    found = ensemble.self_ensemble(run)(lq, maps)
    np.testing.assert_allclose(found, run(lq, maps), rtol=0, atol=1e-6)
    assert {shapes[0] for shapes in calls[:8]} == {(3, 5, 1), (5, 3, 1)}
    assert len(calls) == 9


def test_back_projection_brings_the_reduction_to_the_image():
    made = small("edsr")
    lq = image(12, 9, 3)
    errors = []
    for steps in (0, 1, 4, 12):
        run = ensemble.back_projection(tiles.whole(made), made, steps=steps)
        out = run(lq)
        assert out.shape == (36, 27, 3) and out.dtype == np.float32
        errors.append(np.abs(imresize(out.astype(np.float64), 1 / 3, **RULE) - lq).max())
    assert errors[0] > errors[1] > errors[2] > errors[3]
    assert errors[3] < 0.05 * errors[0]


def test_back_projection_keeps_what_reduces_to_the_image_already():
    """A constant image through bicubic enlargement: nothing is missing."""
    made = Restorer("bicubic", 2, 1, None, {}, None, {})
    lq = np.full((5, 7, 1), 0.3, np.float32)

    def run(x):
        return imresize(x, 2, **RULE).astype(np.float32)

    found = ensemble.back_projection(run, made, steps=3)(lq)
    np.testing.assert_allclose(found, 0.3, rtol=0, atol=1e-7)


def test_both_work_window_by_window():
    made = small("edsr")
    lq = image(50, 41, 3)
    overlap = receptive.support(made) + ensemble.REACH

    def around(run):
        return ensemble.back_projection(ensemble.self_ensemble(run), made, steps=1)

    expected = around(tiles.whole(made))(lq)
    run = tiles.tiled(made, tile=2 * overlap + 10, overlap=overlap)
    found = run(lq, each=lambda one, part: around(one)(part))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_self_ensemble_of_windows_keeps_the_blocks_of_the_image():
    """RRDBNet ×2 moves blocks of 2×2 pixels into channels: turned, an odd image has others than its
    windows, unless both are grown to even sizes first."""
    made = small("rrdbnet x2")
    reach, step = receptive.support(made), receptive.structure(made).step
    tile = 2 * reach + 12
    lq = image(tile + 15, tile - 7, 3)

    def around(run, **options):
        return ensemble.self_ensemble(run, **options)

    expected = around(tiles.whole(made), step=step)(lq)
    assert expected.shape == (2 * (tile + 15), 2 * (tile - 7), 3)
    run = tiles.tiled(made, tile=tile, overlap=reach)
    found = run(lq, each=lambda one, part: around(one, step=step)(part))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert np.abs(around(run)(lq) - expected).max() > 1e-2


def test_self_ensemble_makes_one_map_for_all_turns():
    """A segmenter is not the same for a turned image; the command that restores turns its map."""
    made, seen = small("sftnet"), []

    def prior(lq):
        seen.append(lq.shape)
        return np.cumsum(made.prior(lq) // 64, axis=0, dtype=np.uint8)

    lq, run = image(6, 9, 3), tiles.whole(made)
    expected = ensemble.self_ensemble(run)(lq, prior(lq))
    found = ensemble.self_ensemble(run, prior=prior)(lq)
    np.testing.assert_array_equal(found, expected)
    assert seen == [(6, 9, 3)] * 2
