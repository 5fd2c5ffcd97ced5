"""Deep Video Prior takes the flicker out of a clip that a program has processed frame by frame.

    python -m jaxsr.main --config=configs/dvp.py                 a toy, see below
    python -m jaxsr.main --config=configs/dvp.py:irt             a program that jumps between two solutions
    python -m jaxsr.main --config=configs/dvp.py:paper \
        --config.clip.input=frames --config.clip.processed=coloured --config.flow.weights=spynet.npz \
        --config.features.weights=vgg19.safetensors

Paper: arXiv:2010.11838; code: ChenyangLEI/deep-video-prior cb8920a. One network learns to turn the frames of
one clip into the processed ones; it learns what they share before it learns their flicker. A clip is a folder
of frames, sorted by name, or a video file (`pip install jaxsr[video]`). config.clip: `start` and `frames`
choose one shot (one network for each shot), `shrink` makes frames smaller. Without config.clip.processed the
frames get `config.flicker`; an input photograph:NAME is a toy, `config.slide` moves a window over it.

The number of epochs is what stops the fit: too many bring the flicker back. Every `eval_every` epochs all
frames are written to evaluation/step_<n>/, with the flicker, the fidelity to the processed frames, and the
warping error where the motion is known, from which to choose. All of config.train is counted in epochs.

Presets, joined by commas: paper; irt (two images compete for every pixel); features (a perceptual loss in the
features of the segmenter that is shipped); port (the network of the official PyTorch port); tiny.

Obtained: bare, flicker 0.0442 → 0.0093 to 0.0096 (of the input 0.0187), warping error 0.0708 → 0.012 to
0.013, fidelity 24.3 to 24.7 dB, under a minute on one CPU core (numbers of threads round differently); irt,
flicker 0.0752 → 0.0092, warping error 0.1325 → 0.0117, 2 minutes. The published demo «Bedroom», its first 30
frames at a quarter of their size, bare network, 25 epochs, 2 minutes: flicker 0.0270 → 0.0172 (of the input
0.0188), fidelity 27.2 dB (of the input 14.9), and by the flow of a released SPyNet warping error 0.0318 →
0.0226 (of the input 0.0218). irt parts the two tints of its toy: each output is 0.02 from its own and 0.12
from the other. `minor` has that of the first frame here, against the intention of the published
beginning, which guarantees nothing: look at both.

Differences from the published recipe
1. bare: a quarter of the width, a rate of 1e-3, 50 epochs at full size, pixels only.
2. Frames are cut to multiples of 16 (32 with `coarse`) while learning, as published to 32, but the results
   have the whole size: the border is repeated, and cut off again. Levels are rounded, not cut off
   (config.evaluation.truncate).
3. Clips of unequal length are refused, where the reference drops the longer one's end.
4. paper: VGG19 is torchvision's, with max-pool and features as they are (the PyTorch port); the reference has
   MatConvNet's, average-pool, features divided by 255. The L1 of pixels is in [0, 1] as in the reference; the
   port takes it of normalised images, about 4.4 times as large, beside the same features. Without
   config.features.weights the L1 of pixels is left, and that is said.
5. irt: competes as main_IRT.py and the port do; the newer script never does.
"""

from ml_collections import ConfigDict

PRESETS = ("", "paper", "irt", "features", "port", "tiny")


def get_config(preset: str = "") -> ConfigDict:
    names = [name for name in preset.split(",") if name]
    for name in names:
        if name not in PRESETS:
            raise ValueError(
                f"there is no preset {name!r}: configs/dvp.py has {', '.join(PRESETS[1:])}"
            )
    config = ConfigDict()
    config.name = "dvp"
    config.seed = 0
    config.seeds, config.placement = (), "auto"
    config.precision = "float32"
    config.weight_gradient = "xla"
    config.algorithm = "video_prior"
    config.clip = {
        "input": "photograph:coffee", "processed": "", "start": 0, "frames": 0, "shrink": 1,
    }  # fmt: skip
    config.slide = {"frames": 12, "size": 96, "pace": 2}
    config.flicker = {"name": "gain", "mean": 0.8, "deviation": 0.12, "draw": 0}
    config.flow = {"weights": ""}
    config.schedule = {"coarse": False, "first": 0}
    config.losses = {"pixel": {"name": "l1", "weight": 1.0}}
    config.networks = {
        "gen": {
            "name": "video_unet", "outputs": 3, "features": 8, "port": False, "enlarge": "legacy",
        }
    }  # fmt: skip
    config.optimisers = {
        "gen": {
            "name": "adam", "b1": 0.9, "b2": 0.999, "eps": 1e-8, "clip": 0.0,
            "rate": {"name": "constant", "peak": 1e-3},
        }
    }  # fmt: skip
    config.evaluation = {"name": "temporal", "truncate": False, "shown": 4, "height": 160}
    config.train = {
        "epochs": 50, "log_every": 5, "eval_every": 25, "checkpoint_every": 25, "keep": 1, "best": "",
        "best_mode": "min", "steps_per_call": 1,
    }  # fmt: skip
    for change in (paper, irt, features, port, tiny):
        if change.__name__ in names:
            change(config)
    return config.lock()


def paper(config: ConfigDict) -> None:
    """The published settings, perceptual loss included."""
    config.networks.gen.features = 32
    config.optimisers.gen.rate.peak = 1e-4
    config.schedule.coarse = True
    config.losses.features = {"name": "feature_l1", "weight": 1.0}
    config.features = {
        "name": "vgg19", "weights": "",
        "layers": {
            "relu1_2": 1 / 2.6, "relu2_2": 1 / 4.8, "relu3_2": 1 / 3.7, "relu4_2": 1 / 5.6,
            "relu5_2": 10 / 1.5,
        },
    }  # fmt: skip
    config.train.epochs, config.train.log_every = 25, 1
    config.train.eval_every = config.train.checkpoint_every = 5


def irt(config: ConfigDict) -> None:
    """Two outputs; pixels only, as published. The toy's frames have one tint or another."""
    bare = config.optimisers.gen.rate.peak > 1e-4
    config.networks.gen.outputs = 6
    config.losses = {"modes": {"name": "competing", "weight": 1.0, "minor": 0.9}}
    if "features" in config:
        del config.features
    config.flicker = {
        "name": "tints", "first": (1.0, 0.6, 0.6), "second": (0.6, 0.6, 1.0), "draw": 0,
    }  # fmt: skip
    config.schedule.first = 40 if bare else 5
    config.train.epochs = 100 if bare else 50
    if bare:
        config.optimisers.gen.rate.peak = 3e-4


def features(config: ConfigDict) -> None:
    """The perceptual loss in the features at hand."""
    config.losses = {
        "pixel": {"name": "l1", "weight": 1.0},
        "features": {"name": "feature_l1", "weight": 1.0},
    }
    config.features = {
        "name": "prior_net", "weights": "pretrained:segmenter",
        "layers": {"level1": 0.1, "level2": 0.1, "level3": 0.1},
    }  # fmt: skip


def port(config: ConfigDict) -> None:
    """yzxing87/pytorch-deep-video-prior: ReLU, fewer biases, corners aligned."""
    config.networks.gen.port, config.networks.gen.enlarge = True, "align_corners"


def tiny(config: ConfigDict) -> None:
    """A few steps on a few pixels, for tests."""
    config.networks.gen.features = 2
    config.slide = {"frames": 3, "size": 32, "pace": 2}
    config.schedule.first = min(config.schedule.first, 1)
    config.train.epochs, config.train.log_every = 4, 1
    config.train.eval_every, config.train.checkpoint_every = 0, 2
