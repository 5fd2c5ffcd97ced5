"""SFT-GAN's files in both directions: strict names, equal outputs, the same bits back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from reference import outdoor_torch, sftgan_torch  # noqa: E402

from jaxsr import build_method  # noqa: E402
from jaxsr.interchange import convert  # noqa: E402
from jaxsr.interchange.layouts_torchvision import VGG16, VGG19, deepest_conv, places  # noqa: E402
from jaxsr.models.acd_vgg import ACDVGG96  # noqa: E402
from jaxsr.models.outdoor_scene_seg import OutdoorSceneSeg  # noqa: E402
from jaxsr.models.sftnet import SFTNet  # noqa: E402
from jaxsr.sections import rest  # noqa: E402
from jaxsr.types import UserError  # noqa: E402

SIZES = dict(features=8, blocks=2, condition=4, condition_hidden=6, classes=8)
SEGMENTER = dict(features=4, blocks=(1, 2, 1, 1), classes=3)
DISCRIMINATOR = dict(size=32, features=4, classes=8, hidden=5)
# float32 sums in another order, up to 20 layers deep; a wrong layer is off by 1e-1
TOLERANCE = 2e-5


def close(ours, theirs):
    ours, theirs = np.asarray(ours), theirs.detach().numpy()
    scale = np.abs(theirs).max()
    assert ours.shape == theirs.shape and scale > 1e-2
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE * scale)


def images(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).random(shape), jnp.float32)


def nchw(x):
    return torch.from_numpy(np.array(x)).permute(0, 3, 1, 2)


def drawn(module, seed):
    """A torch module with random weights, also where they start at 0 or 1, and its state."""
    torch.manual_seed(seed)
    for name, value in module.state_dict().items():
        if value.ndim == 0:
            value.fill_(41)
        elif value.ndim == 1:
            value.copy_(
                torch.rand(value.shape) + 0.5 if "bias" not in name else torch.randn(value.shape)
            )
        else:
            value.copy_(torch.randn(value.shape) * 1.2 / value[0].numel() ** 0.5)
    return module.eval(), {name: value.numpy() for name, value in module.state_dict().items()}


def there_and_back(state, name):
    """Ours from theirs, having checked that what goes back is what came."""
    layout, section, unused = convert.identify(state)
    assert (layout.name, unused) == (name, [])
    variables = convert.to_ours(layout, section, state)
    counters = convert.counters(layout, section, state)
    back = convert.to_theirs(layout, section, variables, counters)
    assert set(back) == set(state)
    for key, value in state.items():
        assert (back[key].dtype, back[key].shape) == (value.dtype, value.shape)
        assert back[key].tobytes() == np.asarray(value, order="C").tobytes()
    return section, variables


@pytest.mark.parametrize("variant, name", [("pytorch", "SFT_Net"), ("torch", "SFT_Net_torch")])
def test_generator(variant, name):
    theirs, state = drawn(sftgan_torch.SFTNet(variant == "torch", *SIZES.values()), 1)
    section, variables = there_and_back(state, f"xinntao/SFTGAN {name}")
    assert section == {"variant": variant, **SIZES}
    lq, seg = images(1, 5, 6, 3), images(1, 20, 24, 8, seed=1)
    ours = jax.jit(SFTNet(**section).apply)(variables, lq, seg)
    close(ours.transpose(0, 3, 1, 2), theirs(nchw(lq), nchw(seg)))


@pytest.mark.parametrize("train", [False, True])
def test_segmenter(train, monkeypatch):
    module = outdoor_torch.OutdoorSceneSeg(**SEGMENTER)
    theirs, state = drawn(module, 2)
    section, variables = there_and_back(state, "xinntao/SFTGAN OutdoorSceneSeg")
    assert section == SEGMENTER
    image = images(2, 40, 24, 3)  # 40/2 is even, 24/4 odd: the pooling pads
    network = OutdoorSceneSeg(**section)
    if train:
        theirs.train()
        for module in theirs.feature:
            if isinstance(module, torch.nn.Dropout):
                module.eval()  # its draws differ
        monkeypatch.setattr("flax.linen.Dropout.__call__", lambda self, x: x)
        run = lambda x: network.apply(variables, x, train=True, mutable=["batch_stats"])
        ours, moved = jax.jit(run)(image)
        close(ours.transpose(0, 3, 1, 2), theirs(outdoor_torch.to_bgr(nchw(image))))
        # means move by a tenth towards those of the batch, alike in both
        found, before = (
            t["batch_stats"]["feature_10"]["res_1"]["mean"] for t in (moved, variables)
        )
        close(found, theirs.state_dict()["feature.10.res.1.running_mean"])
        assert np.abs(found - before).max() > 1e-2
        return
    ours = jax.jit(network.apply)(variables, image)
    close(ours.transpose(0, 3, 1, 2), theirs(outdoor_torch.to_bgr(nchw(image))))


def test_the_segmenter_of_the_paper_has_its_tensors():
    with torch.device("meta"):
        module = outdoor_torch.OutdoorSceneSeg()
    state = {
        name: np.broadcast_to(np.float32(0), v.shape) for name, v in module.state_dict().items()
    }
    assert sum(p.numel() for p in module.parameters()) == 52_068_296  # the sheet, section 3.4
    assert len(state) == 645  # section 9
    layout, section, unused = convert.identify(state)
    assert layout.name.endswith("OutdoorSceneSeg") and not unused
    assert section == {"features": 64, "blocks": (3, 4, 23, 3), "classes": 8}
    # files of PyTorch before 0.4.1 have no counters
    old = {name: value for name, value in state.items() if not name.endswith("tracked")}
    assert convert.identify(old)[1] == section


def test_discriminator():
    theirs, state = drawn(sftgan_torch.ACDVGG(*DISCRIMINATOR.values()), 3)
    section, variables = there_and_back(state, "XPixelGroup/BasicSR ACD_VGG_BN_96")
    assert section == DISCRIMINATOR
    image = images(2, 32, 32, 3)
    run = jax.jit(lambda v, x: ACDVGG96(**section).apply(v, x, train=False))
    ours = run(variables, image)
    gan, classes = theirs(nchw(image))
    close(ours["gan"], gan)
    close(ours["class"], classes)


def test_counters_are_kept():
    _, state = drawn(sftgan_torch.ACDVGG(*DISCRIMINATOR.values()), 3)
    layout, section, *_ = convert.identify(state)
    found = convert.counters(layout, section, state)
    assert found == {f"feature.{i}.num_batches_tracked": 41 for i in range(3, 22, 3)}
    variables = convert.to_ours(layout, section, state)
    assert convert.to_theirs(layout, section, variables)["feature.3.num_batches_tracked"] == 0


@pytest.mark.parametrize("change", ["missing", "extra", "shape", "other variant"])
def test_what_is_not_quite_the_generator_is_not_taken_for_it(change):
    _, state = drawn(sftgan_torch.SFTNet(False, *SIZES.values()), 1)
    if change == "missing":
        del state["sft_branch.1.conv1.bias"]
    elif change == "extra":
        state["extra.weight"] = np.zeros(1, np.float32)
    elif change == "shape":
        state["HR_branch.0.weight"] = state["HR_branch.0.weight"][:5]
    else:
        state["HR_branch.1.weight"] = state.pop("HR_branch.0.weight")
    with pytest.raises(UserError, match="xinntao/SFTGAN SFT_Net"):
        convert.identify(state)


def test_the_shipped_weights_load_strictly_and_give_the_same_image():
    variables, card = build_method.weights("pretrained:sftnet")
    section = rest(card["network"], "name", "weights", "parent")
    layout = convert.of_network("sftnet", section, variables)
    state = convert.to_theirs(layout, section, variables)
    theirs = sftgan_torch.SFTNet(False).eval()
    state = {name: torch.from_numpy(value) for name, value in state.items()}
    theirs.load_state_dict(state, strict=True)
    lq, seg = images(1, 5, 6, 3), images(1, 20, 24, 8, seed=1)
    ours = jax.jit(SFTNet(**section).apply)(variables, lq, seg)
    with torch.no_grad():
        close(ours.transpose(0, 3, 1, 2), theirs(nchw(lq), nchw(seg)))


# torchvision


def vgg_state(network, count, *, classifier=False):
    widths, inputs, state = (64, 128, 256, 512, 512), 3, {}
    for name, place in list(places(network).items())[:count]:
        width = widths[int(name[4]) - 1]
        state[f"features.{place}.weight"] = np.zeros((width, inputs, 3, 3), np.float32)
        state[f"features.{place}.bias"] = np.zeros(width, np.float32)
        inputs = width
    if classifier:
        state |= {f"classifier.{i}.{e}": np.zeros(1) for i in (0, 3, 6) for e in ("weight", "bias")}
    return state


def test_vgg_places():
    # evaluation.md section 4.1
    assert places("vgg19") == sftgan_torch.VGG_INDEX
    # torchvision's vgg16: the ReLUs that LPIPS taps are 3, 8, 15, 22, 29
    found = places("vgg16")
    taps = [found[f"conv{n}"] + 1 for n in ("1_2", "2_2", "3_3", "4_3", "5_3")]
    assert taps == [3, 8, 15, 22, 29]


@pytest.mark.parametrize("network, convolutions", [("vgg19", 16), ("vgg16", 13)])
def test_vgg_files(network, convolutions):
    state = vgg_state(network, convolutions, classifier=True)
    layout, section, unused = convert.identify(state)
    last = {"vgg19": "conv5_4", "vgg16": "conv5_3"}[network]
    assert layout.network == network and section == {"layers": (last,)}
    assert len(unused) == 6 and unused[0] == "classifier.0.weight"
    variables = convert.to_ours(layout, section, state)
    assert len(variables["params"]) == convolutions
    assert set(convert.to_theirs(layout, section, variables)) == set(state) - set(unused)
    # parts of it, as far as they tell which network it is
    for count in range(1, convolutions):
        layout, section, *_ = convert.identify(vgg_state(network, count))
        assert layout.network == (network if count > 7 else "vgg19")
        assert len(layout.entries(section)) == 2 * count


def test_deepest_layer():
    assert deepest_conv(("relu2_2", "conv5_4", "pool3")) == "conv5_4"
    assert deepest_conv(("pool3", "conv3_1")) == "conv3"
    assert len(VGG19.entries({"layers": ("pool3",)})) == 16
    assert len(VGG16.entries({"layers": ("relu3_1", "conv1_1")})) == 10
    assert len(VGG16.entries({})) == 26
