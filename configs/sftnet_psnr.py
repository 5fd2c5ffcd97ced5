"""The parent of SFT-GAN: a residual network without batch normalisation, trained for L1, ×4.

    python -m jaxsr.main --config=configs/sftnet_psnr.py          7 minutes on 2 cores, from scratch
    python -m jaxsr.main --config=configs/sftnet_psnr.py:shipped  the run behind `pretrained:sftnet_psnr`
    python -m jaxsr.main --config=configs/sftnet_psnr.py:paper    the published recipe, days on a GPU

`pairs` among the presets (`:pairs` or `:paper,pairs`) takes DIV2K with its own low resolutions:
DIV2K_train_HR and DIV2K_train_LR_bicubic/X4, alike for valid, under data.root. `tfds` takes the same from
tensorflow-datasets, as `tfds build div2k/bicubic_x4 --file_format=array_record` prepares it.

Paper: arXiv:1804.02815; reference XPixelGroup/BasicSR (9fd09d4), train_sr.json, model «SRResNet» without
batch normalisation. Expected: Set5 ×4 (PSNR-Y, pipeline A) about 32.1 dB after the published recipe, 28.42 dB
for bicubic; `shipped` gives 30.76 dB, SSIM 0.8685, after 1.1 hours on two cores. The bare run, from scratch
on ten photographs, only just passes bicubic on the held-out ones: 27.79 against 27.73 dB.

Differences from the published recipe
1. `lq` is made on the device from a crop with a margin, which gives the values of MATLAB's bicubic on the
   whole image except within 8 pixels of its border, where no crop is taken.
2. bare and shipped: a larger rate with warm-up and a cosine end, batch 8, and the initialisation of new
   BasicSR (×0.1 inside the residual blocks only): ×0.1 everywhere spends the first thousand steps on leaving
   zero; an average of the weights (EMA). Rates and lengths are our own choice.
3. paper: the exact rate, length and data of the parent of the PyTorch run are not published with the SFT-GAN
   code (not verified); these are the values of BasicSR's SRResNet of that revision: Adam 2e-4 (0.9, 0.999),
   halved at 200k, 400k, 600k, 800k of 1M iterations, batch 16, HQ 128, DIV2K sub-images.
"""

from ml_collections import ConfigDict

SIZES = ("shipped", "paper", "tiny")
PRESETS = ("", *SIZES, "pairs", "tfds")


def get_config(preset: str = "") -> ConfigDict:
    names = [name for name in preset.split(",") if name]
    for name in names:
        if name not in PRESETS:
            raise ValueError(
                f"there is no preset {name!r}: configs/sftnet_psnr.py has {', '.join(PRESETS[1:])}"
            )
    config = ConfigDict()
    config.name = "sftnet_psnr"
    config.seed = 0
    config.seeds, config.placement = (), "auto"
    config.precision = "float32"
    config.weight_gradient = "xla"
    config.scale = 4
    config.algorithm = "supervised"
    config.inputs = ("lq",)
    config.finish = "identity"
    config.accumulate = 1
    config.ema = 0.99
    config.networks = {
        "gen": {
            "name": "legacy_srresnet",
            "features": 64,
            "blocks": 16,
            "scale": 4,
            "outer_gain": 1.0,
            "weights": "",
        }
    }
    config.losses = {"pixel": {"name": "l1", "weight": 1.0}}
    config.optimisers = {
        "gen": {
            "name": "adam", "b1": 0.9, "b2": 0.999, "eps": 1e-8,
            "rate": {"name": "cosine", "peak": 1e-3, "warmup": 100, "steps": 900, "final": 1e-5},
        }
    }  # fmt: skip
    config.degradation = {
        "name": "bicubic",
        "scale": 4,
        "border": "mirror",
        "quantise": True,
        "margin": 8,
    }
    config.data = {
        "root": "", "batch": 8, "workers": 0, "cache_mib": 2048, "max_broken": 0.01, "mixing": "interleaved",
        "transform": {
            "name": "crop", "size": 96, "margin": 8, "flips": ("horizontal", "vertical", "transpose"),
        },
        "train": {
            "photographs": {
                "kind": "photographs", "weight": 1.0,
                "names": (
                    "astronaut", "coffee", "flower", "motorcycle_left", "retina", "ihc", "hubble_deep_field",
                    "brick", "grass", "gravel",
                ),
            }
        },
        "test": {"photographs": {"kind": "photographs", "names": ("china", "chelsea", "rocket")}},
    }  # fmt: skip
    config.evaluation = {
        "name": "restoration", "protocol": "A: RGB uint8, Y rounded, border 4", "shown": 5, "height": 256,
        "distance": "", "baselines": {"bicubic": "mirror"},
        "pair": {"multiple": 16, "crop": 288, "border": "mirror", "quantise": True},
    }  # fmt: skip
    config.train = {
        "steps": 900, "log_every": 50, "eval_every": 300, "checkpoint_every": 100, "keep": 2,
        "best": "psnr_y", "best_mode": "max", "steps_per_call": 1,
    }  # fmt: skip
    for name, change in (
        ("shipped", shipped), ("paper", paper), ("tiny", tiny), ("pairs", pairs), ("tfds", tfds)
    ):  # fmt: skip
        if name in names:
            change(config)
    return config.lock()


