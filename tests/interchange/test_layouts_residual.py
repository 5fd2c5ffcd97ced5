"""Layouts of the residual networks and VGG discriminators, against independent PyTorch builds."""

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from reference import disc_torch  # noqa: E402
from reference import residual_torch as ref  # noqa: E402
from reference.random_trees import shapes_of  # noqa: E402
from reference.sftgan_torch import SRResNet as LegacyTorch  # noqa: E402

from jaxsr.interchange import layouts_disc, layouts_residual, layouts_srresnet  # noqa: E402
from jaxsr.interchange.detect import detect  # noqa: E402
from jaxsr.models.carn import CARN  # noqa: E402
from jaxsr.models.disc_vgg import VGGDiscriminator  # noqa: E402
from jaxsr.models.edsr import EDSR  # noqa: E402
from jaxsr.models.legacy_srresnet import LegacySRResNet  # noqa: E402
from jaxsr.models.msrresnet import MSRResNet  # noqa: E402
from jaxsr.models.rrdbnet import RRDBNet  # noqa: E402
from jaxsr.models.srresnet import SRResNet  # noqa: E402
from jaxsr.types import UserError  # noqa: E402

LAYOUTS = layouts_residual.LAYOUTS + layouts_srresnet.LAYOUTS + layouts_disc.LAYOUTS
BY_NAME = {layout.name: layout for layout in LAYOUTS}
NETWORKS = {
    "carn": CARN,
    "edsr": EDSR,
    "legacy_srresnet": LegacySRResNet,
    "msrresnet": MSRResNet,
    "rrdbnet": RRDBNet,
    "srresnet": SRResNet,
    "vgg_discriminator": VGGDiscriminator,
}

# Both sides are float32 and add the products of a convolution in another order: 1e-7 relative each,
# some ten layers deep. A wrong layer, slope or channel order is off by 1e-1 at these weights.
TOLERANCE = 1e-5


def to_ours(layout, section, arrays):
    flat = {
        e.ours: np.ascontiguousarray(e.move.ours(arrays[e.theirs])) for e in layout.entries(section)
    }
    return flax.traverse_util.unflatten_dict(flat, sep="/")


def to_theirs(layout, section, variables):
    flat = flax.traverse_util.flatten_dict(variables, sep="/")
    made = {e.theirs: e.move.theirs(np.asarray(flat[e.ours])) for e in layout.entries(section)}
    return layout.constants(section) | made


def arrays_of(module):
    # copies: PyTorch moves running statistics in place
    return {name: value.numpy().copy() for name, value in module.state_dict().items()}


def nchw(images):
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).contiguous()


def nhwc(tensor):
    return tensor.permute(0, 2, 3, 1).numpy()


def image(h, w, batch=1, seed=0):
    return jnp.asarray(np.random.default_rng(seed).random((batch, h, w, 3)), jnp.float32)


def close(ours, theirs):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert theirs.std() > 1e-2  # large enough to tell
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE * np.abs(theirs).max())


F, B = dict(features=8, blocks=2), dict(f=8, blocks=2)
LEFT = dict(
    norm="batch", activation="prelu", bias="all", head_size=9, tail_size=9, output="tanh"
)  # fmt: skip
TWTY = LEFT | dict(norm="instance", activation="lrelu", bias="none", output="linear", scale=4)
OLD_D = dict(down_size=4, hidden=100, bias=True, pool=False, start="kaiming", features=8)
BASIC, OLD = "XPixelGroup/BasicSR", "XPixelGroup/BasicSR@9fd09d4"

