"""Counts, shapes, identities and reach of the classic luminance networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference.random_trees import random_like, shapes_of

from jaxsr.models.dncnn import DnCNN
from jaxsr.models.espcn import ESPCN
from jaxsr.models.fsrcnn import FSRCNN
from jaxsr.models.idn import IDN
from jaxsr.models.lapsrn import LapSRN, MSLapSRN, bilinear_kernel
from jaxsr.models.srcnn import SRCNN
from jaxsr.models.vdsr import VDSR
from jaxsr.ops.resize import imresize

Y, RGB = (1, 8, 8, 1), (1, 8, 8, 3)
# (module, input shapes, parameters). Provenance: zoo sheet, section 3, column (c) and section 5.2
# (reference modules instantiated under torch, or counted in the released files); the graphs of
# FSRCNN from the README beside the staged files.
COUNTS = [
    (SRCNN(), (Y,), 57_281),
    (SRCNN(kernels=(9, 3, 5)), (Y,), 24_513),
    (SRCNN(kernels=(9, 1, 5), border="edge"), (Y,), 8_129),
    (FSRCNN(), (Y,), 12_809),
    (FSRCNN(scale=2), (Y,), 12_809),
    (FSRCNN(features=32, shrink=5, depth=1), (Y,), 4_086),
    (FSRCNN(scale=2, tail="shuffle"), (Y,), 8_497),
    (FSRCNN(scale=3, tail="shuffle"), (Y,), 8_777),
    (FSRCNN(scale=4, tail="shuffle", features=32, shrink=5, depth=1), (Y,), 2_006),
    (ESPCN(scale=2), (Y,), 21_284),
    (ESPCN(scale=3), (Y,), 22_729),
    (ESPCN(scale=4), (Y,), 24_752),
    (ESPCN(scale=3, variant="tensorflow"), (Y,), 22_729),
    (ESPCN(scale=2, variant="seed"), (Y,), 58_212),
    (ESPCN(scale=3, variant="seed"), (Y,), 59_657),
    (ESPCN(scale=4, variant="seed"), (Y,), 61_680),
    (VDSR(), (Y,), 665_921),
    (VDSR(bias=False), (Y,), 664_704),
    (DnCNN(), (Y,), 555_137),
    (DnCNN(batch_norm=True), (Y,), 557_057),
    (DnCNN(batch_norm=True, bias="unnormalised"), (Y,), 556_097),
    # the staged file: 558,031 arrays' values less 15 counters and 15 means and variances of 64
    (DnCNN(batch_norm=True, bias="first"), (Y,), 558_031 - 15 - 15 * 128),
    (DnCNN(depth=20), (Y,), 665_921),
    (DnCNN(depth=20, batch_norm=True), (Y,), 668_225),
    (DnCNN(depth=20, channels=3), (RGB,), 668_227),
    (DnCNN(depth=20, channels=3, batch_norm=True), (RGB,), 670_531),
    (LapSRN(scale=2), (Y,), 407_441),
    (LapSRN(scale=4), (Y,), 814_242),
    # x8: three levels of five convolutions less than ten each has, and one input convolution
    (LapSRN(scale=8, depth=5), (Y,), 640 + 3 * (407_441 - 640 - 5 * 36_928)),
    (MSLapSRN(recursions=2), (Y,), 222_801),
    (MSLapSRN(recursions=5, scale=2), (Y,), 222_801),
    (MSLapSRN(recursions=8, scale=8), (Y,), 222_801),
    (IDN(scale=2), (Y,), 552_769),
    (IDN(scale=3), (Y,), 552_769),
    (IDN(scale=4), (Y,), 552_769),
]
SMALL = {
    SRCNN: dict(features=(4, 3)),
    FSRCNN: dict(features=6, shrink=4, depth=1),
    ESPCN: {},
    VDSR: dict(depth=4, features=4),
    DnCNN: dict(depth=4, features=4),
    LapSRN: dict(depth=2, features=4),
    MSLapSRN: dict(depth=2, features=4, recursions=2),
    IDN: dict(features=16),
}


def image(h, w, channels=1, *, seed=0):
    return np.random.default_rng(seed).random((1, h, w, channels)).astype(np.float32)


def zeros_of(module, lq):
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes_of(module, lq))


def start_of(module, names):
    """The drawn parameters under these names; the compiler leaves out all other draws."""

    def draw(key, lq):
        params = module.init(key, lq)["params"]
        return {name: params[name] for name in names}

    return jax.jit(draw)(jax.random.key(0), image(4, 4))


@pytest.mark.parametrize(
    "module, shapes, count", COUNTS, ids=[f"{type(m).__name__}-{c}" for m, _, c in COUNTS]
)
def test_parameters(module, shapes, count):
    variables = shapes_of(module, *(np.zeros(shape) for shape in shapes))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count


@pytest.mark.parametrize("network", SMALL)
@pytest.mark.parametrize("channels", [1, 3])
def test_output_is_s_times_the_input_at_odd_sizes(network, channels):
    scales = (2, 4, 8) if network in (LapSRN, MSLapSRN) else (2, 3, 4)
    lq = image(5, 7, channels)
    for scale in scales:
        module = network(scale=scale, channels=channels, **SMALL[network])
        out = jax.eval_shape(lambda x, m=module: m.init_with_output(jax.random.key(0), x)[0], lq)
        assert out.shape == (1, 5 * scale, 7 * scale, channels)
        assert out.dtype == jnp.float32


@pytest.mark.parametrize("network", SMALL)
def test_bfloat16_computes_and_keeps_float32_outside(network):
    module = network(scale=2, dtype=jnp.bfloat16, **SMALL[network])
    lq = image(4, 4)
    out, variables = jax.eval_shape(
        lambda x: module.init_with_output(jax.random.key(0), x.astype(jnp.bfloat16)), lq
    )
    assert out.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    program = jax.jit(module.apply).lower(variables, lq).as_text()
    assert "bf16" in program


@pytest.mark.parametrize("network", [VDSR, DnCNN, IDN])
def test_zero_weights_give_the_bicubic_image(network):
    lq = image(5, 7)
    module = network(scale=3, **SMALL[network])
    out = jax.jit(module.apply)(zeros_of(module, lq), lq)
    bicubic = imresize(lq[0].astype(np.float64), 3, border="clamp", round_passes=False)
    # float32 products of weights in double: 1e-7 of values up to 1
    np.testing.assert_allclose(out[0], bicubic, atol=1e-6)


@pytest.mark.parametrize("network", [VDSR, DnCNN])
def test_zero_weights_at_scale_1_give_the_input_itself(network):
    lq = image(5, 7)
    module = network(**SMALL[network])
    np.testing.assert_array_equal(module.apply(zeros_of(module, lq), lq), lq)
    if network is DnCNN:
        module = network(residual=False, **SMALL[network])
        assert not module.apply(zeros_of(module, lq), lq).any()


@pytest.mark.parametrize("network", [SRCNN, VDSR, DnCNN])
def test_scale_enlarges_and_then_works_at_scale_1(network):
    lq = image(4, 5)
    small, large = (network(scale=s, **SMALL[network]) for s in (1, 2))
    variables = random_like(shapes_of(small, lq), seed=3)
    bicubic = imresize(lq[0].astype(np.float64), 2, border="clamp", round_passes=False)
    expected = small.apply(variables, bicubic[None].astype(np.float32))
    # the enlargement is rounded to float32 on one side before, on the other after its two passes
    np.testing.assert_allclose(large.apply(variables, lq), expected, atol=2e-6)


@pytest.mark.parametrize("network, name", [(LapSRN, "level1_img_up"), (MSLapSRN, "img_up")])
def test_lapsrn_without_residuals_is_bilinear_with_dark_ends(network, name):
    lq = np.array([1.0, 2.0, 4.0], np.float32).reshape(1, 1, 3, 1) * np.ones(
        (1, 5, 1, 1), np.float32
    )
    module = network(scale=2, **SMALL[network])
    params = zeros_of(module, lq)["params"] | start_of(module, [name])
    out = module.apply({"params": params}, lq)
    # by hand: (¼, ¾) of the two nearest pixels; nothing lies beyond the ends
    line = np.array([0.75, 1.25, 1.75, 2.5, 3.5, 3.0])
    rows = np.array([0.75, *[1.0] * 8, 0.75])
    np.testing.assert_allclose(out[0, :, :, 0], np.outer(rows, line), rtol=1e-6)


def test_bilinear_kernel_keeps_channels_apart():
    kernel = np.asarray(bilinear_kernel(jax.random.key(0), (4, 4, 2, 2)))
    assert kernel[0, 1, 0, 0] == 0.25 * 0.75
    assert not kernel[:, :, 0, 1].any()
    # each of the four output phases of a constant is the constant
    assert kernel[::2, ::2, 1, 1].sum() == kernel[1::2, ::2, 1, 1].sum() == 1.0


def test_srcnn_with_edges_keeps_a_constant_image_constant():
    lq = np.full((1, 6, 9, 1), 0.5, np.float32)
    for border, flat in (("edge", True), ("zero", False)):
        module = SRCNN(kernels=(9, 3, 5), border=border, **SMALL[SRCNN])
        out = module.apply(random_like(shapes_of(module, lq), seed=1), lq)
        assert (np.ptp(out) < 1e-6) == flat  # sums of 81 products in another order


def reach(module, size):
    """Extent of the input pixels that move the centre output pixel, per axis of a square image."""
    lq = jnp.ones((1, size, size, module.channels))
    # positive weights and inputs keep every ReLU open, means in the place of sums every tanh unsaturated
    level = lambda leaf: jnp.full(leaf.shape, 1 / np.prod(leaf.shape[:-1]))
    variables = jax.tree.map(level, shapes_of(module, lq))
    half = size // 2 * module.scale
    moved = jax.grad(lambda x: module.apply(variables, x)[0, half, half, 0])(lq)[0, :, :, 0]
    rows, columns = (np.flatnonzero(np.asarray(moved).any(axis)) for axis in (1, 0))
    return np.ptp(rows) + 1, np.ptp(columns) + 1


@pytest.mark.parametrize(
    "module, pixels",
    # zoo sheet, section 12
    [
        (VDSR(features=2), 41),
        (SRCNN(features=(2, 2)), 17),
        (DnCNN(features=2), 35),
        (ESPCN(scale=2), 9),
    ],
    ids=lambda value: type(value).__name__,
)
def test_receptive_field(module, pixels):
    assert reach(module, pixels + 4) == (pixels, pixels)


def test_mslapsrn_skips_and_recursions_differ_with_equal_weights():
    lq = image(4, 4)
    options = SMALL[MSLapSRN] | {"scale": 2}
    variables = random_like(shapes_of(MSLapSRN(**options), lq), seed=2)
    outputs = [
        np.asarray(MSLapSRN(**options | other).apply(variables, lq))
        for other in ({}, {"skip": "DS"}, {"skip": "NS"}, {"recursions": 3})
    ]
    for i, one in enumerate(outputs):
        assert all(np.abs(one - other).max() > 1e-3 for other in outputs[:i])


def test_dncnn_merges_its_normalisation():
    """w·g/sqrt(v + eps) and (b - m)·g/sqrt(v + eps) + beta: KAIR's merge, eps 1e-4."""
    lq = image(6, 7)
    whole = DnCNN(depth=4, features=4, batch_norm=True)
    variables = random_like(shapes_of(whole, lq), seed=4)
    params, stats = variables["params"], variables["batch_stats"]
    merged = {}
    for i in range(4):
        layer = dict(params[f"conv_{i}"])
        if f"norm_{i}" in params:
            norm, held = params[f"norm_{i}"], stats[f"norm_{i}"]
            gain = norm["scale"] / jnp.sqrt(held["var"] + 1e-4)
            layer["kernel"] = layer["kernel"] * gain
            layer["bias"] = (layer["bias"] - held["mean"]) * gain + norm["bias"]
        merged[f"conv_{i}"] = layer
    plain = DnCNN(depth=4, features=4).apply({"params": merged}, lq)
    # the sheet's tolerance for a merge, section 12
    np.testing.assert_allclose(whole.apply(variables, lq), plain, atol=1e-5)


