"""Deep Image Prior shows what features of a network know of an image, or what one map answers to.

    python -m jaxsr.main --config=configs/dip_features.py               from a segmenter's features
    python -m jaxsr.main --config=configs/dip_features.py:activation    what excites map 0 of that level
    python -m jaxsr.main --config=configs/dip_features.py:paper --config.image=building.jpg \\
        --config.features.weights=vgg19.safetensors                     figure 9: natural pre-image
    …                                  dip_features.py:paper,heavy      and with heavy noise on the code
    …                                  dip_features.py:paper,activation      supplement: activation

Paper: arXiv:1711.10925; code: DmitryUlyanov/deep-image-prior 042e0d4, feature_inversion.ipynb and
activation_maximization.ipynb. The pre-image is an image with the same features in config.features.layers,
which the network as a prior makes natural; an activation is made as large as possible. Features: `prior_net`,
the trunk of a segmenter (one is shipped; level1, level2 …), or `vgg19` of a weight file (relu1_1 …).

Differences from the published recipe
1. Features of the shipped segmenter, or VGG-19 with the normalisation of torchvision, where the paper has
   AlexNet's fc6 in Caffe: so no figure of the paper is repeated exactly.
   Without a classifier there is no class to excite: activation is that of a map of config.features.layers.
2. bare: a small network on a crop, 600 steps with a rate of 0.01.
3. activation: the image given by config.image counts only for its size.
4. The noise on the weights, in the notebooks for heavy noise and activation, changes nothing there.
"""

from ml_collections import ConfigDict

PRESETS = ("", "paper", "heavy", "activation", "tiny")


def get_config(preset: str = "") -> ConfigDict:
    names = [name for name in preset.split(",") if name]
    for name in names:
        if name not in PRESETS:
            raise ValueError(
                f"there is no preset {name!r}: configs/dip_features.py has {', '.join(PRESETS[1:])}"
            )
    config = ConfigDict()
    config.name = "dip_features"
    config.seed = 0
    config.precision = "float32"
    config.weight_gradient = "xla"
    config.algorithm = "deep_prior"
    config.image = "photograph:astronaut"
    config.seeds, config.placement = (), "auto"
    config.channels = 3
    config.crop = {"size": 128, "multiple": 32, "border": 0}
    config.task = {
        "name": "composed", "sigma": 0.0, "missing": 0.0, "given": True, "mask": "", "draw": 0,
        "operators": (),
    }  # fmt: skip
    config.code = {"name": "noise", "channels": 32, "scale": 0.1, "more": 0}
    config.noise = {"name": "constant", "peak": 0.0}
    config.average = 0.99
    config.fall = 0.0
    config.features = {
        "name": "prior_net", "weights": "pretrained:segmenter", "layers": {"level3": 1.0}
    }  # fmt: skip
    config.losses = {"preimage": {"name": "feature_l2", "weight": 1.0}}
    config.watches, config.stopping = {}, {"watch": ""}
    config.networks = {
        "gen": {
            "name": "skip_net", "outputs": 3, "down": (32,) * 4, "up": (32,) * 4, "skip": (4,) * 4,
            "down_sizes": (3,) * 4, "up_sizes": (3,) * 4, "enlarge": ("bilinear",) * 4, "reduce": "stride",
            "pad": "reflection", "mix": True, "activation": "leaky_relu", "sigmoid": True, "remat": False,
        }
    }  # fmt: skip
    config.optimisers = {
        "gen": {
            "name": "adam", "b1": 0.9, "b2": 0.999, "eps": 1e-8, "clip": 0.0,
            "rate": {"name": "constant", "peak": 0.01},
        }
    }  # fmt: skip
    config.evaluation = {"name": "restored", "height": 256}
    config.train = {
        "steps": 600, "log_every": 50, "eval_every": 200, "checkpoint_every": 200, "keep": 1, "best": "",
        "best_mode": "max", "steps_per_call": 1,
    }  # fmt: skip
    for change in (paper, heavy, activation, tiny):
        if change.__name__ in names:
            change(config)
    if {"paper", "activation"} <= set(names):
        excited(config)
    return config.lock()


def widths(config: ConfigDict, down: tuple[int, ...], skip: tuple[int, ...]) -> None:
    """As many scales as there are widths."""
    count, gen = len(down), config.networks.gen
    gen.down, gen.up, gen.skip = down, down, skip
    gen.down_sizes = gen.up_sizes = (3,) * count
    gen.enlarge = (gen.enlarge[0],) * count


def paper(config: ConfigDict) -> None:
    """The published network for pre-images: 256×256, of which the upper left 224×224 are looked at."""
    widths(config, (16, 32, 64, 128, 128, 128), (4,) * 6)
    gen = config.networks.gen
    gen.down_sizes = gen.up_sizes = (7, 7, 5, 5, 3, 3)
    gen.enlarge, gen.reduce, gen.pad = ("nearest",) * 6, "avg", "zero"
    config.crop = {"size": 224, "multiple": 224, "border": 0}
    config.task.operators, config.code.more = ({"name": "corner", "size": 224},), 32
    config.features = {"name": "vgg19", "weights": "", "layers": {"relu4_1": 1.0}}
    config.optimisers.gen.rate.peak = 0.001
    config.train.steps = 3100


def heavy(config: ConfigDict) -> None:
    """A code of two maps, shaken beyond recognition, and less and less."""
    config.code.channels, config.train.steps = 2, 20_000
    config.noise = {"name": "stages", "values": (10.0, 2.0, 0.5), "until": (10_000, 15_000)}
    config.optimisers.gen.rate.peak = 0.01


def activation(config: ConfigDict) -> None:
    """One map of a layer is excited in its middle, by a code that is shaken."""
    config.losses = {
        "activation": {"name": "activation", "weight": 5.0, "map": 0, "window": 20}
    }  # fmt: skip
    config.noise.peak = 0.03


def excited(config: ConfigDict) -> None:
    """The published network for activations, all of whose 256×256 pixels are looked at."""
    widths(config, (16, 32, 64, 128, 128, 128), (0, 4, 4, 4, 4, 4))
    gen = config.networks.gen
    gen.down_sizes, gen.up_sizes = (5, 3, 5, 5, 3, 5), (5, 3, 5, 3, 5, 3)
    gen.enlarge, gen.pad = ("bilinear",) * 6, "reflection"
    config.crop = {"size": 256, "multiple": 64, "border": 0}
    config.task.operators, config.code.more = (), 0


def tiny(config: ConfigDict) -> None:
    """A few steps on a few pixels, for tests."""
    widths(config, (4, 4), (2, 2))
    config.crop = {"size": 32, "multiple": 4, "border": 0}
    config.task.operators, config.code.more = (), 0
    config.code.channels = 2
    config.train.steps, config.train.log_every = 4, 1
    config.train.eval_every, config.train.checkpoint_every = 0, 2