# (layout, PyTorch module, section). The modules carry the names of the repositories.
CASES = {
    "msrresnet_x2": (f"{BASIC} MSRResNet", lambda: ref.MSRResNet(2, **B), F | {"scale": 2}),
    "msrresnet_x3": (f"{BASIC} MSRResNet", lambda: ref.MSRResNet(3, **B), F | {"scale": 3}),
    "msrresnet_x4": (f"{BASIC} MSRResNet", lambda: ref.MSRResNet(4, **B), F | {"scale": 4}),
    "rrdb_x4": (
        f"{BASIC} RRDBNet",
        lambda: ref.RRDBNet(4, growth=4, **B),
        F | {"scale": 4, "growth": 4},
    ),
    "rrdb_x2": (
        f"{BASIC} RRDBNet",
        lambda: ref.RRDBNet(2, growth=4, **B),
        F | {"scale": 2, "growth": 4},
    ),
    "rrdb_x1": (
        f"{BASIC} RRDBNet",
        lambda: ref.RRDBNet(1, growth=4, **B),
        F | {"scale": 1, "growth": 4},
    ),
    **{
        f"edsr_x{s}": (
            f"{BASIC} EDSR",
            lambda s=s: ref.EDSR(s, residual_scale=1.0, **B),
            F | {"scale": s, "residual_scale": 1.0, "rgb_range": 255.0},
        )
        for s in (2, 3, 4)
    },
    **{
        f"edsr_son_x{s}": (
            "sanghyun-son/EDSR-PyTorch EDSR",
            lambda s=s, r=r: ref.EDSRSon(s, residual_scale=1.0, levels=r, **B),
            F | {"scale": s, "residual_scale": 1.0, "rgb_range": r},
        )
        for s, r in ((2, 255.0), (3, 1.0), (4, 255.0))
    },
    **{
        f"legacy_x{s}": (
            f"{OLD} SRResNet",
            lambda s=s: LegacyTorch(8, 2, s),
            F | {"scale": s},
        )
        for s in (2, 3, 4, 8)
    },
    **{
        f"leftthomas_x{s}": (
            "leftthomas/SRGAN Generator",
            lambda s=s: ref.SRGANGenerator(s, **B),
            F | LEFT | {"scale": s},
        )
        for s in (2, 4, 8)
    },
    "twtygqyy": ("twtygqyy/pytorch-SRResNet _NetG", lambda: ref.NetG(**B), F | TWTY),
    **{
        f"carn{'_m' * shared}_x{s}": (
            "nmhkahn/CARN-pytorch Net",
            lambda s=s, g=g, shared=shared: ref.CARN(s, 8, g, shared),
            {"features": 8, "groups": g, "shared": shared}
            | ({"scale": s} if s else {"scales": (2, 3, 4)}),
        )
        for g, shared in ((1, False), (4, True))
        for s in (2, 3, 4, 0)
    },
    **{
        f"disc_basicsr_{32 * 2 ** (n - 3)}": (
            f"{BASIC} VGGStyleDiscriminator",
            lambda n=n: disc_torch.VGGStyle(4, n),
            dict(features=4, down_size=4, hidden=100, bias=False, pool=False)
            | {"stages": n, "size": 4 * 2**n},
        )
        for n in (3, 5)
    },
    "disc_old_3x3": (
        f"{OLD} Discriminator_VGG",
        lambda: disc_torch.OldVGG(8, 3, 3),
        OLD_D | {"stages": 3, "size": 24},
    ),
    "disc_old_4x4": (
        f"{OLD} Discriminator_VGG",
        lambda: disc_torch.OldVGG(8, 3, 4),
        OLD_D | {"stages": 3, "size": 32},
    ),
    "disc_leftthomas": (
        "leftthomas/SRGAN Discriminator",
        lambda: disc_torch.PooledVGG(4),
        dict(features=4, down_size=3, hidden=1024, bias=True, pool=True, stages=4),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_detected_by_its_layout_alone_and_round_trip(case):
    name, build, section = CASES[case]
    module = ref.randomise(build(), seed=1)
    arrays = arrays_of(module)
    found = {lay.name: s for lay in LAYOUTS if (s := detect(lay, arrays)) is not None}
    assert found == {name: section}
    layout = BY_NAME[name]
    variables = to_ours(layout, section, arrays)
    network = NETWORKS[layout.network](**section)
    side = section.get("size", 8)
    shapes = shapes_of(network, image(side, side))
    assert jax.tree.map(lambda a: a.shape, variables) == jax.tree.map(lambda a: a.shape, shapes)

    back = to_theirs(layout, section, variables)
    assert set(back) == set(arrays)
    for key, value in arrays.items():
        assert back[key].dtype == value.dtype
        np.testing.assert_array_equal(back[key], value, strict=True, err_msg=key)
    fresh = ref.randomise(build(), seed=2)
    fresh.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in back.items()}, strict=True)


