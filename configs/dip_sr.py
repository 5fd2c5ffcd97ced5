"""Deep Image Prior enlarges one image ×4 or ×8, without any other image.

    python -m jaxsr.main --config=configs/dip_sr.py                                  a photograph, 128×128, ×4
    python -m jaxsr.main --config=configs/dip_sr.py --config.image=small.png --config.task.given=True
    python -m jaxsr.main --config=configs/dip_sr.py:paper --config.image=zebra_GT.png      figure 5, ×4
    python -m jaxsr.main --config=configs/dip_sr.py:paper,x8 --config.image=zebra_GT.png   supplement, ×8
    python -m jaxsr.main --config=configs/dip_sr.py:no_prior      pixels alone; `tv`: and their variation;
                                                                  `effect`: the network beside these two

Paper: arXiv:1711.10925; code: DmitryUlyanov/deep-image-prior 042e0d4, super-resolution.ipynb. The large image
is reduced by Pillow's Lanczos filter to the one that is observed; with config.task.given the image is the
small one, and there is no truth. Sizes of config.crop are those of the large one. What the network makes is
reduced by a Lanczos filter of two lobes and compared: the two filters differ, as in the reference, so a fit
beyond 39 dB follows the difference.

Differences from the published recipe
1. bare: a small network (152,199 parameters) on a crop, 1,000 steps.
2. The last image is made from the code without noise.
"""

from ml_collections import ConfigDict

PRESETS = (
    "",
    "paper",
    "x8",
    "effect",
    "no_prior",
    "tv",
    "variance",
    "held_out",
    "watched",
    "tiny",
)


def get_config(preset: str = "") -> ConfigDict:
    names = [name for name in preset.split(",") if name]
    for name in names:
        if name not in PRESETS:
            raise ValueError(
                f"there is no preset {name!r}: configs/dip_sr.py has {', '.join(PRESETS[1:])}"
            )
    config = ConfigDict()
    config.name = "dip_sr"
    config.seed = 0
    config.precision = "float32"
    config.weight_gradient = "xla"
    config.algorithm = "deep_prior"
    config.image = "photograph:astronaut"
    config.seeds, config.placement = (), "auto"
    config.channels = 3
    config.crop = {"size": 128, "multiple": 32, "border": 0}
    config.task = {"name": "super_resolution", "factor": 4, "given": False}
    config.code = {"name": "noise", "channels": 32, "scale": 0.1}
    config.noise = {"name": "constant", "peak": 0.03}
    config.average = 0.99
    config.fall = 0.0
    config.losses = {"data": {"name": "observed", "weight": 1.0}}
    config.watches, config.stopping = {}, {"watch": ""}
    config.networks = {
        "gen": {
            "name": "skip_net", "outputs": 3, "down": (32,) * 5, "up": (32,) * 5, "skip": (4,) * 5,
            "down_sizes": (3,) * 5, "up_sizes": (3,) * 5, "enlarge": ("bilinear",) * 5, "reduce": "stride",
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
        "steps": 1000, "log_every": 50, "eval_every": 400, "checkpoint_every": 400, "keep": 1, "best": "",
        "best_mode": "max", "steps_per_call": 1,
    }  # fmt: skip
    for change in (paper, x8, effect, variance, held_out, watched, tiny, no_prior, tv):
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
    config.train.steps = 2000


def x8(config: ConfigDict) -> None:
    """Eight times, twice as many steps."""
    config.task.factor, config.noise.peak = 8, 0.05
    config.train.steps *= 2


def effect(config: ConfigDict) -> None:
    """The network beside the baselines `no_prior` and `tv` in the supplement: a code of three maps."""
    paper(config)
    config.code.channels, config.noise.peak = 3, 1 / 30


def no_prior(config: ConfigDict) -> None:
    """The pixels themselves are fitted, without a network."""
    config.networks.gen = {"name": "pixel_image", "outputs": 3, "start": 0.1}
    config.noise.peak = 0.0


def tv(config: ConfigDict) -> None:
    """The pixels themselves, with total variation as their prior."""
    no_prior(config)
    config.losses.tv = {"name": "variation", "weight": 1e-7, "power": 0.5}


def variance(config: ConfigDict) -> None:
    """Stops when the moving variance of the outputs has had no new minimum for some steps."""
    config.watches = {"variance": {"rate": 0.1}}
    config.stopping = {"watch": "variance", "start": 100, "patience": 300}


def held_out(config: ConfigDict) -> None:
    """Stops when the error on pixels kept from the fit has had no new minimum for some steps."""
    config.watches = {"held_out": {"rate": 0.1, "share": 0.02}}
    config.stopping = {"watch": "held_out", "start": 100, "patience": 300}


def watched(config: ConfigDict) -> None:
    """Both numbers are followed at every step, and the fit goes on: for scripts/compare_stopping.py."""
    config.watches = {"held_out": {"rate": 0.1, "share": 0.02}, "variance": {"rate": 0.1}}
    config.train.log_every = 1


def tiny(config: ConfigDict) -> None:
    """A few steps on a few pixels, for tests."""
    widths(config, (4, 4), (2, 2))
    config.crop = {"size": 32, "multiple": 16, "border": 0}
    config.code.channels = 2
    config.train.steps, config.train.log_every = 4, 1
    config.train.eval_every, config.train.checkpoint_every = 0, 2
