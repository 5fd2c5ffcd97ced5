"""Deep Image Prior undoes a chain of operators: here blur, reduction and lost pixels at once.

    python -m jaxsr.main --config=configs/dip_compose.py                            a photograph, 128×128
    python -m jaxsr.main --config=configs/dip_compose.py:paper --config.image=photo.png    the large network
    python -m jaxsr.main --config=configs/dip_compose.py:grey                       colours for a grey picture
    python -m jaxsr.main --config=configs/dip_compose.py --config.image=spoilt.png --config.task.given=True

The data term compares with what was observed what config.task.operators make, one after the other, of the
restored image: `blur` (sigma, pixels), `lanczos` (factor), `mean_of_channels`, `corner` (size, the upper
left). Noise of config.task.sigma is added to the observed image and a share config.task.missing of its pixels
is lost. With config.task.given the image is the observed one, as it is, and there is no truth;
config.task.mask is then a grey image of its size, 0 where pixels are missing. Sizes of config.crop are those
of the restored image. A new operator is a function in jaxsr/build_observed.py:

    def box(images: jax.Array, *, factor: int) -> jax.Array:
        b, h, w, c = images.shape
        return images.reshape(b, h // factor, factor, w // factor, factor, c).mean((2, 4))

    OPERATORS = {"blur": blur, "box": box, …}

Obtained: bare, 25.05 dB (average 25.22) from half of the pixels of the blurred and halved picture.

Not an experiment of the paper (arXiv:1711.10925), which has one operator at a time.

Differences from the published recipe of super-resolution
1. The operators.
2. bare: a small network on a crop, 1,000 steps.
"""

from ml_collections import ConfigDict

PRESETS = ("", "paper", "grey", "variance", "held_out", "watched", "tiny")


def get_config(preset: str = "") -> ConfigDict:
    names = [name for name in preset.split(",") if name]
    for name in names:
        if name not in PRESETS:
            raise ValueError(
                f"there is no preset {name!r}: configs/dip_compose.py has {', '.join(PRESETS[1:])}"
            )
    config = ConfigDict()
    config.name = "dip_compose"
    config.seed = 0
    config.precision = "float32"
    config.weight_gradient = "xla"
    config.algorithm = "deep_prior"
    config.image = "photograph:astronaut"
    config.seeds, config.placement = (), "auto"
    config.channels = 3
    config.crop = {"size": 128, "multiple": 32, "border": 0}
    config.task = {
        "name": "composed", "sigma": 0.0, "missing": 0.5, "given": False, "mask": "", "draw": 0,
        "operators": ({"name": "blur", "sigma": 1.2}, {"name": "lanczos", "factor": 2}),
    }  # fmt: skip
    config.code = {"name": "noise", "channels": 32, "scale": 0.1}
    config.noise = {"name": "constant", "peak": 0.03}
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
        "steps": 1000, "log_every": 50, "eval_every": 400, "checkpoint_every": 400, "keep": 1, "best": "",
        "best_mode": "max", "steps_per_call": 1,
    }  # fmt: skip
    for change in (paper, grey, variance, held_out, watched, tiny):
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
    """The network published for super-resolution, on the whole image."""
    widths(config, (128,) * 5, (4,) * 5)
    config.crop.size = 0
    config.train.steps = 2000


def grey(config: ConfigDict) -> None:
    """Only the mean of the channels is observed."""
    config.task.operators, config.task.missing = ({"name": "mean_of_channels"},), 0.0


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
    config.crop = {"size": 32, "multiple": 8, "border": 0}
    config.code.channels = 2
    config.train.steps, config.train.log_every = 4, 1
    config.train.eval_every, config.train.checkpoint_every = 0, 2
