"""Deep Image Prior's networks: counts, shapes, starts, and the reference's outputs and gradients."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import prior_names
from reference.random_trees import shapes_of

from jaxsr.models.skip_net import SkipNet, cropped
from jaxsr.types import UserError

pytestmark = pytest.mark.usefixtures("unoptimised")

FIXTURES = Path(__file__).parents[3] / "shared/data/dip/fixtures"


def net(*, outputs=3, widths=(128,) * 5, skip=4, sizes=(3, 3), enlarge="bilinear", **options):
    """A SkipNet whose lists are as long as the widths."""
    count = len(widths)

    def each(value):
        return value if isinstance(value, tuple) else (value,) * count

    return SkipNet(
        outputs=outputs, down=widths, up=widths, skip=each(skip), down_sizes=each(sizes[0]),
        up_sizes=each(sizes[1]), enlarge=each(enlarge), **options,
    )  # fmt: skip


LIBRARY = (16, 32, 64, 128, 128, 128)
_LIBRARY = dict(skip=0, sizes=(5, 3), enlarge="nearest", mix=False)
_INVERTED = dict(sizes=((7, 7, 5, 5, 3, 3),) * 2, enlarge="nearest", reduce="avg", pad="zero")


def code(channels):
    return ((1, 64, 64, channels),)


# specs/deep_image_prior.md section 3.2: instantiated modules of the reference
COUNTS = [
    (net(), code(32), 2_217_831),
    (net(widths=(8, 16, 32, 64, 128), skip=(0, 0, 0, 4, 4)), code(3), 572_827),
    (net(), code(3), 2_184_307),
    (net(skip=128, enlarge="nearest"), code(32), 3_002_627),
    (net(skip=0, enlarge="nearest"), code(2), 2_157_955),
    (net(widths=LIBRARY, **_LIBRARY), code(1), 2_996_467),
    (net(widths=LIBRARY[:4], **_LIBRARY), code(1), 1_060_339),
    (net(widths=LIBRARY[:2], **_LIBRARY), code(1), 59_635),
    (net(outputs=1), code(32), 2_217_573),
    (net(widths=(16, 32, 64, 128, 128), skip=0, reduce="avg"), code(32), 1_027_379),
    (net(enlarge=("nearest", "nearest") + ("bilinear",) * 3), code(3), 2_184_307),
    (net(widths=LIBRARY, **_INVERTED), code(32), 2_606_763),
    (net(widths=LIBRARY, **_INVERTED), code(2), 2_583_123),
    (
        net(
            widths=LIBRARY, skip=(0, 4, 4, 4, 4, 4), sizes=((5, 3, 5, 5, 3, 5), (5, 3, 5, 3, 5, 3)),
            reduce="avg",
        ),
        code(32), 2_948_567,
    ),
    (net(widths=(32,) * 4), code(32), 121_779),
    (net(widths=(32,) * 5), code(32), 152_199),
]  # fmt: skip


@pytest.mark.parametrize("network, shapes, count", COUNTS)
def test_count(network, shapes, count):
    made = shapes_of(network, jax.ShapeDtypeStruct(shapes[0], jnp.float32))
    assert sum(leaf.size for leaf in jax.tree.leaves(made)) == count


def test_tensors_of_the_table():
    """112 tensors, of which 26 kernels of convolutions and 30 scales, for denoising; 86, 19, 24."""
    for network, channels, wanted in (
        (net(), 32, (112, 26, 30)),
        (net(widths=LIBRARY, **_LIBRARY), 1, (86, 19, 24)),
    ):
        made = shapes_of(network, jax.ShapeDtypeStruct((1, 64, 64, channels), jnp.float32))
        leaves = jax.tree.leaves(made)
        sizes = (len(leaves), sum(x.ndim == 4 for x in leaves))
        assert sizes == wanted[:2] and wanted[0] == 2 * (wanted[1] + wanted[2])


def test_joins_of_a_size_that_is_no_multiple_are_cropped_in_the_middle():
    a, b = jnp.arange(5.0)[None, :, None, None], jnp.zeros((1, 4, 1, 1))
    left, right = cropped(a, b)
    np.testing.assert_array_equal(left.ravel(), [0, 1, 2, 3])
    assert right.shape == left.shape
    left, _ = cropped(jnp.arange(6.0)[None, :, None, None], b)
    np.testing.assert_array_equal(left.ravel(), [1, 2, 3, 4])
    shape = jax.eval_shape(
        lambda x: net(widths=(4,) * 5).init_with_output(jax.random.key(0), x)[0],
        jnp.zeros((1, 514, 514, 2)),
    ).shape
    assert shape == (1, 514, 514, 3)
    with pytest.raises(UserError, match="multiples of 32, not 66×66"):
        jax.eval_shape(net(skip=0).init, jax.random.key(0), jnp.zeros((1, 66, 66, 2)))


def test_lists_have_one_entry_for_each_scale():
    made = net(widths=(4, 4)).clone(skip=(4,))
    with pytest.raises(UserError, match="one entry for each scale"):
        jax.eval_shape(made.init, jax.random.key(0), jnp.zeros((1, 8, 8, 2)))


@pytest.mark.parametrize(
    "change, said",
    [
        ({"pad": "reflect"}, "no pad 'reflect': it is one of reflection, zero"),
        ({"activation": "relu"}, "no activation 'relu'"),
        ({"reduce": "average"}, "no reduce 'average'"),
        ({"reduce": ("avg", "mean")}, "no reduce 'mean'"),
        ({"enlarge": ("nearest", "cubic")}, "no enlarge 'cubic'"),
    ],
)
def test_words_that_it_does_not_know_are_named(change, said):
    made = net(widths=(4, 4)).clone(**change)
    with pytest.raises(UserError, match=said):
        jax.eval_shape(made.init, jax.random.key(0), jnp.zeros((1, 8, 8, 2)))


def test_each_scale_may_be_reduced_in_a_way_of_its_own():
    x = jax.random.uniform(jax.random.key(1), (1, 16, 16, 2))
    both, first, last = (
        net(widths=(4, 4), skip=0).clone(reduce=rules)
        for rules in ("avg", ("avg", "max"), ("avg", "avg"))
    )
    held = jax.jit(both.init)(jax.random.key(0), x)
    made = [np.asarray(jax.jit(each.apply)(held, x)) for each in (both, first, last)]
    np.testing.assert_array_equal(made[0], made[2])
    assert np.abs(made[0] - made[1]).max() > 1e-4


FORMS = {
    "skip_crop_66": net(outputs=1, widths=(8,) * 5),
    "skip_mixed_avg": net(
        widths=(8, 12, 16), skip=(0, 4, 4), enlarge=("nearest", "nearest", "bilinear"), reduce="avg",
        pad="zero", sizes=((7, 5, 3), (5, 3, 3)),
    ),
    "skip_no1x1": net(widths=(8, 16), skip=0, sizes=(5, 3), mix=False, enlarge="nearest"),
}  # fmt: skip


@pytest.mark.parametrize("remat", [False, True], ids=["stored", "again"])
@pytest.mark.parametrize("name", FORMS)
def test_outputs_and_gradients_are_the_references(name, remat):
    path = FIXTURES / f"{name}.npz"
    if not path.is_file():
        pytest.skip("the fixtures of the reference are not here")
    held, network = np.load(path), FORMS[name].clone(remat=remat)
    params = prior_names.compare(network, held, lambda state: prior_names.skip_tree(state, network))
    shape = jax.ShapeDtypeStruct(np.moveaxis(held["x"], 1, -1).shape, jnp.float32)
    assert jax.tree.structure(params) == jax.tree.structure(shapes_of(network, shape)["params"])


def test_starts_as_in_pytorch_and_normalisation_hides_biases():
    network = net(widths=(8, 8))
    x = jax.random.uniform(jax.random.key(1), (1, 16, 16, 5))
    held = jax.jit(network.init)(jax.random.key(0), x)["params"]
    kernel, bias = held["down1"]["conv1"]["kernel"], held["down1"]["conv1"]["bias"]
    bound = (5 * 9) ** -0.5
    assert 0.95 * bound < float(jnp.abs(kernel).max()) <= bound
    assert 0 < float(jnp.abs(bias).max()) <= bound
    assert (held["up1"]["join"]["scale"] == 1).all() and (held["up1"]["join"]["bias"] == 0).all()
    moved = jax.tree.map(lambda leaf: leaf, held)
    moved["down1"]["conv1"]["bias"] = bias + 3.0
    apply = jax.jit(network.apply)
    before, after = (apply({"params": each}, x) for each in (held, moved))
    np.testing.assert_allclose(before, after, atol=1e-5)
    assert float(before.min()) > 0 and float(before.max()) < 1


@pytest.mark.parametrize(
    "reduce, activation", [("lanczos2", "elu"), ("lanczos3", "none"), ("max", "swish")]
)
def test_every_option_makes_an_image_of_its_own(reduce, activation):
    x = jax.random.uniform(jax.random.key(1), (1, 16, 24, 2))
    plain = net(widths=(8, 8))
    held = jax.jit(plain.init)(jax.random.key(0), x)
    made, other = (
        jax.jit(each.apply)(held, x)
        for each in (plain.clone(reduce=reduce, activation=activation), plain)
    )
    assert made.shape == (1, 16, 24, 3) and float(jnp.abs(made - other).max()) > 1e-3
