"""Narrow instances of every restoring network, as Restorers with random weights."""

import jax.numpy as jnp
import numpy as np
from reference.random_trees import random_like, shapes_of

from jaxsr.build_restorer import CONDITIONED, FIXED_SCALE
from jaxsr.inference.restorer import Restorer
from jaxsr.models.carn import CARN
from jaxsr.models.conditioned import CompositionalNet, ConcatNet
from jaxsr.models.dncnn import DnCNN
from jaxsr.models.edsr import EDSR
from jaxsr.models.espcn import ESPCN
from jaxsr.models.fsrcnn import FSRCNN
from jaxsr.models.idn import IDN
from jaxsr.models.lapsrn import LapSRN, MSLapSRN
from jaxsr.models.legacy_srresnet import LegacySRResNet
from jaxsr.models.msrresnet import MSRResNet
from jaxsr.models.rrdbnet import RRDBNet
from jaxsr.models.sftnet import SFTNet
from jaxsr.models.srcnn import SRCNN
from jaxsr.models.srresnet import SRResNet
from jaxsr.models.toolbox import LargeTool, SmallTool
from jaxsr.models.vdsr import VDSR

_SFT = dict(features=4, blocks=1, condition=4, condition_hidden=4)
# label -> (name in build_method.NETWORKS, module); every option that changes an edge is here
SMALL = {
    "carn": ("carn", CARN(features=4, scale=2)),
    "carn shared": ("carn", CARN(features=4, groups=2, shared=True, scale=3)),
    "compositional": ("compositional_net", CompositionalNet(features=2, blocks=2, shared=1)),
    "compositional joined": (
        "compositional_net",
        CompositionalNet(features=2, blocks=2, shared=1, joined=True),
    ),
    "concat": ("concat_net", ConcatNet(features=4, blocks=1)),
    "dncnn": ("dncnn", DnCNN(depth=4, features=4, channels=1, batch_norm=True)),
    "edsr": ("edsr", EDSR(features=4, blocks=2, scale=3)),
    "espcn": ("espcn", ESPCN(scale=3)),
    "espcn seed": ("espcn", ESPCN(scale=2, variant="seed")),
    "fsrcnn": ("fsrcnn", FSRCNN(scale=3, features=6, shrink=4, depth=2)),
    "fsrcnn shuffle": ("fsrcnn", FSRCNN(scale=2, features=6, shrink=4, depth=1, tail="shuffle")),
    "idn": ("idn", IDN(scale=2, features=16)),
    "lapsrn": ("lapsrn", LapSRN(scale=4, depth=2, features=4)),
    "legacy_srresnet": ("legacy_srresnet", LegacySRResNet(features=4, blocks=2, scale=4)),
    "mslapsrn": ("mslapsrn", MSLapSRN(scale=2, recursions=2, depth=2, features=4)),
    "msrresnet": ("msrresnet", MSRResNet(features=4, blocks=2, scale=4)),
    "rrdbnet": ("rrdbnet", RRDBNet(features=4, blocks=1, growth=2)),
    "rrdbnet x2": ("rrdbnet", RRDBNet(features=4, blocks=1, growth=2, scale=2)),
    "sftnet": ("sftnet", SFTNet(**_SFT)),
    "sftnet torch": ("sftnet", SFTNet(variant="torch", **_SFT)),
    "srcnn": ("srcnn", SRCNN(features=(6, 4), scale=2)),
    "srcnn edge": ("srcnn", SRCNN(features=(6, 4), kernels=(9, 1, 5), scale=1, border="edge")),
    "srresnet": ("srresnet", SRResNet(features=4, blocks=2, scale=4)),
    "tool large": ("tool_large", LargeTool()),
    "tool small": ("tool_small", SmallTool()),
    "vdsr": ("vdsr", VDSR(depth=5, features=4, scale=3)),
}


def small(label, *, seed=0):
    """The Restorer of a label of SMALL, its weights drawn at random (biases too)."""
    name, module = SMALL[label]
    return restorer(name, module, seed=seed)


def restorer(name, module, *, seed=0):
    """A Restorer of a module with random weights; a prior looks at single pixels."""
    channels = getattr(module, "channels", 3)
    scale = FIXED_SCALE[name] if name in FIXED_SCALE else module.scale
    images = [jnp.zeros((1, 16, 16, channels))]
    if name in CONDITIONED:
        images.append(jnp.zeros((1, 64, 64, 8)))
    variables = random_like(shapes_of(module, *images), seed)

    def apply(variables, *inputs):
        return module.apply(variables, *inputs, train=False)

    prior = pixel_prior if name in CONDITIONED else None
    return Restorer(name, scale, channels, apply, variables, prior, {"network": {"name": name}})


def pixel_prior(lq):
    """uint8 [4h,4w,8] that depends on each pixel alone, and not smoothly."""
    fine = np.repeat(np.repeat(np.asarray(lq, np.float64), 4, 0), 4, 1)
    waves = np.concatenate([np.sin(k * fine * 40) for k in (1, 2, 3)], -1)[..., :8]
    return np.floor((waves + 1) * 127).astype(np.uint8)


def image(height, width, channels, *, seed=0):
    """float32 noise in [0,1]."""
    return np.random.default_rng(seed).random((height, width, channels), np.float32)
