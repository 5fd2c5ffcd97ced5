"""What deep priors observe: pictures, codes, operators, guides, and pixels that are held out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxsr import build_observed
from jaxsr.types import UserError


def test_pictures_are_files_or_photographs_in_colour_or_grey(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    name, image = build_observed.picture(str(tmp_path / "one.png"), channels=3)
    assert name == "one"
    np.testing.assert_array_equal(image, pixels)
    _, grey = build_observed.picture(str(tmp_path / "one.png"), channels=1)
    wanted = np.asarray(Image.fromarray(pixels).convert("L"))
    assert grey.shape == (5, 7, 1) and np.abs(grey[..., 0].astype(int) - wanted).max() <= 1
    assert build_observed.picture("photograph:chelsea", channels=3)[1].shape == (300, 451, 3)
    with pytest.raises(UserError, match="channels is 2"):
        build_observed.picture("photograph:chelsea", channels=2)


def test_codes_and_their_sizes():
    grid = build_observed.grid_code(factor=1)(None, {"lq": jnp.zeros((1, 3, 5, 3))})
    assert grid.shape == (1, 3, 5, 2)
    np.testing.assert_allclose(grid[0, 0, :, 0], [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(grid[0, :, 4, 1], [0, 0.5, 1])
    draw = build_observed.noise_code(factor=4, channels=4, scale=0.1)
    noise = draw(jax.random.key(0), {"lq": jnp.zeros((1, 2, 2, 3))})
    assert noise.shape == (1, 8, 8, 4) and 0 <= float(noise.min()) < 0.01
    assert 0.09 < float(noise.max()) < 0.1


def section(**changes):
    return {
        "name": "composed", "sigma": 0.0, "missing": 0.0, "given": False, "mask": "", "draw": 0,
        "operators": (),
    } | changes  # fmt: skip


def whole(task, image, **changes):
    """A config's sections that say what is observed of some image files."""
    return {
        "task": task, "image": image, "channels": 3, "crop": {"size": 0, "multiple": 4, "border": 0},
        "watches": {}, "code": {"name": "noise"},
    } | changes  # fmt: skip


def saved(path, seed, size=(16, 24)):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def test_operators_are_applied_one_after_the_other():
    steps = (
        {"name": "blur", "sigma": 1.0},
        {"name": "lanczos", "factor": 2},
        {"name": "lanczos", "factor": 2},
    )
    operator, factor = build_observed.operator_of(section(operators=steps))
    image = jax.random.uniform(jax.random.key(0), (1, 16, 24, 3))
    wanted = build_observed.blur(image, sigma=1.0)
    wanted = build_observed.lanczos(build_observed.lanczos(wanted, factor=2), factor=2)
    assert factor == 4
    np.testing.assert_array_equal(operator(image), wanted)
    same, one = build_observed.operator_of(section())
    assert one == 1 and same(image) is image


def test_a_chain_is_observed_with_its_noise_and_its_holes(tmp_path):
    pixels = saved(tmp_path / "one.png", 0)
    task = section(operators=({"name": "lanczos", "factor": 2},), missing=0.5)
    operator, _ = build_observed.operator_of(task)
    seen = build_observed.observed(whole(task, str(tmp_path / "one.png")), operator)["one"]
    assert seen["lq"].shape == (8, 12, 3) and seen["mask"].shape == (8, 12, 1)
    assert 0.3 < seen["mask"].mean() < 0.7
    clean = np.asarray(operator(jnp.asarray(pixels[None] / np.float32(255))))[0].clip(0, 1)
    np.testing.assert_allclose(seen["lq"], clean * seen["mask"], atol=1e-6)
    np.testing.assert_array_equal(seen["hq"], pixels / np.float32(255))
    given = build_observed.observed(
        whole(section(given=True), str(tmp_path / "one.png")), operator
    )["one"]
    assert given.keys() == {"lq"} and given["lq"].shape == (16, 24, 3)


def test_pixels_that_are_held_out_are_no_part_of_the_mask(tmp_path):
    saved(tmp_path / "one.png", 0)
    watches = {"held_out": {"share": 0.25, "rate": 0.1}}
    task = section(missing=0.5)
    operator, _ = build_observed.operator_of(task)
    both = [
        build_observed.observed(whole(task, str(tmp_path / "one.png"), watches=w), operator)["one"]
        for w in ({}, watches)
    ]
    assert both[1]["held"].sum() > 0
    np.testing.assert_array_equal(both[1]["mask"] + both[1]["held"], both[0]["mask"])
    with pytest.raises(UserError, match="held_out.share is 1.5"):
        watches["held_out"]["share"] = 1.5
        build_observed.observed(whole(task, str(tmp_path / "one.png"), watches=watches), operator)


def test_each_image_is_spoilt_as_if_it_were_alone(tmp_path):
    names = [str(tmp_path / f"{number}.png") for number in range(2)]
    for number, name in enumerate(names):
        saved(name, number)
    task, watches = section(sigma=25.0, missing=0.5), {"held_out": {"share": 0.25, "rate": 0.1}}
    alone = build_observed.observed(whole(task, names[1], watches=watches), lambda x: x)["1"]
    both = build_observed.observed(whole(task, ",".join(names), watches=watches), lambda x: x)
    assert list(both) == ["0", "1"] and alone.keys() == {"lq", "hq", "mask", "held"}
    for key, value in alone.items():
        np.testing.assert_array_equal(both["1"][key], value)
    with pytest.raises(UserError, match="two images '1'"):
        build_observed.observed(whole(task, f"{names[1]},{names[1]}"), lambda x: x)


