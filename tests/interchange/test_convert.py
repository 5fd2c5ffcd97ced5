"""Which layout a file has: every layout against all others, near misses, and what does not move."""

import importlib
import pkgutil

import flax.linen as nn
import jax
import numpy as np
import pytest
from reference.random_trees import random_like, shapes_of

import jaxsr.interchange
from jaxsr import build_method
from jaxsr.interchange import convert
from jaxsr.interchange.layout import Layout, conv_entries, no_constants
from jaxsr.types import UserError

FEATURES = ("alexnet", "squeezenet", "vgg16", "vgg19")  # of losses and metrics
TINY = {"features": 4, "blocks": 2}
TWTYGQYY = {
    "scale": 4, "norm": "instance", "activation": "lrelu", "bias": "none", "head_size": 9,
    "tail_size": 9, "output": "linear",
}  # fmt: skip
LEFTTHOMAS = {
    "size": 32, "features": 2, "stages": 4, "down_size": 3, "hidden": 1024, "bias": True, "pool": True,
}  # fmt: skip
# small networks: (name, section, channels of the image); the options that the layouts of other code
# fix are those of that code
NETWORKS = [
    ("srcnn", {"kernels": (9, 5, 5), "features": (4, 3)}, 1),
    ("srcnn", {"kernels": (9, 1, 5), "border": "edge"}, 1),
    ("fsrcnn", {"scale": 3, "features": 6, "shrink": 3, "depth": 2}, 1),
    ("fsrcnn", {"scale": 3, "features": 6, "shrink": 3, "depth": 2, "tail": "shuffle"}, 1),
    ("espcn", {"scale": 3}, 1),
    ("vdsr", {"depth": 4, "features": 4, "bias": False}, 1),
    ("vdsr", {"depth": 4, "features": 4}, 1),
    ("dncnn", {"depth": 4, "features": 4}, 1),
    ("dncnn", {"depth": 4, "features": 4, "batch_norm": True}, 1),
    ("dncnn", {"depth": 4, "features": 4, "batch_norm": True, "bias": "first"}, 1),
    ("lapsrn", {"scale": 4, "depth": 2, "features": 4}, 1),
    ("mslapsrn", {"scale": 4, "depth": 2, "recursions": 2, "features": 4}, 1),
    ("msrresnet", TINY | {"scale": 4}, 3),
    ("msrresnet", TINY | {"scale": 3}, 3),
    ("rrdbnet", TINY | {"growth": 3, "scale": 4}, 3),
    ("rrdbnet", TINY | {"growth": 3, "scale": 2}, 3),
    ("edsr", TINY | {"scale": 4, "residual_scale": 1.0}, 3),
    ("carn", {"features": 4, "scale": 4}, 3),
    ("carn", {"features": 4, "scale": 2, "groups": 2, "shared": True}, 3),
    ("legacy_srresnet", TINY | {"scale": 4}, 3),
    ("legacy_srresnet", TINY | {"scale": 2}, 3),
    ("srresnet", TINY | {"scale": 4, "output": "tanh"}, 3),
    ("srresnet", TINY | TWTYGQYY, 3),
    ("vgg_discriminator", {"size": 32, "features": 2, "stages": 3}, 3),
    ("vgg_discriminator", {"size": 32, "features": 2, "stages": 3, "bias": True}, 3),
    ("vgg_discriminator", LEFTTHOMAS, 3),
    ("acd_vgg_96", {"size": 32, "features": 2, "hidden": 3}, 3),
]


def made(name, section, channels):
    """All files of other code that hold this network: [(layout, section, arrays)]."""
    module = build_method.NETWORKS[name](**section)
    side = section.get("size", 8)
    variables = random_like(shapes_of(module, np.zeros((1, side, side, channels))), seed=len(name))
    files = []
    for layout in convert.ALL_LAYOUTS:
        if layout.network == name:
            try:
                files.append((layout, convert.to_theirs(layout, section, variables)))
            except (UserError, ValueError):  # another class, which has not these options
                continue
    return variables, files


IDS = [f"{name}-{'-'.join(map(str, section.values()))}" for name, section, _ in NETWORKS]


@pytest.mark.parametrize("name, section, channels", NETWORKS, ids=IDS)
def test_a_file_is_taken_by_its_own_layout_and_by_no_other(name, section, channels):
    variables, files = made(name, section, channels)
    assert files
    for layout, arrays in files:
        found, read, unused = convert.identify(arrays)
        assert (found.name, unused) == (layout.name, [])
        wrong = {k: v for k, v in read.items() if k in section and section[k] != v}
        assert not wrong
        back = convert.to_ours(found, read, arrays)
        assert jax.tree.structure(back) == jax.tree.structure(variables)
        for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(variables), strict=True):
            np.testing.assert_array_equal(a, b)
        again = convert.to_theirs(found, read, back)
        assert list(again) == list(arrays)
        assert all(again[k].tobytes() == v.tobytes() for k, v in arrays.items())


