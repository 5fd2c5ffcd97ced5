"""Layouts of the classic networks: strict loads into independent builds, released files both ways."""

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from reference import classic_torch as ref  # noqa: E402
from reference.random_trees import random_like, shapes_of  # noqa: E402
from reference.through_layout import ours_of, theirs_of  # noqa: E402

from jaxsr.interchange import layouts_classic as classic  # noqa: E402
from jaxsr.interchange import layouts_lapsrn as pyramids  # noqa: E402
from jaxsr.interchange import layouts_plain as plain  # noqa: E402
from jaxsr.interchange.convert import identify  # noqa: E402
from jaxsr.interchange.detect import detect  # noqa: E402
from jaxsr.models.dncnn import DnCNN  # noqa: E402
from jaxsr.models.espcn import ESPCN  # noqa: E402
from jaxsr.models.fsrcnn import FSRCNN  # noqa: E402
from jaxsr.models.idn import IDN  # noqa: E402
from jaxsr.models.lapsrn import LapSRN, MSLapSRN  # noqa: E402
from jaxsr.models.srcnn import SRCNN  # noqa: E402
from jaxsr.models.vdsr import VDSR  # noqa: E402
from jaxsr.ops.resize import imresize  # noqa: E402
from jaxsr.types import UserError  # noqa: E402

MODULES = {
    "srcnn": SRCNN,
    "fsrcnn": FSRCNN,
    "espcn": ESPCN,
    "vdsr": VDSR,
    "dncnn": DnCNN,
    "lapsrn": LapSRN,
    "mslapsrn": MSLapSRN,
    "idn": IDN,
}
# Both sides are float32 and add at most 800 products of a layer in another order: 1e-6 of the whole
# as a rule; on a busy machine ESPCN's tanh was seen 2e-5 apart in one process of thirty. A wrong
# layer, slope, crop or channel order is off by 1e-1.
TOLERANCE = 1e-4

NARROW = {"features": 8, "channels": 1}
SRCNN_SECTION = {"kernels": (9, 3, 5), "features": (5, 4), "channels": 1}
FSRCNN_SECTION = {"features": 8, "shrink": 5, "depth": 2, "channels": 1}
DNCNN_SECTION = {"depth": 5, **NARROW}
NORMED = {**DNCNN_SECTION, "batch_norm": True}
MS_SECTION = {"depth": 2, **NARROW}


def build(module):
    """x, arrays -> output of a PyTorch module with the arrays as its strict state dict."""
    return lambda arrays, x: ref.loaded(module, arrays)(x)


def espcn(variant):
    return {"scale": 3, "variant": variant, "channels": 1}


