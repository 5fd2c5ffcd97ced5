"""The semantic prior: PriorNet, a small segmenter of the eight outdoor classes, on degraded photographs.

    python -m jaxsr.main --config=configs/segmenter.py --config.data.root=FOLDER

takes about 15 minutes on 2 cores; `:paper` has the published length. FOLDER holds `msrc_v2/images` and
`msrc_v2/labels` (591 photographs, 23 classes mapped to 8). The weights of the bare run are
`pretrained:segmenter`: pixel accuracy 0.714, mean IoU 0.471 on 120 held-out photographs, where the most
frequent class alone has 0.293.

Differences from the published segmenter (OutdoorSceneSeg of xinntao/SFTGAN, 52 M parameters)
1. A network of our own with 1.4 M parameters, trained from scratch: no ImageNet, COCO or ADE data here.
2. One image in four is not degraded: the trunk also serves as the features of a perceptual loss, which sees
   sharp images. The prior and the scores below are of degraded images only.
3. paper: SGD is replaced by Adam at 1e-3; batch and length follow the published 30,000 iterations
   (its batch is not published; not verified).
"""

from ml_collections import ConfigDict

PRESETS = ("", "paper", "tiny")


def get_config(preset: str = "") -> ConfigDict:
    if preset not in PRESETS:
        raise ValueError(
            f"there is no preset {preset!r}: configs/segmenter.py has {', '.join(PRESETS[1:])}"
        )
    config = ConfigDict()
    config.name = "segmenter"
    config.seed = 0
    config.seeds, config.placement = (), "auto"
    config.precision = "float32"
    config.weight_gradient = "xla"
    config.scale = 4
    config.algorithm = "supervised"
    config.inputs = ("lq",)
    config.finish = "softmax"
    config.accumulate = 1
    config.ema = 0.995
    config.networks = {
        "gen": {
            "name": "prior_net", "classes": 8, "widths": (24, 48, 96, 128, 160), "merged": 64, "stop": 2,
            "weights": "",
        }
    }  # fmt: skip
    config.losses = {"segmentation": {"name": "cross_entropy", "ignore": 255, "weight": 1.0}}
    config.optimisers = {
        "gen": {
            "name": "adam", "b1": 0.9, "b2": 0.999, "eps": 1e-8,
            "rate": {"name": "cosine", "peak": 2e-3, "warmup": 50, "steps": 1500, "final": 1e-5},
        }
    }  # fmt: skip
    config.data = {
        "root": "datasets", "batch": 8, "workers": 0, "cache_mib": 2048, "max_broken": 0.01,
        "mixing": "interleaved",
        "transform": {"name": "segmentation_crop", "size": 160, "scale": 4, "degrade_share": 0.75},
        "train": {
            "msrc_v2": {
                "kind": "labelled", "images": "msrc_v2/images", "labels": "msrc_v2/labels",
                "include": "", "exclude": "msrc_v2_test", "class_table": "msrc_v2", "weight": 1.0,
            }
        },
        "test": {
            "msrc_v2": {
                "kind": "labelled", "images": "msrc_v2/images", "labels": "msrc_v2/labels",
                "include": "msrc_v2_test", "exclude": "", "class_table": "msrc_v2",
            }
        },
    }  # fmt: skip
    config.evaluation = {
        "name": "segmentation",
        "shown": 6,
        "height": 213,
        "pair": {"multiple": 16, "scale": 4},
    }
    config.train = {
        "steps": 1500, "log_every": 50, "eval_every": 500, "checkpoint_every": 250, "keep": 2,
        "best": "", "best_mode": "max", "steps_per_call": 1,
    }  # fmt: skip
    if preset == "paper":
        config.data.batch, config.data.transform.size = 16, 208
        config.optimisers.gen.rate.steps = config.train.steps = 30_000
        config.optimisers.gen.rate.peak = 1e-3
        config.train.eval_every = config.train.checkpoint_every = 2000
    elif preset == "tiny":
        config.networks.gen.widths, config.networks.gen.merged = (4, 4, 8, 8), 4
        config.data.batch, config.data.transform.size = 2, 64
        config.train.steps, config.train.log_every = 2, 1
        config.train.eval_every = config.train.checkpoint_every = 2
    return config.lock()