def test_names_of_layouts_are_unique_and_their_networks_are_known():
    names = [layout.name for layout in convert.ALL_LAYOUTS]
    assert len(set(names)) == len(names)
    for layout in convert.ALL_LAYOUTS:
        assert layout.network in (*build_method.NETWORKS, *FEATURES)
        if layout.network in build_method.NETWORKS:
            assert layout.module is build_method.NETWORKS[layout.network]
        try:
            entries = layout.entries({})  # the network's defaults
        except UserError:
            continue  # they are not those of this class
        assert len({e.theirs for e in entries}) == len({e.ours for e in entries}) == len(entries)
        assert not {e.theirs for e in entries} & set(layout.constants({}))


def test_every_family_is_gathered():
    for info in pkgutil.iter_modules(jaxsr.interchange.__path__):
        if info.name.startswith("layouts_"):
            module = importlib.import_module(f"jaxsr.interchange.{info.name}")
            assert set(module.LAYOUTS) <= set(convert.ALL_LAYOUTS), info.name


@pytest.fixture(scope="module")
def msrresnet():
    _, files = made("msrresnet", TINY | {"scale": 4}, 3)
    return files[0][1]


def test_a_missing_and_an_unknown_name_are_named(msrresnet):
    held = dict(msrresnet)
    del held["body.1.conv2.weight"]
    held["ema.steps"] = np.zeros(1)
    with pytest.raises(UserError) as caught:
        convert.identify(held)
    message = str(caught.value)
    assert "the nearest is 'XPixelGroup/BasicSR MSRResNet'" in message
    assert "1 names are missing (body.1.conv2.weight)" in message
    assert "1 of the file are unknown (ema.steps)" in message
    with pytest.raises(UserError, match="body.1.conv2.weight"):
        convert.identify(held, layout="BasicSR MSRResNet")


def test_a_layout_can_be_forced_past_unknown_names(msrresnet):
    held = dict(msrresnet) | {"ema.steps": np.zeros(1)}
    with pytest.raises(UserError, match="unknown .ema.steps."):
        convert.identify(held)
    layout, section, unused = convert.identify(held, layout="BasicSR MSRResNet")
    assert unused == ["ema.steps"]
    assert section["blocks"] == 2 and section["scale"] == 4


def test_a_wrong_shape_is_named(msrresnet):
    held = dict(msrresnet)
    held["body.1.conv1.bias"] = np.zeros(5, np.float32)
    wrong = (
        r"names of .*MSRResNet, but shapes .*: body.1.conv1.bias is \(5,\), where the network has 4"
    )
    for options in ({}, {"layout": "BasicSR MSRResNet"}):
        with pytest.raises(UserError, match=wrong):
            convert.identify(held, **options)
    held["body.1.conv1.bias"] = np.zeros((2, 2), np.float32)
    with pytest.raises(UserError, match=r"bias is \(2, 2\), where the network has \(4,\)"):
        convert.identify(held)


def test_check_shapes_sees_missing_and_unknown_layers(msrresnet):
    layout, section, *_ = convert.identify(msrresnet)
    variables = convert.to_ours(layout, section, msrresnet)
    network = build_method.NETWORKS["msrresnet"]
    convert.check_shapes(network(**section), [(1, 8, 8, 3)], variables)
    with pytest.raises(UserError, match="body_2_conv1/bias is missing in the file"):
        convert.check_shapes(network(**section | {"blocks": 3}), [(1, 8, 8, 3)], variables)
    with pytest.raises(UserError, match=r"body_1_conv1/bias is \(4,\) .* not known in the network"):
        convert.check_shapes(network(**section | {"blocks": 1}), [(1, 8, 8, 3)], variables)


def test_foreign_and_empty_files():
    for held in ({}, {"w": np.zeros(())}, {"a/b": np.zeros((2, 2))}):
        with pytest.raises(UserError, match="of no known layout"):
            convert.identify(held)


def test_two_layouts_that_fit_are_named(msrresnet, monkeypatch):
    one = convert.find("BasicSR MSRResNet")
    monkeypatch.setattr(convert, "ALL_LAYOUTS", (one, one._replace(name="another Net")))
    with pytest.raises(
        UserError, match="several layouts, '.*MSRResNet', 'another Net': choose one"
    ):
        convert.identify(msrresnet)
    assert convert.identify(msrresnet, layout="another Net")[0].name == "another Net"


def test_finding_a_layout_by_name():
    assert convert.find("BasicSR MSRResNet").network == "msrresnet"
    assert convert.find("basicsr msrresnet").network == "msrresnet"
    with pytest.raises(UserError, match="may be each of .*write one out"):
        convert.find("EDSR")
    with pytest.raises(
        UserError, match="there is no layout 'basicsr/MSResNets': name one, for example"
    ):
        convert.find("basicsr/MSResNets")


