"""How long a network resists to fit an image, the image with noise, its shuffled pixels, and noise alone.

    python -m jaxsr.main --config=configs/dip_impedance.py             a photograph, 64×64, 300 steps
    python -m jaxsr.main --config=configs/dip_impedance.py:paper --config.image=F16_GT.png       figure 2

Paper: arXiv:1711.10925, figure 2. Four fits in one run; the curves of their losses, which are the result, are
in evaluation/curves.png and metrics.jsonl (`astronaut_image_0/loss` and so on). The sheet shows what each fit
has made.

Obtained: bare, losses after 100 steps of 0.0020 (image), 0.0098 (with noise), 0.0164 (shuffled), 0.0444
(noise).

Differences from the published recipe
1. No code was published for the figure: a standard deviation of 25/255 for the noise that is added (not
   clipped), noise uniform in [0, 1], and no noise on the code (not verified).
2. bare: a small network on a crop, 300 steps.
"""

from ml_collections import ConfigDict

PRESETS = ("", "paper", "tiny")


def get_config(preset: str = "") -> ConfigDict:
    names = [name for name in preset.split(",") if name]
    for name in names:
        if name not in PRESETS:
            raise ValueError(
                f"there is no preset {name!r}: configs/dip_impedance.py has {', '.join(PRESETS[1:])}"
            )
    config = ConfigDict()
    config.name = "dip_impedance"
    config.seed = 0
    config.precision = "float32"
    config.weight_gradient = "xla"
    config.algorithm = "deep_prior"
    config.image = "photograph:astronaut"
    config.seeds, config.placement = (), "auto"
    config.channels = 3
    config.crop = {"size": 64, "multiple": 32, "border": 0}
    config.task = {"name": "impedance", "sigma": 25.0, "draw": 0}
    config.code = {"name": "noise", "channels": 32, "scale": 0.1}
    config.noise = {"name": "constant", "peak": 0.0}
    config.average = 0.99
    config.fall = 0.0
    config.losses = {"data": {"name": "observed", "weight": 1.0}}
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
        "steps": 300, "log_every": 5, "eval_every": 0, "checkpoint_every": 100, "keep": 1, "best": "",
        "best_mode": "max", "steps_per_call": 1,
    }  # fmt: skip
    for change in (paper, tiny):
        if change.__name__ in names:
            change(config)
    return config.lock()


def widths(config: ConfigDict, down: tuple[int, ...], skip: tuple[int, ...]) -> None:
    """As many scales as there are widths."""
    count, gen = len(down), config.networks.gen
    gen.down, gen.up, gen.skip = down, down, skip
    gen.down_sizes = gen.up_sizes = (3,) * count
    gen.enlarge = (gen.enlarge[0],) * count


def paper(config: ConfigDict) -> None:
    """The published network on the whole image."""
    widths(config, (128,) * 5, (4,) * 5)
    config.crop.size = 0
    config.train.steps = 5000


def tiny(config: ConfigDict) -> None:
    """A few steps on a few pixels, for tests."""
    widths(config, (4, 4), (2, 2))
    config.crop = {"size": 32, "multiple": 4, "border": 0}
    config.code.channels = 2
    config.train.steps, config.train.log_every = 4, 1
    config.train.eval_every, config.train.checkpoint_every = 0, 2