# (layout, section that detect returns, options that no tensor shows, PyTorch build of the file)
CASES = [
    (
        classic.SRCNN_PYTORCH,
        SRCNN_SECTION | {"border": "zero"},
        {},
        build(ref.SRCNN((9, 3, 5), (5, 4))),
    ),
    (classic.SRCNN_HWIO, SRCNN_SECTION | {"border": "edge"}, {}, ref.srcnn_edges),
    (
        classic.SRCNN_MATLAB,
        SRCNN_SECTION | {"border": "edge"},
        {},
        lambda a, x: ref.srcnn_edges(ref.from_matlab(a), x),
    ),
    *(
        (
            classic.FSRCNN_PYTORCH,
            FSRCNN_SECTION | {"tail": "deconv"},
            {"scale": s},
            build(ref.FSRCNN(s, 8, 5, 2)),
        )
        for s in (2, 3, 4)
    ),
    (
        classic.FSRCNN_TENSORFLOW,
        FSRCNN_SECTION | {"scale": 3, "tail": "shuffle"},
        {},
        lambda a, x: ref.fsrcnn_graph(a, x, 3),
    ),
    (classic.ESPCN_PYTORCH, espcn("paper"), {}, build(ref.ESPCN(3))),
    (classic.ESPCN_SEED, espcn("seed"), {}, build(ref.ESPCNSigmoid(3))),
    (
        classic.ESPCN_SIGMOID,
        espcn("paper_sigmoid"),
        {},
        build(ref.ESPCNSigmoid(3, (64, 32))),
    ),
    (
        classic.ESPCN_TENSORFLOW,
        espcn("tensorflow"),
        {},
        lambda a, x: ref.espcn_graph(a, x, 3),
    ),
    (
        plain.VDSR_PYTORCH,
        {"depth": 5, "bias": False, **NARROW},
        {},
        build(ref.VDSR(5, 8)),
    ),
    (
        plain.VDSR_PYTORCH,
        {"depth": 5, "bias": True, **NARROW},
        {},
        build(ref.VDSR(5, 8, bias=True)),
    ),
    (plain.VDSR_HWIO, {"depth": 5, "bias": True, **NARROW}, {}, ref.vdsr_arrays),
    (
        plain.DNCNN_KAIR,
        DNCNN_SECTION | {"batch_norm": False, "bias": "all"},
        {},
        build(ref.DnCNN("model", 5, 8)),
    ),
    (
        plain.DNCNN_KAIR_NORM,
        NORMED | {"bias": "all"},
        {},
        build(ref.DnCNN("model", 5, 8, norm=True)),
    ),
    (
        plain.DNCNN_PYTORCH,
        NORMED | {"bias": "first"},
        {},
        build(ref.DnCNN("dncnn", 5, 8, norm=True, bias="first")),
    ),
    (
        plain.DNCNN_MATCONVNET,
        DNCNN_SECTION | {"channels": 3, "batch_norm": False, "bias": "all"},
        {},
        ref.dncnn_arrays,
    ),
    *(
        (
            pyramids.LAPSRN_MATCONVNET,
            {"scale": 2**n, "depth": 2, **NARROW},
            {},
            lambda a, x, n=n: ref.lapsrn(a, x, levels=n, depth=2),
        )
        for n in (1, 2, 3)
    ),
    *(
        (
            pyramids.MSLAPSRN_MATCONVNET,
            MS_SECTION,
            {"scale": 2**n, "recursions": r, "skip": skip},
            lambda a, x, n=n, r=r, skip=skip: ref.mslapsrn(
                a, x, levels=n, recursions=r, depth=2, skip=skip
            ),
        )
        for n, r, skip in ((1, 3, "SS"), (2, 2, "SS"), (1, 2, "DS"), (1, 2, "NS"))
    ),
]
IDS = [f"{layout.name}-{i}" for i, (layout, *_) in enumerate(CASES)]


def image(channels, *, h=5, w=7):
    return np.random.default_rng(0).random((1, h, w, channels)).astype(np.float32)


def drawn(layout, section, hidden=None):
    """(module, random variables, arrays of the file) of a network."""
    module = MODULES[layout.network](**section, **(hidden or {}))
    variables = random_like(shapes_of(module, image(section["channels"])), seed=1)
    return module, variables, theirs_of(layout, section, variables)


@pytest.mark.parametrize("layout, section, hidden, build", CASES, ids=IDS)
def test_an_exported_network_computes_the_same_in_the_reference(layout, section, hidden, build):
    module, variables, arrays = drawn(layout, section, hidden)
    lq = image(section["channels"])
    with torch.no_grad():
        expected = ref.nhwc(build(arrays, ref.nchw(lq)))
    ours = np.asarray(jax.jit(module.apply)(variables, lq))
    assert ours.shape == expected.shape
    size = np.abs(expected).max()
    assert size > 1e-2 and np.ptp(expected) > 1e-2
    np.testing.assert_allclose(ours, expected, rtol=0, atol=TOLERANCE * size)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_idn_adds_the_published_residual_to_the_bicubic_image(scale):
    module, variables, arrays = drawn(
        pyramids.IDN_CAFFE, {"features": 16, "channels": 1}, {"scale": scale}
    )
    lq = image(1)
    bicubic = imresize(lq[0].astype(np.float64), scale, border="clamp", round_passes=False)
    ours = np.asarray(jax.jit(module.apply)(variables, lq))[0] - bicubic
    with torch.no_grad():
        published, full = (
            ref.nhwc(ref.idn_residual(arrays, ref.nchw(lq), scale, padding=p))[0] for p in (8, 0)
        )
    h, w = 5 * scale, 7 * scale
    assert ours.shape == (h, w, 1)
    assert published.shape == (h - scale + 1, w - scale + 1, 1)
    tolerance = dict(rtol=0, atol=TOLERANCE * np.abs(published).max())
    np.testing.assert_allclose(ours[scale - 1 :, scale - 1 :], published, **tolerance)
    # the rows before: the same transposed convolution, less cropped
    start = 9 - scale
    np.testing.assert_allclose(ours, full[start : start + h, start : start + w], **tolerance)


