"""Tiles: equal to the whole image for every network, one compilation, memory within the budget."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from reference.restore_command import command, tiny_weights
from reference.restorers import SMALL, image, restorer, small

from jaxsr import build_method, build_restorer
from jaxsr.inference import budget, receptive, tiles
from jaxsr.inference.restorer import Restorer, colour
from jaxsr.inference.spans import spans
from jaxsr.models.blocks import convolution
from jaxsr.types import UserError

# float32 sums in another order; results here are of order 1, and equal to 1e-6 as a rule
TOLERANCE = 1e-5


def plain(scale=1, channels=3):
    """One 3x3 convolution with a bias, of which one can count the calls."""
    module = _Plain(channels)
    made = restorer("plain", _WithScale(module, scale))
    return made


class _Plain(nn.Module):
    channels: int

    @nn.compact
    def __call__(self, x, *, train=False):
        return convolution(self.channels, 3, name="conv", dtype=jnp.float32)(x)


class _WithScale(nn.Module):
    net: nn.Module
    scale: int

    def __call__(self, x, *, train=False):
        return self.net(x)


def counting(made):
    """(restorer, list that grows by a shape whenever the network is traced)."""
    seen = []

    def apply(variables, *inputs):
        seen.append(inputs[0].shape)
        return made.apply(variables, *inputs)

    return made._replace(apply=apply), seen


def test_every_restoring_network_is_in_the_table():
    restoring = {
        name
        for name, network in build_method.NETWORKS.items()
        if name in build_restorer.FIXED_SCALE
        or "scale" in {field.name for field in dataclasses.fields(network)}
    }
    # FiLM looks at the mean over the whole prior: test_receptive.py
    assert restoring - {"film_net"} == {name for name, _ in SMALL.values()}


# variants whose edges are those of another row
SLOW = ("carn shared", "compositional joined", "espcn seed", "fsrcnn shuffle", "sftnet torch")
LABELS = [pytest.param(label, marks=[pytest.mark.slow] * (label in SLOW)) for label in SMALL]


@pytest.mark.parametrize("label", LABELS)
def test_tiled_equals_whole(label):
    """An odd image, three windows high and narrower than one; the overlap is the exact support."""
    made = small(label)
    reach = receptive.support(made)
    tile = 2 * reach + 12
    whole = tiles.whole(made)
    tiled = tiles.tiled(made, tile=tile, overlap=reach)
    lq = image(tile + 15, tile - 7, made.channels)
    expected = whole(lq)
    assert expected.shape == (made.scale * (tile + 15), made.scale * (tile - 7), made.channels)
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(tiled(lq), expected, rtol=0, atol=TOLERANCE * scale)


def test_the_result_does_not_depend_on_the_window():
    made = small("legacy_srresnet")
    images = [image(*size, 3) for size in ((40, 53), (3, 70), (1, 1))]
    whole = tiles.whole(made)
    expected = [whole(lq) for lq in images]
    for tile in (24, 31, 64):
        tiled = tiles.tiled(made, tile=tile, overlap=8)
        for lq, result in zip(images, expected, strict=True):
            np.testing.assert_allclose(tiled(lq), result, rtol=0, atol=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("label", SMALL)
def test_small_images_of_every_network(label):
    made = small(label)
    whole, tiled = tiles.whole(made), tiles.tiled(made, tile=16, overlap=0)
    for size in ((1, 1), (1, 15), (4, 2), (16, 3)):
        lq = image(*size, made.channels)
        np.testing.assert_allclose(tiled(lq), whole(lq), rtol=0, atol=TOLERANCE)


def test_without_the_mask_a_small_image_is_wrong(monkeypatch):
    made = small("legacy_srresnet")
    lq = image(9, 14, 3)
    expected = tiles.whole(made)(lq)
    monkeypatch.setattr(budget, "inside", lambda apply: lambda v, extent, *x: apply(v, *x))
    found = tiles.tiled(made, tile=32, overlap=8)(lq)
    assert np.abs(found - expected).max() > 1e-2


def test_an_overlap_below_the_support_shows():
    made = small("dncnn")
    assert receptive.support(made) == 4
    lq = image(30, 30, 1)
    found = tiles.tiled(made, tile=16, overlap=3)(lq)
    assert np.abs(found - tiles.whole(made)(lq)).max() > 1e-4


def test_one_compilation_whatever_the_sizes():
    made, seen = counting(plain())
    run = tiles.tiled(made, tile=16, overlap=2)
    before = len(seen)
    for size in ((40, 21), (16, 16), (5, 33), (1, 1)):
        run(image(*size, 3))
    assert seen[before:] == [(1, 16, 16, 3)]
    before = len(seen)
    whole = tiles.whole(made)
    for size in ((40, 21), (17, 9), (40, 21)):
        whole(image(*size, 3))
    # behind the trace that finds the grid
    assert seen[before + 1 :] == [(1, 40, 21, 3), (1, 17, 9, 3)]


def test_the_command_compiles_the_network_and_nothing_else(root, tmp_path, caplog):
    """Not even the small programs of a slice on the device, one for every size."""
    (tmp_path / "in").mkdir()
    sizes = [(5, 9), (16, 33), (1, 1), (77, 31)]  # no other test has windows of 80
    for height, width in sizes:
        levels = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(levels).save(tmp_path / "in" / f"{height}.png")
    weights, run = tiny_weights(tmp_path / "tiny.safetensors"), command(root).main
    with caplog.at_level("WARNING"), jax.log_compiles():
        status = run([str(tmp_path / "in"), "--weights", weights, "--out", str(tmp_path / "out")])
    assert status == 0 and len(list((tmp_path / "out").iterdir())) == len(sizes)
    made = [text for text in caplog.messages if text.startswith("Compiling ")]
    assert len(made) == 1 and "jit(run)" in made[0]


def test_colour_window_by_window_writes_levels_into_a_given_array():
    made = small("vdsr")
    rgb = np.random.default_rng(1).integers(0, 256, (37, 29, 3), np.uint8)
    whole = colour(made, tiles.whole(made), rgb)
    expected = np.floor(np.clip(whole, 0, 1) * 255 + 0.5)

    def each(run, part):
        return np.floor(np.clip(colour(made, run, part), 0, 1) * 255 + 0.5).astype(np.uint8)

    out, steps = np.zeros((111, 87, 3), np.uint8), []
    run = tiles.tiled(made, tile=24, overlap=7)
    found = run(rgb, each=each, out=out, progress=lambda *step: steps.append(step))
    assert found is out
    # a value at the border of two levels may round either way
    assert np.abs(out - expected).max() <= 1 and (out != expected).mean() < 1e-3
    assert steps[-1] == (len(steps), len(steps)) and len(steps) > 4


def test_the_windows_of_an_axis():
    assert [tuple(span) for span in spans(10, tile=16, overlap=3)] == [(0, 10, 0, 10)]
    assert [tuple(span) for span in spans(25, tile=16, overlap=3)] == [
        (0, 16, 0, 13),
        (9, 25, 13, 25),
    ]
    assert [tuple(span) for span in spans(27, tile=16, overlap=3)] == [
        (0, 16, 0, 13), (10, 26, 13, 23), (11, 27, 23, 27),
    ]  # fmt: skip
    for length in range(1, 90):
        found = spans(length, tile=16, overlap=3)
        kept = [pixel for span in found for pixel in range(span.first, span.last)]
        assert kept == list(range(length))
        for span in found:
            assert 0 <= span.start <= span.first < span.last <= span.stop <= length
            assert span.start == 0 or span.first - span.start >= 3
            assert span.stop == length or span.stop - span.last >= 3
    with pytest.raises(UserError, match="too small for a network that reaches 8"):
        spans(25, tile=16, overlap=8)


def test_runner_keeps_to_the_memory_and_takes_no_window_larger_than_the_images():
    made = plain()
    size, _, used = budget.fitting(made, [64, 32, 16], memory_mib=0.5)
    assert size == 64 and used <= 2**19
    # 64² pixels of 3 channels in float32 are 49,152 bytes, once in and once out
    assert used >= 2 * 49_152
    size, _, used = budget.fitting(made, [64, 32, 16], memory_mib=0.08)
    assert size < 64 and used <= 0.08 * 2**20
    with pytest.raises(UserError, match="MiB are too little for plain"):
        budget.fitting(made, [64, 32, 16], memory_mib=0.001)
    said = []
    run = tiles.runner(made, memory_mib=100, report=said.append, largest=41)
    lq = image(41, 20, 3)
    np.testing.assert_allclose(run(lq), tiles.whole(made)(lq), rtol=0, atol=TOLERANCE)
    assert said[0].startswith("windows of 48² pixels")


def test_runner_that_knows_no_sizes_makes_windows_for_the_images_that_come():
    made, seen = counting(plain())
    said = []
    run = tiles.runner(made, memory_mib=0.5, report=said.append)
    whole = tiles.whole(made)
    for size in ((20, 9), (32, 30), (7, 40), (20, 20), (200, 30), (90, 300)):
        lq = image(*size, 3)
        np.testing.assert_allclose(run(lq), whole(lq), rtol=0, atol=TOLERANCE)
    # half a MiB holds no larger ones; 200 × 30 pixels are then cut evenly, and 300 change nothing
    assert [text.split(",")[0] for text in said] == [
        "windows of 32² pixels", "windows of 48² pixels", "windows of 80² pixels",
    ]  # fmt: skip


def test_windows_are_cut_evenly():
    """By hand: 100 pixels want two windows of at least 54 with an overlap of 4, so of 64."""
    assert budget.even(100, 100, tile=96, overlap=4) == 64
    assert budget.even(100, 40, tile=96, overlap=4) == 64
    # three of 48 (40 of them new) would do the first, at less work, were a call for nothing
    assert 9 * (48**2 + budget.CALL) > 4 * (64**2 + budget.CALL)
    # no smaller window has room for the overlap
    assert budget.even(1000, 1000, tile=64, overlap=31) == 64
    assert budget.even(1000, 1000, tile=64, overlap=40) == 64


def test_runner_takes_smaller_windows_when_the_device_runs_out_of_memory():
    made, seen = counting(plain())

    def apply(variables, *inputs):
        if inputs[0].shape[1] > 40 and inputs[0].shape[1] % 8 == 0:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return made.apply(variables, *inputs)

    said = []
    run = tiles.runner(made._replace(apply=apply), memory_mib=100, report=said.append, largest=96)
    lq = image(75, 50, 3)
    np.testing.assert_allclose(run(lq), tiles.whole(made)(lq), rtol=0, atol=TOLERANCE)
    assert said[0] == "out of memory: windows of at most 64² pixels now"
    assert said[-1].startswith("windows of 32² pixels")

    def broken(variables, *inputs):
        if inputs[0].shape[1] > 16:
            raise jax.errors.JaxRuntimeError("INTERNAL: another fault")
        return made.apply(variables, *inputs)

    with pytest.raises(jax.errors.JaxRuntimeError, match="another fault"):
        tiles.runner(made._replace(apply=broken), memory_mib=100)(lq)


def test_wrong_images_are_refused():
    run = tiles.tiled(small("dncnn"), tile=16, overlap=4)
    for shape in ((4, 4), (4, 4, 2), (0, 4, 1)):
        with pytest.raises(ValueError, match="takes"):
            run(np.zeros(shape, np.float32))


def test_restorer_is_plain_data():
    assert Restorer._fields == (
        "name", "scale", "channels", "apply", "variables", "prior", "card",
    )  # fmt: skip
