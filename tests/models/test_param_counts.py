"""Exact numbers of parameters of every module that jaxsr.models offers.

Tables of single networks stand beside their tests, in COUNTS; this file holds the others, and looks
whether a module is in none.
"""

import importlib
import inspect
import pkgutil
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

import jaxsr.models
from jaxsr.models.acd_vgg import ACDVGG96
from jaxsr.models.blocks import EdgePad, PReLU, TransposedConv
from jaxsr.models.legacy_srresnet import LegacySRResNet
from jaxsr.models.prior_net import ConvNorm, PriorNet, Trunk
from jaxsr.models.sftnet import SFTLayer, SFTNet, is_condition
from jaxsr.models.vgg import VGG19

LQ, SEG, IMAGE = (1, 8, 8, 3), (1, 32, 32, 8), (1, 96, 96, 3)


def _prior_net(classes=8, widths=(24, 48, 96, 128, 160), merged=64, stop=2):
    """PriorNet's count from its docstring: (trunk, all)."""
    conv = lambda a, b: 9 * a * b + 2 * b  # noqa: E731  3x3 without bias, scale and bias of BN
    trunk = sum(conv(a, b) + conv(b, b) for a, b in zip((3, *widths), widths))
    deep = widths[-1]
    head = 2 * conv(deep, deep) + deep * deep + deep + merged * classes + classes
    merges = len(widths) - 1 - stop
    projected = sum(widths[stop:]) * merged
    return trunk, trunk + head + projected + merges * conv(merged, merged)


# (module, input shapes, parameters). Provenance of the SFT-GAN and SRResNet numbers: the reference
# modules of xinntao/SFTGAN d98889e and BasicSR 9420896 instantiated under torch; of VGG19:
# torchvision (vgg19().features without the last ReLU and pool); of PriorNet, our own design:
# _prior_net above.
COUNTS = [
    (LegacySRResNet(), (LQ,), 1_554_499),
    # x3: one stage conv 64 -> 576 (332,352) in place of two of 147,712
    (LegacySRResNet(scale=3), (LQ,), 1_554_499 - 2 * 147_712 + 332_352),
    (LegacySRResNet(scale=2), (LQ,), 1_554_499 - 147_712),
    (PReLU(), (LQ,), 3),
    (PReLU(shared=True), (LQ,), 1),
    (TransposedConv(5, 4, 2, ((1, 1), (1, 1))), (LQ,), 4 * 4 * 3 * 5 + 5),
    (EdgePad(1), (LQ,), 0),
    (SFTLayer(residual=True, slope=0.1), ((1, 8, 8, 64), (1, 8, 8, 32)), 6_336),
    (SFTNet(variant="pytorch"), (LQ, SEG), 1_833_763),
    (SFTNet(variant="torch"), (LQ, SEG), 1_612_195),
    (ACDVGG96(), (IMAGE,), 10_813_717),
    (VGG19(), (IMAGE,), 20_024_384),
    (VGG19(layers=("relu2_2",)), (IMAGE,), 260_160),
    (VGG19(layers=("conv1_1", "conv3_1")), (IMAGE,), 555_328),
    (ConvNorm(5), (IMAGE,), 3 * 5 * 9 + 2 * 5),
    (Trunk(), (IMAGE,), _prior_net()[0]),
    (PriorNet(), (IMAGE,), _prior_net()[1]),
]


def parameters(module, shapes):
    """The tree of parameter shapes; nothing is allocated."""
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    layer = isinstance(module, (SFTLayer, PReLU, TransposedConv, EdgePad))
    keywords = {} if layer else {"train": False}
    init = lambda key, *x: module.init(key, *x, **keywords).get("params", {})  # noqa: E731
    return jax.eval_shape(init, jax.random.key(0), *inputs)


def size(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("module, shapes, count", COUNTS, ids=lambda v: getattr(v, "name", None))
def test_count(module, shapes, count):
    assert size(parameters(module, shapes)) == count


def test_no_public_module_is_missing_from_the_table():
    found = set()
    for info in pkgutil.iter_modules(jaxsr.models.__path__, "jaxsr.models."):
        source = importlib.import_module(info.name)
        found |= {
            cls
            for name, cls in inspect.getmembers(source, inspect.isclass)
            if issubclass(cls, nn.Module)
            and cls.__module__ == info.name
            and not name.startswith("_")
        }
    beside = [
        importlib.import_module(path.stem)
        for path in Path(__file__).parent.glob("test_*.py")
        if "\nCOUNTS = [" in path.read_text(encoding="utf-8")
    ]
    assert len(beside) >= 10
    assert found == {type(module) for table in beside for module, _, _ in table.COUNTS}


def test_trainable_groups():
    # 33 SFT layers (209,088) and CondNet (70,176); the rest is the parent's
    for variant, rest in (("pytorch", 1_554_499), ("torch", 1_332_931)):
        leaves = jax.tree_util.tree_leaves_with_path(parameters(SFTNet(variant), (LQ, SEG)))
        groups = {True: 0, False: 0}
        for path, leaf in leaves:
            groups[is_condition(path)] += leaf.size
        assert groups == {True: 279_264, False: rest}


def test_discriminator_parts():
    params = parameters(ACDVGG96(), (IMAGE,))
    parts = {"feature": 0, "gan": 0, "cls": 0}
    for name, layer in params.items():
        parts[name.split("_")[0]] += size(layer)
    assert parts == {"feature": 7_126_208, "gan": 1_843_401, "cls": 1_844_108}