def test_dncnn_moves_its_statistics_when_training():
    lq = image(6, 7)
    module = DnCNN(depth=3, features=2, batch_norm=True)
    variables = random_like(shapes_of(module, lq), seed=5)
    _, moved = module.apply(variables, lq, train=True, mutable=["batch_stats"])
    # the same layer by hand: 0.1 of the old mean and 0.9 of the batch's
    first = jax.nn.relu(DnCNN(depth=2, features=2, channels=1, residual=False).apply(
        {"params": {"conv_0": variables["params"]["conv_0"],
                    "conv_1": {"kernel": jnp.zeros((3, 3, 2, 1)), "bias": jnp.zeros(1)}}},
        lq, capture_intermediates=True, mutable=["intermediates"],
    )[1]["intermediates"]["conv_0"]["__call__"][0])  # fmt: skip
    layer = variables["params"]["conv_1"]
    second = jax.lax.conv_general_dilated(
        first, layer["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    expected = 0.1 * variables["batch_stats"]["norm_1"]["mean"]
    expected += 0.9 * (second + layer["bias"]).mean((0, 1, 2))
    np.testing.assert_allclose(moved["batch_stats"]["norm_1"]["mean"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    "module, word",
    [
        (SRCNN(border="reflect"), "border"),
        (FSRCNN(tail="bicubic"), "tail"),
        (ESPCN(variant="relu"), "variant"),
        (DnCNN(bias="none"), "bias"),
        (LapSRN(scale=3), "scale"),
        (MSLapSRN(scale=3), "scale"),
        (MSLapSRN(skip="XX"), "skip"),
        (IDN(scale=10), "scale"),
        (IDN(features=24), "features"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_unknown_option_is_named(module, word):
    with pytest.raises(ValueError, match=f"^{word} must be"):
        shapes_of(module, image(4, 4))


@pytest.mark.parametrize(
    "module, deviations",
    # zoo sheet: 5.1, 5.2, 5.3, 5.6, 5.8; IDN_x4_deploy.prototxt (msra: fan-in, and both for the last)
    [
        (SRCNN(), {"conv1": 0.001, "conv2": 0.001}),
        (
            FSRCNN(depth=1),
            {
                "first_part": (2 / (56 * 25)) ** 0.5,
                "map_0": (2 / (12 * 9)) ** 0.5,
                "last_part": 0.001,
            },
        ),
        (ESPCN(), {"conv2": (2 / (32 * 9)) ** 0.5, "conv3": 0.001}),
        (VDSR(depth=3), dict.fromkeys(("input", "residual_layer_0", "output"), (2 / 576) ** 0.5)),
        (
            LapSRN(scale=2, depth=1),
            {
                "input_conv": 0.001,
                "level1_conv1": (2 / 576) ** 0.5,
                "level1_upconv": (2 / 576) ** 0.5,
            },
        ),
        (
            IDN(features=16),
            {
                "conv3_4": (2 / (12 * 9)) ** 0.5,
                "conv3_5": (2 / (4 * 9)) ** 0.5,
                "upsample": (4 / (289 * 17)) ** 0.5,
            },
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_kernels_start_with_the_stated_deviation_and_biases_at_zero(module, deviations):
    params = start_of(module, deviations)
    for name, deviation in deviations.items():
        # 400 draws and more: their deviation strays by 4 % of itself
        assert np.std(params[name]["kernel"]) == pytest.approx(deviation, rel=0.12)
        assert not params[name]["bias"].any()


def test_dncnn_starts_orthogonal_with_gain_02():
    params = start_of(DnCNN(depth=3, features=8), ["conv_1"])
    columns = np.asarray(params["conv_1"]["kernel"]).reshape(-1, 8)
    np.testing.assert_allclose(columns.T @ columns, 0.04 * np.eye(8), atol=1e-6)
