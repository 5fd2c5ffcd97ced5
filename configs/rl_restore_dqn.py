"""RL-Restore's own agent: deep Q-learning over whole chains.

    python -m jaxsr.main --config=configs/rl_restore_dqn.py           150 steps on photographs
    python -m jaxsr.main --config=configs/rl_restore_dqn.py:bsds500   800 steps on BSDS500
    python -m jaxsr.main --config=configs/rl_restore_dqn.py:paper     as published
    python -m jaxsr.main --config=configs/rl_restore_dqn.py:no_stop   the paper's ablation

Paper: arXiv:1804.03312, section 4; code: yuke93/RL-Restore dd1463d. A step plays one batch of chains, writes
them to the replay in the state and makes `updates` updates. Presets are joined by commas: `bsds500,no_stop`.

Differences from the published recipe
1. Chains are played in batches; the reference plays one and updates every 4 steps of it. paper: 32 chains,
   up to 96 steps of the environment, and 24 updates: the same ratio, over 20,834 steps of the loop.
2. paper: a replay of 20,000 episodes (1.4 GB), not of 500,000 frames (11.9 GB); the rate is the code's, 1e-4
   halved every 10^6 steps of the environment down to 2.5e-5 (the text has 2.5e-4, not verified).
3. Bare and bsds500: a short replay, rate 1e-3 and a quick fall of ε, our own choice for short runs; the
   linear layer of the trunk starts as for policies, and the strengths of the distortions are learned beside
   the values (configs/rl_restore_a2c.py).

Obtained with `bsds500` and the shipped tools, one seed: gains of +2.95 (mild), +3.79 (moderate) and +4.07 dB
(severe) on 72 held-out patches, +3.60 in all, by the best of eight evaluations; the last +3.55.
"""

from ml_collections import ConfigDict

PRESETS = ("", "bsds500", "paper", "tiny", "no_stop")


def get_config(preset: str = "") -> ConfigDict:
    names = [name for name in preset.split(",") if name]
    for name in names:
        if name not in PRESETS:
            raise ValueError(
                f"there is no preset {name!r}: configs/rl_restore_dqn.py has {', '.join(PRESETS[1:])}"
            )
    config = ConfigDict()
    config.name = "rl_restore_dqn"
    config.seed = 0
    config.seeds, config.placement = (), "auto"
    config.precision = "float32"
    config.weight_gradient = "xla"
    config.algorithm = "dqn"
    config.environment = {
        "steps": 3, "allow_stop": True, "min_steps": 0, "abort_below_input": True
    }  # fmt: skip
    config.toolbox = {
        "sources": ("pretrained:rl_restore_tools",), "bank": "blocks", "block": 1, "remat": False
    }  # fmt: skip
    config.networks = {
        "agent": {
            "name": "toolchain_agent", "tools": 12, "value": False, "start": "policy", "pool": False,
            "weights": "",
        },
        "levels": {"name": "levels_head", "weights": ""},
    }  # fmt: skip
    config.replay = {
        "episodes": 1024, "warm": 128, "sample": 32, "updates": 2, "target_every": 40,
        "discount": 0.99, "first": 1.0, "last": 0.1, "decay": 75, "length_biased": True,
        "levels_weight": 30.0,
    }  # fmt: skip
    config.optimisers = {
        "agent": {
            "name": "adam", "b1": 0.9, "b2": 0.999, "eps": 1e-8, "clip": 0.0,
            "rate": {"name": "linear", "peak": 1e-3, "steps": 150, "final": 0.0},
        }
    }  # fmt: skip
    config.optimisers.levels = config.optimisers.agent.to_dict()
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
        "steps": 150, "log_every": 10, "eval_every": 50, "checkpoint_every": 50, "keep": 2,
        "best": "gain", "best_mode": "max", "steps_per_call": 1,
    }  # fmt: skip
    last(config, 150)
    changes = (bsds500, paper, tiny, no_stop)
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
    config.replay.episodes = 4096
    config.train.eval_every = config.train.checkpoint_every = 100
    last(config, 800)


def last(config: ConfigDict, steps: int) -> None:
    """The length of a run; the rate falls over its updates, ε over its first half."""
    config.train.steps, config.replay.decay = steps, steps // 2
    for each in config.optimisers.values():
        if each.rate.name == "linear":
            each.rate.steps = steps * config.replay.updates


def paper(config: ConfigDict) -> None:
    """DIV2K's 750 first training images under data.root, as many steps of the environment as the DQN."""
    bsds500(config)
    config.data.train = {
        "div2k": {
            "kind": "folder", "path": "DIV2K_train_HR", "include": "", "weight": 1.0, "exclude": "",
        }
    }  # fmt: skip
    config.data.transform.factors = (2, 3, 4)
    config.data.batch, config.toolbox.block = 32, 16
    config.networks.agent.start = "paper"
    config.replay.levels_weight = 0.0
    del config.networks.levels, config.optimisers.levels
    config.replay.episodes, config.replay.warm, config.replay.updates = 20_000, 1667, 24
    config.replay.target_every = 2500
    # 10^6 steps of the environment are 250,000 updates
    config.optimisers.agent.rate = {
        "name": "exponential", "peak": 1e-4, "half": 250_000, "least": 2.5e-5
    }  # fmt: skip
    config.evaluation.count = 64
    config.train.log_every, config.train.eval_every, config.train.checkpoint_every = 50, 500, 500
    last(config, 20_834)


def no_stop(config: ConfigDict) -> None:
    """Every chain has three tools."""
    config.environment.allow_stop = False


def tiny(config: ConfigDict) -> None:
    """Two photographs and a few updates, for tests."""
    config.data.batch = 4
    config.data.train.photographs.names = ("astronaut", "coffee")
    config.data.test.photographs.names = ("chelsea",)
    config.evaluation.count = config.evaluation.shown = 1
    config.train.log_every, config.train.checkpoint_every, config.train.eval_every = 1, 2, 0
    config.replay.episodes, config.replay.warm, config.replay.sample = 8, 4, 2
    config.replay.target_every = 2
    last(config, 4)
