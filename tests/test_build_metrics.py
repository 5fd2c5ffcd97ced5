"""LPIPS and NIQE put together from files, and what is said where a file is not the right one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.io
from reference.random_trees import random_like, shapes_of

from jaxsr import build_metrics, checkpoint
from jaxsr.data.images import read_image
from jaxsr.interchange import layouts_lpips
from jaxsr.interchange.convert import to_theirs
from jaxsr.metrics.lpips import lpips as distance
from jaxsr.models.alexnet import AlexNet
from jaxsr.models.squeezenet import SqueezeNet
from jaxsr.models.vgg import VGG16
from jaxsr.ops.colour import luma_uint8
from jaxsr.types import UserError

RNG = np.random.default_rng(0)
A = RNG.integers(0, 256, (36, 40, 3), dtype=np.uint8)
B = np.clip(A + RNG.normal(0, 20, A.shape), 0, 255).astype(np.uint8)


def variables_of(module):
    return random_like(shapes_of(module, jnp.zeros((1, 40, 40, 3))), seed=1, gain=1.4)


def head_arrays(net):
    rng = np.random.default_rng(2)
    return {
        f"lin{k}.model.1.weight": rng.random((1, c, 1, 1), np.float32)
        for k, c in enumerate(layouts_lpips.HEADS[net].values())
    }


@pytest.fixture(scope="module")
def alex(tmp_path_factory):
    """Files of a random AlexNet and heads: apart, as torchvision has them, and whole, as lpips."""
    folder = tmp_path_factory.mktemp("alex")
    variables = variables_of(AlexNet())
    theirs = to_theirs(layouts_lpips.ALEXNET, {}, variables)
    np.savez(
        folder / "trunk.npz", **theirs, **{"classifier.1.weight": np.zeros((2, 2), np.float32)}
    )
    np.savez(folder / "heads.npz", **head_arrays("alex"))
    slices = {0: 1, 3: 2, 6: 3, 8: 4, 10: 5}
    whole = {"scaling_layer.shift": np.zeros((1, 3, 1, 1), np.float32)} | head_arrays("alex")
    for name, value in theirs.items():
        _, place, kind = name.split(".")
        whole[f"net.slice{slices[int(place)]}.{place}.{kind}"] = value
    np.savez(folder / "whole.npz", **whole)
    return folder, variables


def test_alexnet_from_files(alex):
    folder, variables = alex
    metric = build_metrics.lpips(str(folder / "trunk.npz"), heads=str(folder / "heads.npz"))
    assert metric.name == "lpips_alex_v0.1" and "AlexNet" in metric.text
    heads = layouts_lpips.heads(head_arrays("alex"), net="alex")
    pair = [jnp.asarray(image[None], jnp.float32) / 255 for image in (A, B)]
    expected = jax.jit(
        lambda v, h, a, b: distance(lambda held, x: AlexNet().apply(held, x), v, h, a, b)
    )(variables, heads, *pair)
    # the same function compiled twice
    assert metric.measure(A, B) == pytest.approx(float(expected[0]), rel=1e-6)
    assert metric.measure(A, B) == metric.measure(A, B) > 0
    assert metric.measure(A, A) == pytest.approx(0, abs=1e-12)
    whole = build_metrics.lpips(str(folder / "whole.npz"))
    assert whole.measure(A, B) == metric.measure(A, B)
    grey = A[..., 0]
    stacked = [np.repeat(image[..., None], 3, 2) for image in (grey, B[..., 0])]
    assert metric.measure(grey, B[..., :1]) == metric.measure(*stacked)


@pytest.mark.parametrize("version", ["v0.1", "v0.0"])
def test_alexnet_against_torch(alex, version):
    """All of LPIPS in PyTorch and float64, with the reference's own scaling layer."""
    torch = pytest.importorskip("torch")
    folder, _ = alex
    held = {
        name: torch.from_numpy(value).double()
        for name, value in np.load(folder / "trunk.npz").items()
    }
    heads = [torch.from_numpy(value).double() for value in head_arrays("alex").values()]
    conv, pool = torch.nn.functional.conv2d, torch.nn.functional.max_pool2d

    def features(image):
        x = torch.from_numpy(image.transpose(2, 0, 1)[None] / 255.0) * 2 - 1
        if version == "v0.1":
            shift = torch.tensor([-0.030, -0.088, -0.188], dtype=torch.float64)
            scale = torch.tensor([0.458, 0.448, 0.450], dtype=torch.float64)
            x = (x - shift[:, None, None]) / scale[:, None, None]
        found = []
        for place, (stride, padding) in zip(
            (0, 3, 6, 8, 10), ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))
        ):
            x = pool(x, 3, 2) if place in (3, 6) else x
            name = f"features.{place}"
            x = conv(x, held[f"{name}.weight"], held[f"{name}.bias"], stride, padding).relu()
            found.append(x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10))
        return found

    pairs = zip(features(A), features(B), heads, strict=True)
    expected = sum(conv((f - g) ** 2, head).mean() for f, g, head in pairs).item()
    metric = build_metrics.lpips(
        str(folder / "trunk.npz"), heads=str(folder / "heads.npz"), version=version
    )
    # float32 features, whose small differences are squared.
    assert metric.measure(A, B) == pytest.approx(expected, rel=1e-4)


