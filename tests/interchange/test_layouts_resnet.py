"""A ResNet with a deep stem: its names, what it was trained on, the outputs of an independent build."""

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from reference import outdoor_torch  # noqa: E402

from jaxsr import build_method  # noqa: E402
from jaxsr.interchange import convert  # noqa: E402
from jaxsr.interchange.layouts_resnet import trained_on  # noqa: E402
from jaxsr.models.outdoor_scene_seg import OutdoorBackbone  # noqa: E402

BLOCKS = (1, 2, 1, 1)


class Bottleneck(torch.nn.Module):
    def __init__(self, inputs, middle, dilation, stride):
        super().__init__()
        conv, norm = torch.nn.Conv2d, torch.nn.BatchNorm2d
        self.conv1, self.bn1 = conv(inputs, middle, 1, bias=False), norm(middle)
        self.conv2 = conv(middle, middle, 3, stride, dilation, dilation, bias=False)
        self.bn2 = norm(middle)
        self.conv3, self.bn3 = conv(middle, 4 * middle, 1, bias=False), norm(4 * middle)
        self.downsample = None
        if inputs != 4 * middle:
            straight = conv(inputs, 4 * middle, 1, stride, bias=False)
            self.downsample = torch.nn.Sequential(straight, norm(4 * middle))

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(torch.relu(self.bn2(self.conv2(y)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class Deep(torch.nn.Module):
    """With dilation in the place of the last two strides, and a classifier that is not run."""

    def __init__(self, f=2):
        super().__init__()
        for number, (inputs, outputs) in enumerate(((3, f), (f, f), (f, 2 * f)), start=1):
            conv = torch.nn.Conv2d(inputs, outputs, 3, 2 if number == 1 else 1, 1, bias=False)
            self.add_module(f"conv{number}", conv)
            self.add_module(f"bn{number}", torch.nn.BatchNorm2d(outputs))
        inputs = 2 * f
        kinds = ((f, 1, 1), (2 * f, 1, 2), (4 * f, 2, 1), (8 * f, 4, 1))
        for stage, (count, (middle, dilation, stride)) in enumerate(zip(BLOCKS, kinds), start=1):
            blocks = []
            for i in range(count):
                blocks.append(Bottleneck(inputs, middle, dilation, 1 if i else stride))
                inputs = 4 * middle
            self.add_module(f"layer{stage}", torch.nn.Sequential(*blocks))
        self.fc = torch.nn.Linear(inputs, 10)

    def forward(self, x):
        for number in (1, 2, 3):
            x = torch.relu(getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(x)))
        x = torch.nn.functional.max_pool2d(x, 3, 2, 0, ceil_mode=True)
        for stage in (1, 2, 3, 4):
            x = getattr(self, f"layer{stage}")(x)
        return x


@pytest.fixture
def theirs():
    torch.manual_seed(0)
    module = Deep().eval()
    for value in module.state_dict().values():
        if value.ndim == 1:
            value.copy_(torch.rand(value.shape) + 0.5)
        elif value.ndim > 1:
            value.copy_(torch.randn(value.shape) * 1.2 / value[0].numel() ** 0.5)
    module.bn1.running_var.mul_(3000)  # of levels
    return module


def test_outputs_and_the_same_bits_back(theirs):
    state = {name: value.numpy() for name, value in theirs.state_dict().items()}
    layout, section, unused = convert.identify(state)
    assert layout.name == "CSAILVision/semantic-segmentation-pytorch ResNet"
    assert section == {"features": 2, "blocks": BLOCKS, "input": "bgr_levels"}
    assert sorted(unused) == ["fc.bias", "fc.weight"]
    variables = convert.to_ours(layout, section, state)
    image = np.random.default_rng(0).random((1, 40, 24, 3)).astype(np.float32)
    ours = jax.jit(OutdoorBackbone(**section).apply)(variables, image)
    seen = outdoor_torch.to_bgr(torch.from_numpy(image).permute(0, 3, 1, 2))
    with torch.no_grad():
        wanted = theirs(seen).permute(0, 2, 3, 1).numpy()
    assert wanted.shape == ours.shape == (1, 5, 3, 64) and wanted.max() > 0.1
    # float32 sums in another order
    np.testing.assert_allclose(ours, wanted, rtol=0, atol=2e-5 * wanted.max())
    back = convert.to_theirs(layout, section, variables)
    assert set(back) == set(state) - set(unused)
    for name, value in back.items():
        assert value.tobytes() == state[name].tobytes(), name


def test_it_is_the_parent_of_a_segmenter(theirs, tmp_path):
    path = tmp_path / "resnet.pth"
    torch.save(theirs.state_dict(), path)
    section = {
        "name": "outdoor_scene_seg", "features": 2, "blocks": BLOCKS, "parent": str(path), "weights": "",
    }  # fmt: skip
    network = build_method.network(section, "networks.gen", dtype=np.float32)
    variables = jax.jit(network.init)(jax.random.key(0), np.zeros((1, 16, 16, 3), np.float32))
    kernel = theirs.layer4[0].conv2.weight.detach().permute(2, 3, 1, 0)
    np.testing.assert_array_equal(variables["params"]["feature_14"]["res_3"]["kernel"], kernel)
    mean = variables["batch_stats"]["feature_14"]["proj_1"]["mean"]
    np.testing.assert_array_equal(mean, theirs.layer4[0].downsample[1].running_mean)
    assert variables["params"]["feature_19"]["kernel"].shape == (1, 1, 16, 8)


@pytest.mark.parametrize(("deviation", "input"), [(57.0, "bgr_levels"), (1.0, "rgb_unit")])
def test_colours_are_measured_from_the_running_variance(deviation, input):
    """On smooth random pictures, which neighbouring pixels share as photographs do."""
    torch.manual_seed(1)
    rough = torch.randn(4, 3, 12, 12)
    pictures = torch.nn.functional.interpolate(rough, scale_factor=6, mode="bicubic") * deviation
    conv = torch.nn.Conv2d(3, 64, 3, bias=False)
    variance = conv(pictures).transpose(0, 1).reshape(64, -1).var(1)
    assert trained_on(conv.weight.detach().numpy(), variance.detach().numpy()) == input
    assert trained_on(np.zeros((4, 3, 3, 3)), np.ones(4)) == "bgr_levels"