# without those whose layers the others have too: each compilation costs a second
SAME = ("carn_x2", "carn_x3", "carn_m_x2", "carn_m_x3", "carn_m_x4", "legacy_x8", "leftthomas_x8")
IMAGES = [case for case in CASES if not case.startswith("disc") and case not in SAME]


@pytest.mark.parametrize("case", IMAGES)
def test_same_image_as_pytorch(case):
    name, build, section = CASES[case]
    module = ref.randomise(build(), seed=3)
    variables = to_ours(BY_NAME[name], section, arrays_of(module))
    # RRDBNet x2 and x1 refuse odd sizes in PyTorch
    lq = image(4, 8) if section.get("scale") in (1, 2) and "rrdb" in case else image(5, 7)
    levels = section["rgb_range"] if "son" in case else 1.0
    for scale in section.get("scales", [0]):
        options = section | ({"scale": scale} if scale else {})
        with torch.no_grad():
            given = nchw(lq) * levels
            expected = nhwc(module(given, scale) if scale else module(given)) / levels
        ours = NETWORKS[BY_NAME[name].network](**options).apply(variables, lq)
        close(ours, expected)
        factor = options["scale"]
        assert ours.shape == (1, factor * lq.shape[1], factor * lq.shape[2], 3)


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("disc")])
@pytest.mark.parametrize("train", [False, True])
def test_same_logits_as_pytorch(case, train):
    name, build, section = CASES[case]
    if train and case == "disc_basicsr_128":
        pytest.skip("the smaller one has the same layers")
    # at a gain of 1.6 the logits of the images differ: LeakyReLU halves the variance at every layer
    module = ref.randomise(build(), seed=4, gain=1.6).train(train)
    layout = BY_NAME[name]
    variables = to_ours(layout, section, arrays_of(module))
    side = section.get("size", 21)  # the pooled one takes any size
    images = image(side, side, batch=3) * jnp.array([0.2, 0.5, 1.0]).reshape(3, 1, 1, 1)
    with torch.no_grad():
        expected = module(nchw(images))
    out, moved = NETWORKS[layout.network](**section).apply(
        variables, images, train=train, mutable=["batch_stats"]
    )
    close(out["gan"], expected)
    # running means after the step; the variances differ by n/(n-1), see blocks.batch_norm
    after = to_ours(layout, section, arrays_of(module))["batch_stats"]
    for place, stats in after.items():
        ours = moved["batch_stats"][place]["mean"]
        np.testing.assert_allclose(ours, stats["mean"], rtol=0, atol=1e-5)
        before = variables["batch_stats"][place]["mean"]
        assert np.array_equal(ours, before) != train


@pytest.mark.parametrize("kind, repository", [("esrgan", "xinntao/ESRGAN"), ("old", OLD)])
def test_older_names_of_rrdbnet(kind, repository):
    module = ref.randomise(ref.RRDBNet(4, growth=4, **B), seed=5)
    arrays = ref.rrdb_old_names(arrays_of(module), kind)
    found = {lay.name: s for lay in LAYOUTS if (s := detect(lay, arrays)) is not None}
    section = F | {"scale": 4, "growth": 4}
    assert found == {f"{repository} RRDBNet": section}
    layout, new = BY_NAME[f"{repository} RRDBNet"], BY_NAME[f"{BASIC} RRDBNet"]
    variables = to_ours(layout, section, arrays)
    chained = to_ours(new, section, arrays_of(module))
    jax.tree.map(np.testing.assert_array_equal, variables, chained)
    back = to_theirs(layout, section, variables)
    assert list(back) == list(arrays)  # the order of the state dict too
    with pytest.raises(UserError, match="has scale 4 and this network 2"):
        layout.entries(section | {"scale": 2})


