"""scripts/make_maps.py: maps of a folder, by any segmenter, resumed, and what is said of broken images."""

import importlib.util
import json

import jax
import numpy as np
import pytest
from reference.random_trees import random_like, shapes_of

from jaxsr import build_restorer, checkpoint
from jaxsr.data.images import write_png
from jaxsr.data.maps import cut_to_prior
from jaxsr.data.scenes import scenes
from jaxsr.data.sources import load
from jaxsr.inference.prior import prior_maps
from jaxsr.models.outdoor_scene_seg import OutdoorSceneSeg
from jaxsr.models.prior_net import PriorNet

PRIOR_NET = {"classes": 8, "widths": [4, 4, 8], "merged": 4, "stop": 1}
SCENE_SEG = {"features": 2, "blocks": [1, 1, 1, 1], "classes": 8}


@pytest.fixture(scope="module")
def module(root):
    spec = importlib.util.spec_from_file_location("make_maps", root / "scripts" / "make_maps.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """{name: weight file of a small segmenter}."""
    folder, found = tmp_path_factory.mktemp("weights"), {}
    for name, kind, section in (
        ("prior_net", PriorNet, PRIOR_NET),
        ("outdoor_scene_seg", OutdoorSceneSeg, SCENE_SEG),
    ):
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in section.items()}
        variables = random_like(shapes_of(kind(**options), np.zeros((1, 64, 64, 3))), 1)
        path = folder / f"{name}.safetensors"
        found[name] = str(path)
        checkpoint.save_weights(path, variables, {"network": {"name": name, **section}})
    return found


@pytest.fixture
def photos(tmp_path):
    """Two photographs of sizes that are no multiples of 8, in two depths."""
    for seed, name in enumerate(("sky_1", "sub/water_2")):
        image = np.random.default_rng(seed).integers(0, 256, (35 + seed, 50, 3), np.uint8)
        write_png(tmp_path / "img" / f"{name}.png", image)
    return tmp_path / "img"


@pytest.mark.parametrize("name", ["prior_net", "outdoor_scene_seg"])
def test_maps_are_those_of_the_segmenter_and_are_read_by_the_source(
    name, module, weights, photos, tmp_path, capsys
):
    out = tmp_path / "maps"
    assert module.main([str(photos), "--weights", weights[name], "--out", str(out)]) == 0
    assert "2 made; " in capsys.readouterr().out
    maps = prior_maps(*build_restorer.segmenter(weights[name]))
    for sample in load(scenes(photos, maps=out)):
        assert sample["hq"].shape == (32, 48, 3)
        np.testing.assert_array_equal(sample["prior"], maps(cut_to_prior(sample["hq"])))
        assert sample["prior"].std() > 1
    assert json.loads((out / "maps.json").read_text())["type"] == "uint8"


def test_a_released_file_of_the_segmenter_is_taken_as_it_is(module, photos, tmp_path):
    torch = pytest.importorskip("torch")
    from reference.outdoor_torch import OutdoorSceneSeg as Theirs

    torch.manual_seed(0)
    torch.save(Theirs(features=2, blocks=(1, 1, 1, 1)).state_dict(), tmp_path / "seg.pth")
    words = [str(photos), "--weights", str(tmp_path / "seg.pth"), "--out", str(tmp_path / "maps")]
    assert module.main(words) == 0
    for sample in load(scenes(photos, maps=tmp_path / "maps")):
        assert abs(int(sample["prior"].sum(-1, dtype=int).mean()) - 255) <= 1


def test_float16_maps_give_the_same_levels(module, weights, photos, tmp_path):
    for kind in ("uint8", "float16"):
        words = ["--weights", weights["prior_net"], "--out", str(tmp_path / kind), "--type", kind]
        assert module.main([str(photos), *words]) == 0
    assert np.load(tmp_path / "float16" / "sky_1.npy").dtype == np.float16
    whole, half = (load(scenes(photos, maps=tmp_path / kind)) for kind in ("uint8", "float16"))
    for a, b in zip(whole, half, strict=True):
        np.testing.assert_array_equal(a["prior"], b["prior"])


def test_a_command_that_was_stopped_goes_on(module, weights, photos, tmp_path, monkeypatch, capsys):
    out = tmp_path / "maps"
    words = [str(photos), "--weights", weights["prior_net"], "--out", str(out)]
    words += ["--pictures", str(tmp_path / "seen")]
    makes, made = module.make, []

    def stopped(work, *rest, **options):
        if made:
            raise KeyboardInterrupt
        made.append(work)
        return makes(work, *rest, **options)

    monkeypatch.setattr(module, "make", stopped)
    assert module.main(words) == 130 and "goes on" in capsys.readouterr().err
    assert [path.name for path in out.rglob("*.npy")] == ["sky_1.npy"]
    first = (out / "sky_1.npy").stat()
    monkeypatch.setattr(module, "make", makes)
    assert module.main(words) == 0 and "1 made, 1 skipped" in capsys.readouterr().out
    assert (out / "sky_1.npy").stat() == first and (out / "sub" / "water_2.npy").is_file()
    assert (tmp_path / "seen" / "sub" / "water_2.png").is_file()
    assert not [path for path in out.rglob(".*")]


def test_maps_of_other_weights_are_not_mixed(module, weights, photos, tmp_path, capsys):
    out = str(tmp_path / "maps")
    assert module.main([str(photos), "--weights", weights["prior_net"], "--out", out]) == 0
    other = [str(photos), "--weights", weights["outdoor_scene_seg"], "--out", out]
    assert module.main(other) == 2
    assert "prior_net.safetensors as uint8, not of" in capsys.readouterr().err
    assert module.main([*other, "--overwrite"]) == 0
    assert module.main(other) == 0 and "2 skipped" in capsys.readouterr().out


def test_broken_and_tiny_images_are_named_and_the_rest_goes_on(
    module, weights, photos, tmp_path, capsys
):
    (photos / "broken.png").write_bytes((photos / "sky_1.png").read_bytes()[:200])
    write_png(photos / "tiny.png", np.zeros((7, 20, 3), np.uint8))
    words = [str(photos), "--weights", weights["prior_net"], "--out", str(tmp_path / "maps")]
    assert module.main(words) == 1
    said = capsys.readouterr()
    assert "2 made, 2 failed" in said.out
    assert "broken.png is damaged" in said.err and "tiny.png is smaller than 8 pixels" in said.err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"--weights": "pretrained:sftnet_psnr"}, "holds a legacy_srresnet, not a segmenter"),
        ({"--weights": "gone.pth"}, "gone.pth"),
        ({"--pictures": "img/seen"}, "--pictures img/seen is in the folder of the images"),
        ({"FOLDER": "none"}, "there is no folder none"),
    ],
)
def test_mistakes_are_one_sentence(
    change, words, module, weights, photos, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    given = {"FOLDER": "img", "--weights": weights["prior_net"], "--out": "maps"} | change
    assert module.main([given.pop("FOLDER"), *sum(map(list, given.items()), [])]) == 2
    said = capsys.readouterr().err
    assert words in said and said.startswith("make_maps: error: ") and said.count("\n") == 1


def test_weights_that_are_no_whole_segmenter_are_refused(module, photos, tmp_path, capsys):
    variables = random_like(
        shapes_of(PriorNet(widths=(4, 4, 8), merged=4, stop=1), np.zeros((1, 64, 64, 3))), 1
    )
    broken = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), variables)
    for held, section, words in (
        (broken, PRIOR_NET, "holds NaN or infinity"),
        (variables, PRIOR_NET | {"merged": 8}, "the weights do not fit PriorNet"),
        (variables, PRIOR_NET | {"classes": 5}, "it has 5 classes, prior maps have 8"),
    ):
        path = tmp_path / "w.safetensors"
        checkpoint.save_weights(path, held, {"network": {"name": "prior_net", **section}})
        words_given = [str(photos), "--weights", str(path), "--out", str(tmp_path / "maps")]
        assert module.main(words_given) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "maps" / "maps.json").exists()