def shipped(config: ConfigDict) -> None:
    """BSDS500 without BSD100 and Set5's «woman», T91, MSRC v2 and DIV2K's LR test images, under data.root."""
    config.data.root = "datasets"
    del config.data.train["photographs"]
    config.data.train.bsds500 = {
        "kind": "folder", "path": "bsds500/images", "include": "", "weight": 0.6,
        "exclude": "bsds500/exclude_from_training.txt",
    }  # fmt: skip
    config.data.train.t91 = {
        "kind": "folder",
        "path": "t91",
        "exclude": "t91_small",
        "include": "",
        "weight": 0.2,
    }
    config.data.train.div2k = {
        "kind": "folder",
        "path": "div2k_test_lr",
        "exclude": "",
        "include": "",
        "weight": 0.2,
    }
    config.data.test = {
        "set5": {"kind": "folder", "path": "sr_benchmarks/Set5/HR", "exclude": "", "include": ""}
    }
    config.evaluation.pair = {"multiple": 4, "crop": 0, "border": "clamp", "quantise": True}
    config.evaluation.baselines.bicubic = "clamp"
    config.optimisers.gen.rate.steps = config.train.steps = 6000
    config.ema = 0.999
    config.train.log_every, config.train.eval_every, config.train.checkpoint_every = 100, 1000, 500


def paper(config: ConfigDict) -> None:
    """BasicSR's values; DIV2K's 800 training images as 480×480 sub-images under data.root."""
    shipped(config)
    config.data.train = {
        "div2k": {
            "kind": "folder",
            "path": "DIV2K_train_HR_sub",
            "exclude": "",
            "include": "",
            "weight": 1.0,
        }
    }
    config.data.batch, config.data.transform.size = 16, 128
    config.networks.gen.outer_gain = 0.1
    config.optimisers.gen.rate = {
        "name": "multistep",
        "peak": 2e-4,
        "milestones": (200_000, 400_000, 600_000, 800_000),
        "factor": 0.5,
    }
    config.ema = 0.0
    config.train.steps = 1_000_000
    config.train.log_every, config.train.eval_every, config.train.checkpoint_every = 200, 5000, 5000


def tiny(config: ConfigDict) -> None:
    """A narrow network and a few steps, for tests."""
    config.networks.gen.features, config.networks.gen.blocks = 8, 1
    config.data.batch, config.data.transform.size = 2, 32
    config.data.train.photographs.names = ("astronaut", "coffee")
    config.data.test.photographs.names = ("chelsea",)
    config.evaluation.pair.crop = 64
    config.train.steps = 4
    config.train.log_every, config.train.eval_every, config.train.checkpoint_every = 2, 2, 2


def pairs(config: ConfigDict) -> None:
    """DIV2K with the low resolutions that come with it, in the place of the degradation on the device."""
    if not config.data.root:
        config.data.root = "datasets"
    folder = {"kind": "pairs", "scale": 4, "include": "", "exclude": ""}
    config.data.train = {
        "div2k": folder | {
            "hq": "DIV2K_train_HR", "lq": "DIV2K_train_LR_bicubic/X4", "weight": 1.0,
        }
    }  # fmt: skip
    config.data.test = {
        "div2k": folder | {"hq": "DIV2K_valid_HR", "lq": "DIV2K_valid_LR_bicubic/X4"}
    }
    config.data.transform = {
        "name": "paired_crop", "size": config.data.transform.size, "scale": 4,
        "flips": ("horizontal", "vertical", "transpose"),
    }  # fmt: skip
    del config.degradation


def tfds(config: ConfigDict) -> None:
    """`pairs` from a prepared set of tensorflow-datasets, in its own folder unless `path` names one."""
    pairs(config)
    shared = {
        "kind": "tfds", "dataset": "div2k/bicubic_x4", "image": "hr", "low": "lr", "scale": 4, "path": "",
    }  # fmt: skip
    config.data.train = {"div2k": shared | {"split": "train", "weight": 1.0}}
    config.data.test = {"div2k": shared | {"split": "validation"}}
