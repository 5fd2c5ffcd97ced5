"""From weight files to restorers: ours, foreign ones, runs; scales and faults; interpolation."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference.random_trees import random_like, shapes_of
from reference.restorers import image, restorer

from jaxsr import build_method, build_restorer, checkpoint
from jaxsr.inference import tiles
from jaxsr.interchange import convert
from jaxsr.models.edsr import EDSR
from jaxsr.models.espcn import ESPCN
from jaxsr.types import UserError

EDSR_SECTION = {"name": "edsr", "features": 4, "blocks": 1, "scale": 2}


def write(path, section, *, change=None):
    """A weight file of ours with random weights; `change` may spoil the variables."""
    made = build_method.network_module(section, "network", dtype=jnp.float32)
    lq = jnp.zeros((1, 16, 16, section.get("channels", 3 if section["name"] == "edsr" else 1)))
    variables = jax.tree.map(np.array, random_like(shapes_of(made, lq), 0))
    if change is not None:
        change(variables["params"])
    checkpoint.save_weights(path, variables, {"network": section})
    return str(path)


def test_a_file_of_ours(tmp_path):
    source = write(tmp_path / "a.safetensors", EDSR_SECTION)
    for scale in (None, 2):
        found = build_restorer.restorer(source, scale=scale)
        assert (found.name, found.scale, found.channels, found.prior) == ("edsr", 2, 3, None)
    assert found.card["network"] == EDSR_SECTION
    lq = image(5, 4, 3)
    expected = EDSR(features=4, blocks=1, scale=2).apply(found.variables, lq[None])
    np.testing.assert_allclose(tiles.whole(found)(lq), expected[0], rtol=0, atol=1e-6)


def test_shipped_sftnet_brings_its_prior():
    found = build_restorer.restorer("pretrained:sftnet")
    assert (found.scale, found.channels) == (4, 3)
    maps = found.prior(image(16, 16, 3))
    assert maps.shape == (64, 64, 8) and maps.dtype == np.uint8
    # eight roundings of a distribution
    assert np.abs(maps.astype(int).sum(-1) - 255).max() <= 4
    with pytest.raises(UserError, match="holds a legacy_srresnet, not a segmenter"):
        build_restorer.restorer("pretrained:sftnet", prior="pretrained:sftnet_psnr")


@pytest.mark.parametrize(
    ("source", "scale", "message"),
    [
        ("pretrained:sftnet", 2, "sftnet that restores ×4, not ×2: leave the scale away"),
        ("pretrained:sftnet_psnr", 3, "legacy_srresnet that restores ×4, not ×3"),
        ("pretrained:segmenter", None, "holds a prior_net, which restores no images"),
        ("pretrained:sftnt", None, "did you mean 'sftnet'"),
        ("nowhere.pth", None, "there is no weight file nowhere.pth"),
    ],
)
def test_refusals(source, scale, message):
    with pytest.raises(UserError, match=message):
        build_restorer.restorer(source, scale=scale)


def test_networks_of_any_scale_want_to_be_told(tmp_path):
    section = {"name": "vdsr", "depth": 3, "features": 4}
    source = write(tmp_path / "v.safetensors", section)
    with pytest.raises(UserError, match="holds a vdsr for any scale: say which with --scale"):
        build_restorer.restorer(source)
    for scale in (1, 3):
        found = build_restorer.restorer(source, scale=scale)
        assert found.scale == scale and found.channels == 1
        assert tiles.whole(found)(image(4, 5, 1)).shape == (4 * scale, 5 * scale, 1)
    with pytest.raises(UserError, match="not ×0"):
        build_restorer.restorer(source, scale=0)
    # the card of an import may have fixed it
    fixed = write(tmp_path / "w.safetensors", section | {"scale": 3})
    assert build_restorer.restorer(fixed).scale == 3
    with pytest.raises(UserError, match="restores ×3, not ×2"):
        build_restorer.restorer(fixed, scale=2)


def test_weights_of_other_code_that_do_not_tell_their_scale(tmp_path):
    """FSRCNN's and IDN's tensors are the same at every scale: a default would pass ×2 for ×3."""
    section = {"name": "fsrcnn", "features": 4, "shrink": 3, "depth": 1}
    own = write(tmp_path / "own.safetensors", section)
    assert build_restorer.restorer(own).scale == 3  # of a config: the constructor's default
    variables, card = checkpoint.load_weights(Path(own))
    taken = tmp_path / "taken.safetensors"
    checkpoint.save_weights(taken, variables, card | {"layout": "yjn870/FSRCNN-pytorch FSRCNN"})
    with pytest.raises(UserError, match="a scale that its weights do not tell: say which with --s"):
        build_restorer.restorer(str(taken))
    for scale in (2, 3):
        assert build_restorer.restorer(str(taken), scale=scale).scale == scale


def test_one_network_with_heads_for_several_scales():
    section = {"name": "carn", "features": 4, "scales": (2, 3, 4)}
    assert build_restorer.chosen_scale("f", section, 3) == 3
    assert build_restorer.chosen_scale("f", section | {"scale": 2}, None) == 2
    assert build_restorer.chosen_scale("f", section | {"scale": 2}, 4) == 4
    with pytest.raises(UserError, match="holds a carn for ×2, ×3, ×4: say which"):
        build_restorer.chosen_scale("f", section, None)
    with pytest.raises(UserError, match="restores ×2, ×3, ×4, not ×8"):
        build_restorer.chosen_scale("f", section, 8)
    lap = {"name": "mslapsrn"}
    assert build_restorer.chosen_scale("f", lap, 8) == 8
    with pytest.raises(UserError, match="say which"):
        build_restorer.chosen_scale("f", lap, None)
    # a section that leaves the scale out was built with the default
    assert build_restorer.chosen_scale("f", {"name": "edsr"}, None) == 4


def test_spoilt_weights_are_named(tmp_path):
    def nan(params):
        params["conv_last"]["kernel"][0, 0, 0, 0] = np.nan

    def cut(params):
        params["conv_first"]["kernel"] = params["conv_first"]["kernel"][..., :2]

    def drop(params):
        del params["conv_last"]

    def add(params):
        params["other"] = {"bias": np.zeros(3, np.float32)}

    faults = {
        "nan": (nan, "the tensor params/conv_last/kernel holds NaN"),
        "cut": (cut, "params/conv_first/kernel"),
        "drop": (drop, "params/conv_last/bias"),
        "add": (add, "params/other/bias"),
    }
    for name, (change, message) in faults.items():
        source = write(tmp_path / f"{name}.safetensors", EDSR_SECTION, change=change)
        with pytest.raises(UserError, match=message) as caught:
            build_restorer.restorer(source)
        assert source in str(caught.value)


def test_cards_that_describe_no_network(tmp_path):
    variables = {"params": {"a": np.zeros(2)}}
    cards = {
        "does not say in its card which network": {"step": 3},
        "is not known.*did you mean 'features'": {"network": EDSR_SECTION | {"feature": 3}},
        "scale must be one of 2, 3, 4, 8, not 7": {"network": EDSR_SECTION | {"scale": 7}},
        "c.safetensors: ": {"network": EDSR_SECTION | {"features": "many"}},
    }
    for message, card in cards.items():
        checkpoint.save_weights(tmp_path / "c.safetensors", variables, card)
        with pytest.raises(UserError, match=message):
            build_restorer.restorer(str(tmp_path / "c.safetensors"))


def test_bfloat16_computes_coarsely_and_gives_float32(tmp_path):
    source = write(tmp_path / "a.safetensors", EDSR_SECTION)
    lq = image(9, 8, 3)
    fine, coarse = (
        tiles.whole(build_restorer.restorer(source, precision=precision))(lq)
        for precision in ("float32", "bfloat16")
    )
    assert coarse.dtype == np.float32
    # bfloat16 has 8 bits: about 4e-3 of each term
    assert 1e-5 < np.abs(fine - coarse).max() < 0.05 * np.abs(fine).max()
    with pytest.raises(UserError, match="one of bfloat16, float32"):
        build_restorer.restorer(source, precision="float16")


def test_unknown_networks_and_damaged_files(tmp_path):
    path = tmp_path / "x.safetensors"
    checkpoint.save_weights(path, {"params": {"a": np.zeros(2)}}, {"network": {"name": "other"}})
    with pytest.raises(UserError, match="holds a other, which restores no images"):
        build_restorer.restorer(str(path))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        build_restorer.restorer(str(path))
    path = tmp_path / "numbers.npz"
    np.savez(path, a=np.zeros(3))
    with pytest.raises(UserError, match="numbers.npz: .*no known layout"):
        build_restorer.restorer(str(path))
    with pytest.raises(UserError, match="no checkpoint"):
        build_restorer.restorer(str(tmp_path))


def test_a_foreign_file(tmp_path):
    """A small ESPCN in the names of its PyTorch class, as .npz."""
    made = restorer("espcn", ESPCN(scale=2))
    section = {"scale": 2, "variant": "paper", "channels": 1}
    layout = convert.of_network("espcn", section, made.variables)
    arrays = convert.to_theirs(layout, section, made.variables)
    path = tmp_path / "espcn.npz"
    np.savez(path, **arrays)
    found = build_restorer.restorer(str(path))
    assert (found.name, found.scale, found.channels) == ("espcn", 2, 1)
    assert found.card["layout"] == layout.name and found.card["source"] == {"file": "espcn.npz"}
    assert json.dumps(found.card)
    for a, b in zip(jax.tree.leaves(found.variables), jax.tree.leaves(made.variables), strict=True):
        np.testing.assert_array_equal(a, b)
    arrays.pop(sorted(arrays)[0])
    np.savez(path, **arrays)
    with pytest.raises(UserError, match="espcn.npz"):
        build_restorer.restorer(str(path))


def test_a_run(tmp_path, monkeypatch):
    """The folder of a run: what `checkpoint.load_run` reads, with the training keys left out."""
    source = write(tmp_path / "a.safetensors", EDSR_SECTION)
    variables, _ = checkpoint.load_weights(tmp_path / "a.safetensors")
    section = EDSR_SECTION | {"weights": "", "parent": ""}
    monkeypatch.setattr(checkpoint, "load_run", lambda path: (variables, {"network": section}))
    found = build_restorer.restorer(str(tmp_path))
    assert found.scale == build_restorer.restorer(source).scale == 2


def test_no_convolution_may_take_tf32():
    made = build_restorer.restorer("pretrained:sftnet_psnr")
    lq = jnp.zeros((1, 8, 8, 3))
    lines = str(jax.make_jaxpr(made.apply)(made.variables, lq)).split("conv_general_dilated[")
    assert len(lines) == 1 + 38  # one, two in each of 16 blocks, one behind them, two and two
    for line in lines[1:]:
        found = line.split("precision=")[1].split("preferred")[0]
        assert "HIGHEST" in found or "float32" in found, found


def test_interpolation_of_one_set_of_tensors_with_other_options_is_refused(tmp_path):
    """The recursions of MS-LapSRN leave no trace in its tensors, but make another network."""
    card = {"name": "mslapsrn", "features": 4, "depth": 1, "scale": 2}
    paths = [str(tmp_path / f"{n}.safetensors") for n in (8, 5)]
    for path, n in zip(paths, ({}, {"recursions": 5}), strict=True):
        write(Path(path), card | n)
    eight, five = (build_restorer.restorer(path) for path in paths)
    with pytest.raises(UserError, match="have not the same parameters or options"):
        build_restorer.interpolate(eight, five, alpha=1)
    # what is left away is the default, and a list in a card the tuple of a layout
    card = {"name": "srcnn", "kernels": [3, 1, 3], "features": [4, 2], "border": "edge"}
    write(tmp_path / "a.safetensors", card)
    made = build_restorer.restorer(str(tmp_path / "a.safetensors"), scale=2)
    section = made.card["network"] | {"kernels": (3, 1, 3), "features": (4, 2), "channels": 1}
    other = made._replace(card={"network": section})
    assert build_restorer.interpolate(made, other, alpha=0.5).name == "srcnn"


def test_interpolation():
    first, second = (restorer("edsr", EDSR(features=4, blocks=1), seed=seed) for seed in (0, 1))
    for alpha, end in ((0, first), (1, second)):
        found = build_restorer.interpolate(first, second, alpha=alpha)
        for a, b in zip(
            jax.tree.leaves(found.variables), jax.tree.leaves(end.variables), strict=True
        ):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
    found = build_restorer.interpolate(first, second, alpha=0.25)
    a, b, c = (
        np.asarray(each.variables["params"]["conv_last"]["bias"], np.float64)
        for each in (first, second, found)
    )
    np.testing.assert_allclose(c, 0.75 * a + 0.25 * b, rtol=1e-7)
    assert np.abs(c - a).max() > 1e-3
    assert found.card["interpolated"]["alpha"] == 0.25
    other = restorer("edsr", EDSR(features=4, blocks=2))
    with pytest.raises(UserError, match="have not the same parameters"):
        build_restorer.interpolate(first, other, alpha=0.5)
    with pytest.raises(UserError, match="a share between 0 and 1"):
        build_restorer.interpolate(first, second, alpha=1.5)
