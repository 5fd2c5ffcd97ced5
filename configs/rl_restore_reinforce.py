"""RL-Restore's agent trained by REINFORCE: whole chains, their returns, no bootstrapping.

    python -m jaxsr.main --config=configs/rl_restore_reinforce.py              150 updates on photographs
    python -m jaxsr.main --config=configs/rl_restore_reinforce.py:bsds500      1,000 updates on BSDS500
    python -m jaxsr.main --config=configs/rl_restore_reinforce.py:paper        2,000,000 steps in all
    python -m jaxsr.main --config=configs/rl_restore_reinforce.py:no_baseline  returns as they are
    python -m jaxsr.main --config=configs/rl_restore_reinforce.py:batch_mean   less their mean at each step

Paper: Williams 1992, on the environment of arXiv:1804.03312; see configs/rl_restore_a2c.py, from which only
the estimator differs. Bare, the baseline is the agent's value. Presets are joined by commas:
`bsds500,batch_mean`.

Obtained with `bsds500` and the shipped tools, three seeds, 9 minutes on one idle core: gains of +2.93 ± 0.03
(mild), +3.95 ± 0.02 (moderate) and +4.31 ± 0.05 dB (severe) on 72 held-out patches, +3.73 ± 0.02 in all, by
the best of ten evaluations on them (by the last: +3.58, +3.75, +3.56); the best constant chain has +3.50.

Differences from the paper
1. The discount of 0.99 enters the returns and not the weight of later steps, as everywhere today.
2. The strengths of the distortions are learned beside the policy, as in configs/rl_restore_a2c.py.
3. paper: images reduced 2, 3 and 4 times; 1,024 chains an update, 651 updates.
"""

from ml_collections import ConfigDict

PRESETS = ("", "bsds500", "paper", "tiny", "no_baseline", "batch_mean")


def get_config(preset: str = "") -> ConfigDict:
    names = [name for name in preset.split(",") if name]
    for name in names:
        if name not in PRESETS:
            raise ValueError(
                f"there is no preset {name!r}: configs/rl_restore_reinforce.py has {', '.join(PRESETS[1:])}"
            )
    config = ConfigDict()
    config.name = "rl_restore_reinforce"
    config.seed = 0
    config.seeds, config.placement = (), "auto"
    config.precision = "float32"
    config.weight_gradient = "xla"
    config.algorithm = "policy_gradient"
    config.environment = {
        "steps": 3, "allow_stop": True, "min_steps": 0, "abort_below_input": False
    }  # fmt: skip
    config.toolbox = {
        "sources": ("pretrained:rl_restore_tools",), "bank": "blocks", "block": 1, "remat": False
    }  # fmt: skip
    config.networks = {
        "agent": {
            "name": "toolchain_agent", "tools": 12, "value": True, "start": "policy", "pool": False,
            "weights": "",
        },
        "levels": {"name": "levels_head", "weights": ""},
    }  # fmt: skip
    config.policy = {
        "estimator": {"name": "reinforce", "baseline": "value", "normalise": False},
        "bonus": {"name": "linear", "peak": 0.02, "steps": 150, "final": 0.001},
        "value_weight": 0.5, "levels_weight": 30.0, "reward_scale": 0.1, "discount": 0.99,
        "all_action": False,
    }  # fmt: skip
    config.optimisers = {
        "agent": {
            "name": "adam", "b1": 0.9, "b2": 0.999, "eps": 1e-5, "clip": 1.0,
            "rate": {"name": "linear", "peak": 3e-3, "steps": 150, "final": 0.0},
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
    changes = (bsds500, paper, tiny, no_baseline, batch_mean)
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
    config.train.eval_every = config.train.checkpoint_every = 100
    last(config, 1000)


def last(config: ConfigDict, updates: int) -> None:
    """The length of a run, and of the schedules with it."""
    config.train.steps = config.policy.bonus.steps = updates
    for each in config.optimisers.values():
        each.rate.steps = updates


def paper(config: ConfigDict) -> None:
    """DIV2K's 750 first training images under data.root, as many steps of the environment as the DQN."""
    bsds500(config)
    config.data.train = {
        "div2k": {
            "kind": "folder", "path": "DIV2K_train_HR", "include": "", "weight": 1.0, "exclude": "",
        }
    }  # fmt: skip
    config.data.transform.factors = (2, 3, 4)
    config.data.batch, config.toolbox.block = 1024, 32
    for each in config.optimisers.values():
        each.rate.peak = 3e-4
    config.evaluation.count = 64
    config.train.eval_every = 20
    last(config, 651)


def tiny(config: ConfigDict) -> None:
    """Two photographs and a few updates, for tests."""
    config.data.batch = 4
    config.data.train.photographs.names = ("astronaut", "coffee")
    config.data.test.photographs.names = ("chelsea",)
    config.evaluation.count = config.evaluation.shown = 1
    config.train.log_every, config.train.checkpoint_every, config.train.eval_every = 1, 2, 0
    last(config, 4)


def no_baseline(config: ConfigDict) -> None:
    """Returns as they are: unbiased, and noisy."""
    config.networks.agent.value = False
    config.policy.estimator.baseline = "none"


def batch_mean(config: ConfigDict) -> None:
    """Returns less their mean over the batch at each step."""
    config.networks.agent.value = False
    config.policy.estimator.baseline = "batch"
