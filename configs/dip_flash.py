"""Deep Image Prior starts from a picture taken with flash to restore the one taken without.

    python -m jaxsr.main --config=configs/dip_flash.py                     a photograph and its grey version
    python -m jaxsr.main --config=configs/dip_flash.py:paper --config.image=noflash.jpg \\
        --config.code.image=flash.jpg                                      figure 10

Paper: arXiv:1711.10925; code: DmitryUlyanov/deep-image-prior 042e0d4, flash-no-flash.ipynb. The code of the
fit is not noise but the flash picture: what it shows well, edges and texture, is cheap for the network to
make, and colours and light come from the target. config.code.image has one picture for each of config.image,
separated by commas; config.code.grey takes its luma.

Obtained: bare, 21.18 → 31.59 dB in one minute of one CPU core (`dip_denoise`, without the guide: 28.63).

Differences from the published recipe
1. bare: the target is a photograph with noise, guided by its clean luma, since no flash pair comes with the
   dependencies; so there is a truth. A small network, a rate of 0.01, 600 steps.
2. paper: a run that gets stuck at one colour, which the notebook warns of, is run again with another
   config.seed; with config.seeds several starts are made at once.
3. The running average is kept, as everywhere here.
"""

from ml_collections import ConfigDict

PRESETS = ("", "paper", "variance", "held_out", "watched", "tiny")


def get_config(preset: str = "") -> ConfigDict:
    names = [name for name in preset.split(",") if name]
    for name in names:
        if name not in PRESETS:
            raise ValueError(
                f"there is no preset {name!r}: configs/dip_flash.py has {', '.join(PRESETS[1:])}"
            )
    config = ConfigDict()
    config.name = "dip_flash"
    config.seed = 0
    config.precision = "float32"
    config.weight_gradient = "xla"
    config.algorithm = "deep_prior"
    config.image = "photograph:astronaut"
    config.seeds, config.placement = (), "auto"
    config.channels = 3
    config.crop = {"size": 128, "multiple": 32, "border": 0}
    config.task = {"name": "denoise", "sigma": 25.0, "draw": 0}
    config.code = {"name": "guide", "image": "photograph:astronaut", "grey": True}
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
        "steps": 600, "log_every": 50, "eval_every": 200, "checkpoint_every": 200, "keep": 1, "best": "",
        "best_mode": "max", "steps_per_call": 1,
    }  # fmt: skip
    for change in (paper, variance, held_out, watched, tiny):
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
    """The published settings for a pair without a truth."""
    widths(config, (128,) * 5, (4,) * 5)
    config.networks.gen.enlarge = ("nearest", "nearest", "bilinear", "bilinear", "bilinear")
    config.crop.size, config.task.sigma, config.code.grey = 0, 0.0, False
    config.optimisers.gen.rate.peak = 0.1
    config.train.steps = 601


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
    config.crop = {"size": 32, "multiple": 4, "border": 0}
    config.train.steps, config.train.log_every = 4, 1
    config.train.eval_every, config.train.checkpoint_every = 0, 2