def test_masks_are_as_large_as_the_whole_image_and_cut_with_it(tmp_path):
    """One for all images or one each; the sizes that the sentence names are those of the files."""
    saved(tmp_path / "one.png", 0)
    saved(tmp_path / "two.png", 1)
    levels = np.full((16, 24), 255, np.uint8)
    levels[5, 10] = 0
    Image.fromarray(levels).save(tmp_path / "mask.png")
    Image.fromarray(levels.T).save(tmp_path / "turned.png")

    def masked(image, mask):
        task = {"name": "inpaint", "mask": mask, "text": ""}
        crop = {"size": 8, "multiple": 4, "border": 0}
        return build_observed.observed(whole(task, image, crop=crop), lambda x: x)

    both = ",".join(str(tmp_path / f"{name}.png") for name in ("one", "two"))
    mask = str(tmp_path / "mask.png")
    for given in (mask, f"{mask},{mask}"):
        found = masked(both, given)
        for each in found.values():
            assert each["mask"].shape == (8, 8, 1) and each["mask"].sum() == 63
            assert each["mask"][1, 2] == 0
    with pytest.raises(UserError, match="turned.png is 16×24 pixels, and one 24×16: make them"):
        masked(str(tmp_path / "one.png"), str(tmp_path / "turned.png"))
    with pytest.raises(UserError, match="mask names 3 masks for 2 of config.image"):
        masked(both, f"{mask},{mask},{mask}")


def test_the_crop_of_a_small_image_is_that_of_the_large_one(tmp_path):
    saved(tmp_path / "small.png", 0, size=(10, 11))
    task = {"name": "super_resolution", "factor": 4, "given": True}
    for most, multiple, size in ((0, 16, (8, 8)), (0, 2, (10, 11)), (16, 16, (4, 4))):
        crop = {"size": most, "multiple": multiple, "border": 0}
        config = whole(task, str(tmp_path / "small.png"), crop=crop)
        assert build_observed.observed(config, lambda x: x)["small"]["lq"].shape == (*size, 3)


def test_the_upper_left_corner_is_observed_and_the_code_is_larger():
    operator, factor = build_observed.operator_of(
        section(operators=({"name": "corner", "size": 3},))
    )
    image = jax.random.uniform(jax.random.key(0), (1, 5, 5, 3))
    np.testing.assert_array_equal(operator(image), image[:, :3, :3])
    draw = build_observed.noise_code(factor=factor, channels=2, scale=0.1, more=2)
    assert draw(jax.random.key(0), {"lq": jnp.zeros((1, 3, 3, 3))}).shape == (1, 5, 5, 2)


def test_a_baseline_is_shown_where_it_means_something():
    seen = {"lq": np.zeros((4, 4, 3), np.float32), "mask": np.zeros((4, 4, 1), np.float32)}
    assert list(build_observed.baselines(seen, 1)) == ["observed"]
    assert not build_observed.baselines(seen, 2)
    (large,) = build_observed.baselines({"lq": seen["lq"]}, 2).values()
    assert large.shape == (8, 8, 3)


def test_the_four_targets_of_impedance(tmp_path):
    pixels = saved(tmp_path / "one.png", 0)
    task = {"name": "impedance", "sigma": 25.0, "draw": 0}
    found = build_observed.observed(whole(task, str(tmp_path / "one.png")), lambda x: x)
    assert list(found) == ["one_image", "one_noisy", "one_shuffled", "one_noise"]
    image = found["one_image"]["lq"]
    np.testing.assert_array_equal(image, pixels / np.float32(255))
    assert 0.08 < (found["one_noisy"]["lq"] - image).std() < 0.12
    shuffled = found["one_shuffled"]["lq"]
    assert not np.array_equal(shuffled, image)
    order = [np.lexsort(each.reshape(-1, 3).T) for each in (shuffled, image)]
    np.testing.assert_array_equal(shuffled.reshape(-1, 3)[order[0]], image.reshape(-1, 3)[order[1]])


def test_a_guide_is_a_picture_of_the_same_size(tmp_path):
    saved(tmp_path / "one.png", 0)
    flash = saved(tmp_path / "flash.png", 1)
    saved(tmp_path / "small.png", 2, size=(8, 8))
    task = {"name": "denoise", "sigma": 0.0, "draw": 0}

    def guided(image, grey=False):
        code = {"name": "guide", "image": image, "grey": grey}
        return build_observed.observed(
            whole(task, str(tmp_path / "one.png"), code=code), lambda x: x
        )

    seen = guided(str(tmp_path / "flash.png"))["one"]
    np.testing.assert_array_equal(seen["guide"], flash / np.float32(255))
    luma = guided(str(tmp_path / "flash.png"), grey=True)["one"]["guide"]
    np.testing.assert_array_equal(luma[..., 0], luma[..., 2])
    z = build_observed.guide_code(factor=1, image="", grey=False)(
        None, {"guide": jnp.ones((1, 2, 2, 3))}
    )
    assert z.shape == (1, 2, 2, 3)
    with pytest.raises(UserError, match="guides one is 8×8 pixels, and one 24×16"):
        guided(str(tmp_path / "small.png"))
    with pytest.raises(UserError, match="names 2 pictures for 1"):
        guided("a.png,b.png")