def test_alexnet_from_our_own_file(alex, tmp_path):
    folder, variables = alex
    card = {"network": {"name": "alexnet"}}
    checkpoint.save_weights(tmp_path / "alex.safetensors", variables, card)
    ours = build_metrics.lpips(str(tmp_path / "alex.safetensors"), heads=str(folder / "heads.npz"))
    theirs = build_metrics.lpips(str(folder / "whole.npz"))
    assert ours.measure(A, B) == theirs.measure(A, B)
    with pytest.raises(UserError, match="holds a alexnet and not SqueezeNet"):
        build_metrics.lpips(str(tmp_path / "alex.safetensors"), net="squeeze")


def test_lpips_refuses_to_run_without_weights(tmp_path):
    with pytest.raises(
        UserError, match="runs with the weights of AlexNet only: make one.*lpips_alex"
    ):
        build_metrics.lpips("")
    with pytest.raises(
        UserError, match="there is no weight file .*none.pth: make one.*version='0.0'"
    ):
        build_metrics.lpips(str(tmp_path / "none.pth"), net="vgg", version="v0.0")
    with pytest.raises(UserError, match="no net 'resnet'"):
        build_metrics.lpips("", net="resnet")
    with pytest.raises(UserError, match="no version '0.1': it is one of v0.1, v0.0"):
        build_metrics.lpips("", version="0.1")


def test_wrong_files_and_images_are_told(alex, tmp_path):
    folder, _ = alex
    trunk, heads = str(folder / "trunk.npz"), str(folder / "heads.npz")
    with pytest.raises(UserError, match="holds no SqueezeNet 1.1, or only a part of it"):
        build_metrics.lpips(trunk, heads=heads, net="squeeze")
    with pytest.raises(UserError, match="lin0.model.1.weight is not there"):
        build_metrics.lpips(trunk)
    held = dict(np.load(heads))
    for change, message in (
        (
            {"lin2.model.1.weight": np.zeros((1, 256, 1, 1), np.float32)},
            r"lin2.*is \(1, 256, 1, 1\)",
        ),
        ({"lin1.model.1.weight": -held["lin1.model.1.weight"]}, "negative weights"),
    ):
        np.savez(tmp_path / "heads.npz", **(held | change))
        with pytest.raises(UserError, match=message):
            build_metrics.lpips(trunk, heads=str(tmp_path / "heads.npz"))
    metric = build_metrics.lpips(trunk, heads=heads)
    with pytest.raises(UserError, match="cannot compare these images: lpips compares"):
        metric.measure(A, B[:-1])
    with pytest.raises(UserError, match="AlexNet needs 31 pixels"):
        metric.measure(A[:30], B[:30])
    with pytest.raises(ValueError, match="8-bit images"):
        metric.measure(A / 255, B)


def test_vgg_from_files(tmp_path):
    """At full width, because that is how its file is known; random weights."""
    variables = variables_of(VGG16())
    section = {"layers": ("conv5_3",)}
    theirs = to_theirs(build_metrics.VGG16_LAYOUT, section, variables)
    np.savez(tmp_path / "vgg.npz", **theirs, **head_arrays("vgg"))
    metric = build_metrics.lpips(str(tmp_path / "vgg.npz"), net="vgg")
    assert metric.name == "lpips_vgg_v0.1" and metric.measure(A, B) > metric.measure(A, A)


@pytest.mark.parametrize("net", ["alex", "squeeze", "vgg"])
def test_the_published_heads(shared, net):
    """Evaluation sheet, section 9: the sums of the weights of v0.1."""
    sums = {
        "alex": [2.3495, 16.143, 39.2684, 27.1972, 20.3172],
        "vgg": [6.926, 8.8583, 17.515, 51.5213, 47.0349],
        "squeeze": [5.6901, 1.1853, 16.3266, 71.0126, 37.3707, 24.2629, 17.5906],
    }
    for version in ("v0.0", "v0.1"):
        path = shared / "weights" / "lpips_lin" / f"{version}_{net}.npz"
        found = layouts_lpips.heads(dict(np.load(path)), net=net)
        if version == "v0.1":
            # Printed with four decimals, float32 sums.
            np.testing.assert_allclose([h.sum() for h in found.values()], sums[net], atol=1e-4)
        assert min(h.min() for h in found.values()) >= 0