SMALL = [(layout, section) for layout, section, *_ in CASES] + [
    (pyramids.IDN_CAFFE, {"features": 16, "channels": 1})
]


@pytest.mark.parametrize("layout, section", SMALL, ids=[*IDS, "idn"])
def test_a_file_is_known_by_its_layout_alone_and_comes_back_bit_for_bit(layout, section):
    _, variables, arrays = drawn(layout, section)
    found, read, unused = identify(arrays)  # refuses where two layouts fit
    assert (found.name, read, unused) == (layout.name, section, [])
    again = theirs_of(layout, section, ours_of(layout, section, arrays))
    assert sorted(again) == sorted(arrays)
    for name, array in arrays.items():
        assert again[name].dtype == array.dtype
        np.testing.assert_array_equal(again[name], array)


@pytest.mark.parametrize("layout, section", SMALL, ids=[*IDS, "idn"])
def test_a_file_that_differs_in_one_array_is_not_taken(layout, section):
    _, _, arrays = drawn(layout, section)
    weights = [entry.theirs for entry in layout.entries(section)]
    last = weights[-1]
    assert detect(layout, {**arrays, "another.weight": np.zeros(3, np.float32)}) is None
    assert detect(layout, {n: a for n, a in arrays.items() if n != last}) is None
    for name in (weights[0], last):
        wrong = np.zeros((*arrays[name].shape[:-1], arrays[name].shape[-1] + 1), np.float32)
        assert detect(layout, {**arrays, name: wrong}) is None
        assert detect(layout, {**arrays, name: np.zeros(2, np.float32)}) is None


def test_counters_may_be_absent():
    """PyTorch before 0.4.1 wrote no num_batches_tracked."""
    section = NORMED | {"bias": "first"}
    _, _, arrays = drawn(plain.DNCNN_PYTORCH, section)
    few = {n: a for n, a in arrays.items() if not n.endswith("num_batches_tracked")}
    assert len(few) == len(arrays) - 3
    assert detect(plain.DNCNN_PYTORCH, few) == section


def test_ircnn_is_not_taken_for_a_dncnn_of_seven_layers():
    section = DNCNN_SECTION | {"depth": 7, "batch_norm": False, "bias": "all"}
    for layout in (plain.DNCNN_KAIR, plain.DNCNN_MATCONVNET):
        _, _, arrays = drawn(layout, section)
        with pytest.raises(UserError, match="no known layout|shapes"):
            identify(arrays)


@pytest.mark.parametrize(
    "layout, section, words",
    [
        (classic.SRCNN_PYTORCH, {"border": "edge"}, "border 'zero'"),
        (classic.FSRCNN_TENSORFLOW, {}, "tail 'shuffle'"),
        (classic.ESPCN_SEED, {}, "variant 'seed'"),
        (plain.VDSR_HWIO, {"bias": False}, "bias True"),
        (plain.DNCNN_KAIR, {"batch_norm": True}, "batch_norm False"),
    ],
    ids=lambda value: value.name if isinstance(value, tuple) else None,
)
def test_a_network_that_the_class_cannot_hold_is_refused(layout, section, words):
    with pytest.raises(UserError, match=words):
        layout.entries(section)


@pytest.mark.parametrize(
    "layout, count",
    # zoo sheet, section 12: arrays of a state dict
    [
        (classic.FSRCNN_PYTORCH, 23),
        (classic.ESPCN_PYTORCH, 6),
        (plain.VDSR_PYTORCH, 40),
        (plain.DNCNN_KAIR, 34),
    ],
    ids=lambda value: value.name if isinstance(value, tuple) else None,
)
def test_published_networks_have_the_published_number_of_arrays(layout, count):
    assert len(layout.entries({})) == count


def test_number_of_arrays_with_options():
    assert len(plain.VDSR_PYTORCH.entries({"bias": False})) == 20
    section = {"batch_norm": True}
    layout = plain.DNCNN_KAIR_NORM
    assert len(layout.entries(section)) + len(layout.constants(section)) == 109
