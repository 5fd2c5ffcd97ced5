"""The twelve tools of RL-Restore: small networks, each for one distortion at one strength.

    python -m jaxsr.main --config=configs/rl_restore_tools.py           all twelve at once
    python -m jaxsr.main --config=configs/rl_restore_tools.py:tool07    one of them, tool01 to tool12
    python -m jaxsr.main --config=configs/rl_restore_tools.py:bsds500   2,500 steps, 0.6 hours on 2 cores
    python -m jaxsr.main --config=configs/rl_restore_tools.py:paper     the published recipe

Paper: arXiv:1804.03312, section 3; its code for the tools is not public. An ordinary supervised run: row r
of a batch goes to tool r mod 12 and has the distortion of that tool. The table gives the gain in dB of every
tool on every distortion; a tool should be good on its own band and need not be on others. Presets are joined
by commas: `tool07,paper`.

Obtained with `bsds500` on the three held-out photographs: 1.80 dB on its own distortion for the mean tool;
noise +1.0, +4.4, +7.1, +7.4, JPEG +0.3, +0.5, +0.9, +0.9 dB, but blur -0.6, -0.5, -0.3, +0.6 dB: the
deblurring tools were not trained to the end. The released ones give +0.1, +0.8, +2.0, +1.9 dB for blur on
such patches.

Differences from the published recipe
1. Slight noise (σ up to 5) and JPEG (quality from 80) in the data of all tools: the paper does it and gives
   no sizes (not verified).
2. bare and bsds500: Adam with a cosine end; batch, rate and length are our own choice.
3. paper: SGD with momentum 0.9, weight decay 1e-4 and rate 0.1, a tenth every 20 of 80 epochs of 4,000
   iterations, batch 64 for each tool; θ of VDSR's clipping is not given (not verified: 0.01 here).
"""

from ml_collections import ConfigDict

PRESETS = ("", "bsds500", "paper", "tiny")
TOOLS = tuple(f"tool{number:02d}" for number in range(1, 13))
SMALL = (1, 2, 5, 6, 9, 10)


def get_config(preset: str = "") -> ConfigDict:
    names = [name for name in preset.split(",") if name]
    for name in names:
        if name not in PRESETS + TOOLS:
            raise ValueError(
                f"there is no preset {name!r}: configs/rl_restore_tools.py has {', '.join(PRESETS[1:])}, "
                "and tool01 to tool12"
            )
    tool = next((TOOLS.index(name) + 1 for name in names if name in TOOLS), 0)
    config = ConfigDict()
    config.name = "rl_restore_tools"
    config.seed = 0
    config.seeds, config.placement = (), "auto"
    config.precision = "float32"
    config.weight_gradient = "xla"
    config.scale = 1
    config.algorithm = "supervised"
    config.inputs = ("lq",)
    config.finish = "identity"
    config.accumulate = 1
    config.ema = 0.99
    families = tuple("small" if n in SMALL else "large" for n in range(1, 13))
    config.networks = {"gen": {"name": "toolbox", "families": families, "weights": ""}}
    config.losses = {"pixel": {"name": "l2", "weight": 1.0}}
    config.optimisers = {
        "gen": {
            "name": "adam", "b1": 0.9, "b2": 0.999, "eps": 1e-8, "clip": 0.0,
            "rate": {"name": "cosine", "peak": 1e-3, "warmup": 20, "steps": 150, "final": 1e-5},
        }
    }  # fmt: skip
    config.data = {
        "root": "", "batch": 48, "workers": 0, "cache_mib": 2048, "max_broken": 0.01, "mixing": "interleaved",
        "bands": tuple(range(1, 13)),
        "transform": {"name": "tool_patch", "size": 63, "factors": (1, 2), "slight": True},
        "train": {
            "photographs": {
                "kind": "photographs", "weight": 1.0,
                "names": (
                    "astronaut", "coffee", "flower", "motorcycle_left", "retina", "ihc", "hubble_deep_field"
                ),
            }
        },
        "test": {"photographs": {"kind": "photographs", "names": ("china", "chelsea", "rocket")}},
    }  # fmt: skip
    config.evaluation = {"name": "toolbox", "count": 12, "height": 480}
    config.train = {
        "steps": 150, "log_every": 10, "eval_every": 0, "checkpoint_every": 50, "keep": 2,
        "best": "own", "best_mode": "max", "steps_per_call": 1,
    }  # fmt: skip
    if tool:
        config.networks.gen = {"name": f"tool_{families[tool - 1]}", "weights": ""}
        config.data.bands = (tool,)
        config.data.batch = 8
    for name, change in (("bsds500", bsds500), ("paper", paper), ("tiny", tiny)):
        if name in names:
            change(config)
    # the loss is the mean over all rows: so it is the sum over the tools of their own means
    config.losses.pixel.weight = float(len(config.data.bands))
    return config.lock()


def bsds500(config: ConfigDict) -> None:
    """BSDS500 without BSD100 and Set5's «woman», under data.root."""
    config.data.root = "datasets"
    config.data.train = {
        "bsds500": {
            "kind": "folder", "path": "bsds500/images", "include": "", "weight": 1.0,
            "exclude": "bsds500/exclude_from_training.txt",
        }
    }  # fmt: skip
    config.data.batch = 4 * len(config.data.bands)
    config.ema = 0.999
    config.optimisers.gen.rate.steps = config.train.steps = 2500
    config.optimisers.gen.rate.warmup = 100
    config.evaluation.count = 24
    config.train.log_every, config.train.eval_every, config.train.checkpoint_every = 50, 500, 250


def paper(config: ConfigDict) -> None:
    """DIV2K's 750 first training images under data.root, patches of the images reduced 2, 3 and 4 times."""
    bsds500(config)
    config.data.train = {
        "div2k": {
            "kind": "folder", "path": "DIV2K_train_HR", "include": "", "weight": 1.0, "exclude": "",
        }
    }  # fmt: skip
    config.data.batch = 64 * len(config.data.bands)
    config.data.transform.factors = (2, 3, 4)
    config.ema = 0.0
    config.optimisers.gen = {
        "name": "sgd", "momentum": 0.9, "weight_decay": 1e-4, "theta": 0.01,
        "rate": {
            "name": "multistep", "peak": 0.1, "milestones": (80_000, 160_000, 240_000), "factor": 0.1,
        },
    }  # fmt: skip
    config.train.steps = 320_000
    config.train.log_every, config.train.eval_every, config.train.checkpoint_every = 200, 5000, 5000


def tiny(config: ConfigDict) -> None:
    """Two photographs and a few steps, for tests."""
    config.data.batch = len(config.data.bands)
    config.data.transform.size = 24
    config.data.train.photographs.names = ("astronaut", "coffee")
    config.data.test.photographs.names = ("chelsea",)
    config.evaluation.count = 1
    config.train.steps = 4
    config.train.log_every, config.train.checkpoint_every = 2, 2