def test_large_edsr_is_told_by_its_size():
    with torch.device("meta"):
        module = ref.EDSR(2)
    arrays = {n: np.broadcast_to(np.float32(0), p.shape) for n, p in module.state_dict().items()}
    section = detect(BY_NAME[f"{BASIC} EDSR"], arrays)
    assert (section["features"], section["blocks"], section["residual_scale"]) == (256, 32, 0.1)


def test_detection_reads_the_mean_shift():
    module = ref.randomise(ref.EDSRSon(2, residual_scale=1.0, **B), seed=6)
    layout, arrays = BY_NAME["sanghyun-son/EDSR-PyTorch EDSR"], arrays_of(module)
    half = {n: a.astype(np.float16) for n, a in arrays.items()}
    assert detect(layout, half)["rgb_range"] == 255.0
    without = {n: a for n, a in arrays.items() if "mean" not in n}
    assert detect(layout, without)["rgb_range"] == 255.0
    other = arrays | {"sub_mean.bias": np.array([-114.0, -111.0, -90.0], np.float32)}
    assert detect(layout, other) is None


@pytest.mark.parametrize("case", ["msrresnet_x4", "edsr_x2", "leftthomas_x4", "carn_x0"])
def test_a_name_too_few_or_too_many_is_another_file(case):
    name, build, _ = CASES[case]
    arrays = arrays_of(build())
    layout = BY_NAME[name]
    assert detect(layout, arrays) is not None
    assert detect(layout, arrays | {"extra.weight": np.zeros(3, np.float32)}) is None
    for gone in list(arrays):
        fewer = {n: a for n, a in arrays.items() if n != gone}
        counter = gone.endswith("num_batches_tracked") or "mean.shifter" in gone
        assert (detect(layout, fewer) is not None) == counter, gone
    assert detect(layout, {}) is None


def test_counters_may_be_absent():
    """Files of PyTorch before 0.4.1 have none."""
    name, build, section = CASES["disc_leftthomas"]
    arrays = {n: a for n, a in arrays_of(build()).items() if "num_batches" not in n}
    assert detect(BY_NAME[name], arrays) == section


@pytest.mark.parametrize(
    "layout, section, match",
    [
        ("leftthomas/SRGAN Generator", {}, "has output 'tanh' and this network 'symmetric'"),
        ("leftthomas/SRGAN Generator", LEFT | {"scale": 3}, "not by 3"),
        ("twtygqyy/pytorch-SRResNet _NetG", TWTY | {"scale": 2}, "has scale 4"),
        ("nmhkahn/CARN-pytorch Net", {"groups": 4}, "only in CARN-M"),
        ("nmhkahn/CARN-pytorch Net", {"scales": (2, 4)}, "the three 2, 3 and 4"),
        (f"{BASIC} VGGStyleDiscriminator", {"down_size": 3}, "has down_size 4"),
        # its first dense layer has 8·features·4·4 inputs, whatever the size
        (
            f"{BASIC} VGGStyleDiscriminator",
            {"size": 96},
            "takes no images of 96 pixels in 5 stages",
        ),
        (f"{OLD} Discriminator_VGG", {"size": 160, "bias": True}, "takes no images of 160 pixels"),
    ],
)
def test_what_a_class_cannot_hold_is_refused(layout, section, match):
    with pytest.raises(UserError, match=match):
        BY_NAME[layout].entries(section)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_defaults_stand_for_what_a_section_leaves_out(layout):
    """A card need not repeat the defaults of the network."""
    fixed = {"srresnet": LEFT if "leftthomas" in layout.name else TWTY}.get(layout.network, {})
    if layout.network == "vgg_discriminator":
        fixed = {k: v for k, v in layouts_disc._KINDS[layout.name][0].items()}
    names = [entry.theirs for entry in layout.entries(fixed)]
    assert len(names) == len(set(names)) > 20