def test_squeeze_with_the_caffe_trunk(shared):
    """Real heads on a real trunk, though not the official one: noise is further away the stronger."""
    weights = shared / "weights"
    trunk = str(weights / "squeezenet11_caffe" / "squeezenet_v1.1_notop.npz")
    heads = str(weights / "lpips_lin" / "v0.1_squeeze.npz")
    metric = build_metrics.lpips(trunk, heads=heads, net="squeeze")
    assert metric.name == "lpips_squeeze_v0.1_caffe" and "NOT the official" in metric.text
    rng = np.random.default_rng(3)
    i, j = np.indices((64, 64))
    image = np.stack([128 + 90 * np.sin(i / 7), 40 + 2 * j, 255 - i - j], -1)
    noise = rng.normal(0, 1, image.shape)
    noisy = [np.clip(image + s * noise, 0, 255).astype(np.uint8) for s in (0, 4, 12, 36)]
    found = [metric.measure(noisy[0], each) for each in noisy]
    assert found == sorted(found) and found[0] < 1e-9 < 1e-3 < found[1] and found[3] < 2
    with pytest.raises(
        UserError, match="v0.0 of LPIPS is defined for torchvision's SqueezeNet only"
    ):
        build_metrics.lpips(trunk, heads=heads, net="squeeze", version="v0.0")


def test_squeeze_of_torchvision(tmp_path):
    variables = variables_of(SqueezeNet())
    theirs = to_theirs(layouts_lpips.SQUEEZENET, {"input": "torchvision"}, variables)
    np.savez(tmp_path / "squeeze.npz", **theirs, **head_arrays("squeeze"))
    metric = build_metrics.lpips(str(tmp_path / "squeeze.npz"), net="squeeze", version="v0.0")
    assert metric.name == "lpips_squeeze_v0.0" and "NOT" not in metric.text
    assert metric.measure(A, B) > metric.measure(A, A)


def test_niqe_from_both_kinds_of_file(tmp_path):
    rng = np.random.default_rng(4)
    mean, root = rng.random((1, 36)), rng.random((36, 36))
    covariance = root @ root.T
    np.savez(tmp_path / "a.npz", mu_pris_param=mean, cov_pris_param=covariance)
    scipy.io.savemat(tmp_path / "b.mat", {"mu_prisparam": mean, "cov_prisparam": covariance})
    image = rng.integers(0, 256, (100, 196, 3), dtype=np.uint8)
    metrics = [build_metrics.niqe(str(tmp_path / name), border=2) for name in ("a.npz", "b.mat")]
    found = [metric.measure(image, image) for metric in metrics]
    assert found[0] == found[1] > 0 and "border 2" in metrics[0].text
    y = luma_uint8(image)
    assert metrics[0].measure(y, y) == metrics[0].measure(y[..., None], y) == found[0]


def test_niqe_refuses_to_run_without_its_model(tmp_path):
    with pytest.raises(UserError, match="pristine model only: name niqe_pris_params.npz"):
        build_metrics.niqe("")
    with pytest.raises(UserError, match="there is no weight file .*none.npz: name niqe_pris"):
        build_metrics.niqe(str(tmp_path / "none.npz"))
    np.savez(tmp_path / "other.npz", mean=np.zeros(36))
    with pytest.raises(UserError, match="holds no NIQE model"):
        build_metrics.niqe(str(tmp_path / "other.npz"))
    np.savez(tmp_path / "short.npz", mu_pris_param=np.zeros(18), cov_pris_param=np.zeros((18, 18)))
    with pytest.raises(UserError, match="where it has 36 features"):
        build_metrics.niqe(str(tmp_path / "short.npz"))


def test_niqe_of_the_baboon(shared):
    """5.7296 says XPixelGroup/BasicSR, of MATLAB and Python alike."""
    metric = build_metrics.niqe(str(shared / "weights" / "niqe" / "niqe_pris_params.npz"))
    image = read_image(shared / "sr_benchmarks" / "Set14" / "HR" / "baboon.png")
    # float32 statistics: see tests/metrics/test_niqe.py
    assert metric.measure(image, image) == pytest.approx(5.7296, abs=1e-3)
