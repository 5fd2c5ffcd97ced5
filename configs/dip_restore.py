"""Deep Image Prior restores one image of which pixels are missing at random.

    python -m jaxsr.main --config=configs/dip_restore.py                         half of a photograph, 128×128
    python -m jaxsr.main --config=configs/dip_restore.py:paper --config.image=barbara.png    figure 7: 50 %
    python -m jaxsr.main --config=configs/dip_restore.py:few --config.image=kate.png    supplement: 2 % left

Paper: arXiv:1711.10925; code: DmitryUlyanov/deep-image-prior 042e0d4, restoration.ipynb.
config.task.missing is the share of pixels that are lost; with config.task.alike the same ones in all
channels.

Differences from the published recipe
1. bare: a small network on a crop, 1,000 steps with a rate of 0.01.
2. A step that makes the fit fall by 5 dB is taken back with the moments of Adam, and every step is looked at;
   the reference keeps the moments and looks at one of 50.
3. paper: sides that are multiples of 32; with config.crop.border=1 also the reference's border of one
   mirrored pixel (514×514 there), which is part of its score.
4. The last image is made from the code without noise.
"""

from ml_collections import ConfigDict

PRESETS = (
    "",
    "paper",
    "few",
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
                f"there is no preset {name!r}: configs/dip_restore.py has {', '.join(PRESETS[1:])}"
            )
    config = ConfigDict()
    config.name = "dip_restore"
    config.seed = 0
    config.precision = "float32"
    config.weight_gradient = "xla"
    config.algorithm = "deep_prior"
    config.image = "photograph:astronaut"
    config.seeds, config.placement = (), "auto"
    config.channels = 3
    config.crop = {"size": 128, "multiple": 32, "border": 0}
    config.task = {"name": "restore", "missing": 0.5, "alike": False, "draw": 0}
    config.code = {"name": "noise", "channels": 32, "scale": 0.1}
    config.noise = {"name": "constant", "peak": 0.03}
    config.average = 0.99
    config.fall = 5.0
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
    for change in (paper, few, variance, held_out, watched, tiny):
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
    config.crop.size, config.channels, config.networks.gen.outputs = 0, 1, 1
    config.optimisers.gen.rate.peak = 0.001
    config.train.steps = 11_000


def few(config: ConfigDict) -> None:
    """2 % of the pixels are left, the same in all channels."""
    widths(config, (16, 32, 64, 128, 128), (0,) * 5)
    config.networks.gen.reduce = "avg"
    config.crop.size, config.task.missing, config.task.alike = 0, 0.98, True
    config.noise.peak = 0.0


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
    config.code.channels = 2
    config.train.steps, config.train.log_every = 4, 1
    config.train.eval_every, config.train.checkpoint_every = 0, 2
