"""Bad input gives one clear sentence and a non-zero exit status, and loses nothing."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from test_train import experiment

from jaxsr import train
from jaxsr.types import UserError


def command(root, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "jaxsr.main", *arguments], cwd=root, capture_output=True, text=True,
        timeout=300, env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--config=configs/sftnet.py:tiny", "--config.train.stepz=3"],
         "--config.train.stepz names no key of the config (did you mean 'steps'?)."),
        (["--config=configs/segmenter.py:papr"],
         "there is no preset 'papr': configs/segmenter.py has paper, tiny"),
        (["--config=configs/nope.py"],
         "--config=configs/nope.py: there is no such config file; name one of configs/, "
         "as --config=configs/sftnet.py."),
        (["--config=configs/sftnet.py", "--config.train.steps=many"],
         "flag --config.train.steps=many: invalid literal for int() with base 10: 'many'"),
        ([], "no config: name one, for example --config=configs/sftnet.py."),
        (["--config=configs/sftnet.py", "--wrkdir=x"],
         "Unknown command line flag 'wrkdir'. Did you mean: workdir ?"),
        (["--config=configs/sftnet.py", "workdir=x"],
         "'workdir=x' is not a flag: options are written --name=value."),
    ],
)  # fmt: skip
def test_flag_mistakes(root, arguments, sentence):
    done = command(root, *arguments)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1] == f"jaxsr: error: {sentence}"
    assert "Traceback" not in done.stderr


def test_mode_evaluate_without_a_checkpoint(root, tmp_path):
    done = command(
        root,
        "--config=configs/sftnet_psnr.py:tiny",
        f"--workdir={tmp_path / 'new'}",
        "--mode=evaluate",
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert f"{tmp_path / 'new'} holds no checkpoint" in done.stderr


def test_a_reader_that_goes_away_ends_the_run_without_a_traceback(root, tmp_path):
    read, write = os.pipe()
    os.close(read)
    flags = ["--config=configs/dip_denoise.py:tiny", f"--workdir={tmp_path / 'run'}"]
    done = subprocess.run(
        [sys.executable, "-m", "jaxsr.main", *flags], cwd=root, stdout=write, stderr=subprocess.PIPE,
        text=True, timeout=300,
    )  # fmt: skip
    os.close(write)
    assert done.returncode == 141 and "Traceback" not in done.stderr


def folder_config(path, **data):
    def change(config):
        config.data.root = ""
        config.data.train = {
            "mine": {
                "kind": "folder",
                "path": str(path),
                "include": "",
                "exclude": "",
                "weight": 1.0,
            }
        }
        for key, value in data.items():
            config.data[key] = value

    return change


def photographs(folder, count=3, size=(80, 100)):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        image = rng.integers(0, 255, (*size, 3), np.uint8)
        Image.fromarray(image).save(folder / f"{index}.png")
    return folder


def test_empty_and_missing_folders_are_named(root, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty"):
        experiment(root, change=folder_config(tmp_path / "empty"))
    with pytest.raises(UserError, match="nowhere"):
        experiment(root, change=folder_config(tmp_path / "nowhere"))


def test_image_smaller_than_the_crop_is_named(root, tmp_path):
    folder = photographs(tmp_path / "small", size=(40, 100))
    with pytest.raises(UserError, match=r"0\.png.*100x40"):
        experiment(root, change=folder_config(folder))


def test_truncated_files_are_skipped_up_to_a_share(root, tmp_path, capsys):
    folder = photographs(tmp_path / "some", count=9)
    whole = (folder / "0.png").read_bytes()
    (folder / "broken.png").write_bytes(whole[: len(whole) // 2])
    experiment(root, change=folder_config(folder, max_broken=0.2))
    assert capsys.readouterr().out.count("broken.png") == 1
    with pytest.raises(UserError, match=r"1 of 10 images cannot be read \(broken\)"):
        experiment(root, change=folder_config(folder, max_broken=0.05))


def test_a_photograph_on_both_sides_is_a_leak(root, tmp_path):
    def change(config):
        config.data.train.photographs.names = ("astronaut", "chelsea")

    with pytest.raises(UserError, match="chelsea"):
        experiment(root, change=change)


def prior_config(root, folder, maps):
    def change(config):
        config.data.root = str(folder.parent)
        config.data.train = {
            "mine": {
                "kind": "scenes", "path": folder.name, "maps": maps, "categories": "", "weight": 1.0,
            }
        }  # fmt: skip

    return experiment(root, preset="configs/sftnet.py", change=change)


def test_prior_maps_from_files_and_their_mistakes(root, tmp_path):
    folder, maps = photographs(tmp_path / "images", size=(80, 96)), tmp_path / "maps"
    maps.mkdir()
    for index in range(3):
        np.save(maps / f"{index}.npy", np.full((80, 96, 8), 0.125, np.float16))
    batches = train.batches(prior_config(root, folder, "maps"), 0)
    np.testing.assert_allclose(next(batches)["seg"].sum(-1), 1, atol=1e-6)
    batches.close()
    np.save(maps / "1.npy", np.full((80, 92, 8), 0.125, np.float16))
    with pytest.raises(UserError, match=r"1\.npy is 80×92, its image 80×96"):
        prior_config(root, folder, "maps")
    np.save(maps / "1.npy", np.full((80, 96, 7), 0.125, np.float16))
    with pytest.raises(UserError, match=r"1\.npy has the shape \(80, 96, 7\)"):
        prior_config(root, folder, "maps")
    (maps / "1.npy").unlink()
    with pytest.raises(UserError, match=r"no prior map .*1\.npy"):
        prior_config(root, folder, "maps")


def test_images_smaller_than_the_crop_are_enlarged_for_sft_gan(root, tmp_path):
    """As in the reference: H' = max(96, ...)."""
    folder, maps = photographs(tmp_path / "images", size=(16, 40)), tmp_path / "maps"
    maps.mkdir()
    for index in range(3):
        np.save(maps / f"{index}.npy", np.full((16, 40, 8), 0.125, np.float16))
    batches = train.batches(prior_config(root, folder, "maps"), 0)
    batch = next(batches)
    batches.close()
    assert batch["hq"].shape == (2, 32, 32, 3) and batch["lq"].shape == (2, 8, 8, 3)


