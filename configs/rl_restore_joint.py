"""Joint training of RL-Restore: the tools learn inside the chains that an agent makes of them.

    python -m jaxsr.main --config=configs/rl_restore_joint.py            100 steps on photographs
    python -m jaxsr.main --config=configs/rl_restore_joint.py:bsds500    1,000 steps on BSDS500
    python -m jaxsr.main --config=configs/rl_restore_joint.py:paper      the published 200,000

Paper: arXiv:1804.03312, Algorithm 1; no code was released. The agent of config.agent.source chooses greedily
and stays; gradients go through whole chains into the tools of config.toolbox.sources, and each tool's are
divided by the number of its uses. The result is a toolbox, for the same agent. Presets are joined by commas.

Differences from the published recipe
1. Adam for the optimiser, which is not named (not verified); a rate of 1e-4 as published, 64 chains a step.
2. Bare: 32 chains, fewer steps; bsds500: 8 chains, a rate that falls to 0 (cosine, 50 steps of warm-up).
   Images are sorted by tool, on a CPU into blocks of one with gradients of our own (weight_gradient), since
   XLA's are slow inside the loop over blocks: 8 chains take 1.0 s a step on one core, 9.3 s with bank=all and
   its gradients; paper: blocks of 16, recomputed in the backward pass, for an accelerator.
3. paper: images reduced 2, 3 and 4 times.

Obtained with `bsds500`, 24 held-out patches of each severity, one seed, no gain on the whole yet: the shipped
agent's +3.73 dB become +3.27 (step 100), +3.72 (700) and +3.66 (1,000); on moderate patches, on which the
tools learn, +3.96 becomes +4.03, on mild and severe ones +2.94 becomes +2.81 and +4.28 becomes +4.15.
"""

from ml_collections import ConfigDict

PRESETS = ("", "bsds500", "paper", "tiny")
FAMILIES = ("small", "small", "large", "large") * 3


def get_config(preset: str = "") -> ConfigDict:
    names = [name for name in preset.split(",") if name]
    for name in names:
        if name not in PRESETS:
            raise ValueError(
                f"there is no preset {name!r}: configs/rl_restore_joint.py has {', '.join(PRESETS[1:])}"
            )
    config = ConfigDict()
    config.name = "rl_restore_joint"
    config.seed = 0
    config.seeds, config.placement = (), "auto"
    config.precision = "float32"
    config.weight_gradient = "products"
    config.algorithm = "joint"
    config.environment = {
        "steps": 3, "allow_stop": True, "min_steps": 0, "abort_below_input": False
    }  # fmt: skip
    config.toolbox = {
        "sources": ("pretrained:rl_restore_tools",), "bank": "blocks", "block": 1, "remat": False
    }  # fmt: skip
    config.agent = {"source": "pretrained:rl_restore_a2c"}
    config.networks = {"toolbox": {"name": "toolbox", "families": FAMILIES}}
    config.optimisers = {
        "toolbox": {
            "name": "adam", "b1": 0.9, "b2": 0.999, "eps": 1e-8, "clip": 0.0,
            "rate": {"name": "constant", "peak": 1e-4},
        }
    }  # fmt: skip
    config.data = {
        "root": "", "batch": 32, "workers": 0, "cache_mib": 2048, "max_broken": 0.01, "mixing": "interleaved",
        "transform": {
            "name": "distorted_patch", "severities": ("moderate",), "size": 63, "factors": (1, 2),
            "single_share": 0.0,
        },
        "train": {
            "photographs": {
                "kind": "photographs", "weight": 1.0,
                "names": (
                    "astronaut", "coffee", "flower", "motorcycle_left", "retina", "ihc", "hubble_deep_field"
                ),
            }
        },
        "test": {"photographs": {"kind": "photographs", "names": ("chelsea", "china", "rocket")}},
    }  # fmt: skip
    config.evaluation = {
        "name": "toolchain", "severities": ("mild", "moderate", "severe"), "count": 24, "shown": 2,
        "height": 126,
    }  # fmt: skip
    config.train = {
        "steps": 100, "log_every": 10, "eval_every": 50, "checkpoint_every": 50, "keep": 2,
        "best": "gain", "best_mode": "max", "steps_per_call": 1,
    }  # fmt: skip
    changes = (bsds500, paper, tiny)
    for change in changes:
        if change.__name__ in names:
            change(config)
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
    config.data.batch = 8
    config.optimisers.toolbox.rate = {
        "name": "cosine", "peak": 1e-4, "warmup": 50, "steps": 1000, "final": 0.0
    }  # fmt: skip
    config.train.steps = 1000
    config.train.eval_every = config.train.checkpoint_every = 100


def paper(config: ConfigDict) -> None:
    """DIV2K's 750 first training images under data.root, as many steps of the environment as the DQN."""
    bsds500(config)
    config.data.train = {
        "div2k": {
            "kind": "folder", "path": "DIV2K_train_HR", "include": "", "weight": 1.0, "exclude": "",
        }
    }  # fmt: skip
    config.data.transform.factors = (2, 3, 4)
    config.data.batch = 64
    config.optimisers.toolbox.rate = {"name": "constant", "peak": 1e-4}
    config.toolbox.block, config.toolbox.remat = 16, True
    config.evaluation.count = 64
    config.train.steps = 200_000
    config.train.log_every, config.train.eval_every, config.train.checkpoint_every = 50, 2000, 2000


def tiny(config: ConfigDict) -> None:
    """Two photographs and a few steps, for tests."""
    config.data.batch = 4
    config.data.train.photographs.names = ("astronaut", "coffee")
    config.data.test.photographs.names = ("chelsea",)
    config.evaluation.count = config.evaluation.shown = 1
    config.train.log_every, config.train.checkpoint_every, config.train.eval_every = 1, 2, 0
    config.train.steps = 4