def toy(constants):
    """A layout of one convolution with constants."""
    entries = lambda section: conv_entries("conv", "conv")
    return Layout("toy Net", "toy", nn.Conv, lambda arrays: {}, entries, lambda section: constants)


def test_constants():
    held = {"conv.weight": np.ones((2, 1, 3, 3), np.float32), "conv.bias": np.ones(2, np.float32)}
    layout = toy({"mean": np.float32([1, 2]), "count": np.zeros((), np.int64)})
    convert.to_ours(layout, {}, held)  # constants may be absent
    convert.to_ours(layout, {}, held | {"mean": np.float64([1, 2 + 1e-7])})
    for other in ([1, 2.1], [1, 2, 3]):
        with pytest.raises(UserError, match="mean has another value than toy Net"):
            convert.to_ours(layout, {}, held | {"mean": np.float32(other)})
    assert convert.counters(layout, {}, held | {"count": np.int64(7)}) == {"count": 7}
    assert convert.counters(layout, {}, held | {"count": np.int64(0)}) == {}
    back = convert.to_theirs(layout, {}, convert.to_ours(layout, {}, held), {"count": 7})
    assert back["count"] == 7 and back["count"].dtype == np.int64
    np.testing.assert_array_equal(back["mean"], [1, 2])


DISCRIMINATOR = "vgg_discriminator", {"size": 32, "features": 2, "stages": 3}
SHIFTED = "edsr", TINY | {"scale": 2, "residual_scale": 1.0}


@pytest.mark.parametrize(
    "network, name, value",
    [
        (DISCRIMINATOR, "bn0_1.num_batches_tracked", np.zeros(3)),
        (SHIFTED, "sub_mean.weight", np.zeros((3, 3, 1, 1), bool)),
    ],
)
def test_constants_of_another_kind_are_refused(network, name, value):
    """They would be compared as numbers and kept as counts."""
    _, files = made(*network, 3)
    arrays = next(arrays for _, arrays in files if name in arrays)
    convert.identify(arrays)
    with pytest.raises(UserError, match=f"{name} is .* {value.dtype}, where the class has"):
        convert.identify(arrays | {name: value})


def test_the_trunks_of_lpips_are_known_too():
    for name, section in (("alexnet", {}), ("squeezenet", {"input": "caffe"})):
        layout = next(x for x in convert.ALL_LAYOUTS if x.network == name and x.read({}) == section)
        variables = random_like(
            shapes_of(layout.module(**section), np.zeros((1, 32, 32, 3))), seed=1
        )
        arrays = convert.to_theirs(layout, section, variables)
        found, read, unused = convert.identify(arrays)
        assert (found.name, read, unused) == (layout.name, section, [])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_half_precision_file_has_rounded_its_constants_too(dtype):
    """sanghyun-son's EDSR keeps its mean shifts in the file, here cast with the rest."""
    section = TINY | {"scale": 2, "residual_scale": 1.0}
    _, files = made("edsr", section, 3)
    layout, arrays = next((a, b) for a, b in files if "sub_mean.bias" in b)
    half = {name: value.astype(dtype) for name, value in arrays.items()}
    found, read, unused = convert.identify(half)
    assert (found.name, read["rgb_range"], unused) == (layout.name, 255.0, [])
    back = convert.to_theirs(found, read, convert.to_ours(found, read, half))
    for name, value in half.items():  # what was rounded once is exact in float32
        np.testing.assert_array_equal(back[name].astype(dtype), value)


def test_what_does_not_move():
    layout = toy({})._replace(constants=no_constants)
    weight, bias = np.ones((2, 1, 3, 3), np.float16), np.ones(2, np.float32)
    found = convert.to_ours(layout, {}, {"conv.weight": weight, "conv.bias": bias})
    assert found["params"]["conv"]["kernel"].dtype == np.float32
    with pytest.raises(UserError, match="lack conv.bias"):
        convert.to_ours(layout, {}, {"conv.weight": weight})
    with pytest.raises(UserError, match=r"conv.weight has the shape \(2, 9\)"):
        convert.to_ours(layout, {}, {"conv.weight": weight.reshape(2, 9), "conv.bias": bias})
    other = {"params": {"conv": {"kernel": weight}, "new": {"bias": bias}}}
    with pytest.raises(UserError, match="2 arrays differ, first params/conv/bias, params/new/bias"):
        convert.to_theirs(layout, {}, other)


def test_a_network_without_a_layout_says_so():
    with pytest.raises(UserError, match="prior_net has no layout of other code"):
        convert.of_network("prior_net", {}, {})
    with pytest.raises(UserError, match="no layout of other code has this edsr"):
        convert.of_network("edsr", {}, {"params": {"other": {"bias": 1}}})