def test_stored_maps_and_a_segmenter_at_once_are_refused(root, tmp_path):
    folder, maps = photographs(tmp_path / "sky", count=1), tmp_path / "maps"
    maps.mkdir()
    np.save(maps / "0.npy", np.full((80, 100, 8), 0.125, np.float16))
    section = {
        "kind": "scenes", "path": str(folder), "maps": str(maps), "categories": "", "weight": 1.0,
        "prior": "prior_net",
    }  # fmt: skip

    def change(config):
        config.data.train = {"mine": section}

    with pytest.raises(UserError, match="data.train.mine has stored maps and prior = 'prior_net'"):
        experiment(root, preset="configs/sftnet.py", change=change)


def test_unknown_names_and_keys_in_a_section_are_named(root):
    with pytest.raises(UserError, match=r"config\.networks\.gen\.widht is not known.*features"):
        experiment(root, change=lambda c: c.networks.gen.update({"widht": 3}))
    with pytest.raises(UserError, match=r"config\.losses\.pixel\.name = 'l3'.*charbonnier"):
        experiment(root, change=lambda c: c.losses.pixel.update({"name": "l3"}))
    with pytest.raises(UserError, match=r"config\.train\.pace is not known"):
        experiment(root, change=lambda c: c.train.update({"pace": 3}))


def test_vgg19_without_its_file_tells_how_to_make_one(root):
    def change(config):
        config.features = {"name": "vgg19", "weights": "", "layers": {"conv5_4": 1.0}}

    with pytest.raises(UserError, match=r"torchvision.*config\.features\.weights="):
        experiment(root, preset="configs/sftnet.py", change=change)
