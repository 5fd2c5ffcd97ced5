"""Deep Video Prior's step: who wins a pixel, where gradients go, the schedule, and the toy of its sheet."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toys import affine

from jaxsr.algorithms import video_prior as prior
from jaxsr.data import clips
from jaxsr.data.sources import fetch, load, photographs
from jaxsr.losses import pixel
from jaxsr.losses.perceptual import compared, feature_l1
from jaxsr.models.video_unet import VideoUNet
from jaxsr.state import step_key
from jaxsr.types import Network


def frames(seed=0, shape=(1, 4, 5, 3)):
    keys = jax.random.split(jax.random.key(seed), 4)
    names = ("frame", "processed", "main", "minor")
    return {name: jax.random.uniform(key, shape) for name, key in zip(names, keys, strict=True)}


def both(drawn):
    return jnp.concatenate([drawn["main"], drawn["minor"]], -1)


def test_confidence_is_of_the_channel_that_is_furthest_relative_to_the_input():
    """One pixel by hand: main is off by 0.2 in a dark channel, minor by 0.3 in a bright one."""
    frame = jnp.array([0.1, 0.1, 0.9]).reshape(1, 1, 1, 3)
    held = {"frame": frame, "processed": jnp.full((1, 1, 1, 3), 0.5)}
    main = held["processed"] + jnp.array([0.2, 0.0, 0.0])
    minor = held["processed"] - jnp.array([0.0, 0.0, 0.3])
    # 0.2 / 0.2 against 0.3 / 1.0: the minor wins, though it is further off
    assert float(prior.confidence(main, minor, held).item()) == 0
    assert float(prior.confidence(minor, main, held).item()) == 1


def test_exchanging_the_images_exchanges_the_winners_and_ties_go_to_the_minor():
    drawn = frames()
    one = prior.confidence(drawn["main"], drawn["minor"], drawn)
    other = prior.confidence(drawn["minor"], drawn["main"], drawn)
    assert one.shape == (1, 4, 5, 1) and 0 < float(one.mean()) < 1
    np.testing.assert_array_equal(one + other, np.ones_like(one))
    assert not prior.confidence(drawn["main"], drawn["main"], drawn).any()


def test_competing_loss_by_its_definition_and_zero_where_the_main_image_is_right():
    drawn = frames()
    term = prior.competing(until=0, minor=0.9)
    share = np.asarray(prior.confidence(drawn["main"], drawn["minor"], drawn))
    gaps = [
        np.abs(np.asarray(drawn[k]) - np.asarray(drawn["processed"])) for k in ("main", "minor")
    ]
    wanted = (gaps[0] * share).sum() / 60 + (gaps[1] * (1 - share)).sum() / 60
    assert float(term(both(drawn), drawn, 0, {})) == pytest.approx(wanted, rel=1e-5)
    right = both(drawn | {"main": drawn["processed"]})
    assert float(term(right, drawn, 0, {})) == 0
    assert prior.two_modes(right, drawn)["confidence"].all()


def test_only_the_winner_of_a_pixel_gets_a_gradient():
    drawn = frames()
    term = prior.competing(until=0, minor=0.9)
    grads = np.asarray(jax.grad(lambda x: term(x, drawn, 0, {}))(both(drawn)))
    won = np.asarray(prior.confidence(drawn["main"], drawn["minor"], drawn))[..., 0] == 1
    assert (grads[won][:, :3] != 0).all() and (grads[won][:, 3:] == 0).all()
    assert (grads[~won][:, :3] == 0).all() and (grads[~won][:, 3:] != 0).all()


def test_at_first_both_images_learn_the_minor_one_less():
    drawn = frames()
    drawn["minor"] = drawn["main"]
    term = prior.competing(until=3, minor=0.9)
    grad = jax.grad(lambda x, step: term(x, drawn, step, {}))
    first = np.asarray(grad(both(drawn), 2))
    assert (first[..., :3] != 0).all()
    np.testing.assert_allclose(first[..., 3:], 0.9 * first[..., :3], rtol=1e-6)
    later = np.asarray(grad(both(drawn), 3))  # a tie everywhere: the minor image has all
    assert not later[..., :3].any() and later[..., 3:].any()


@pytest.mark.parametrize("epochs, half", [(25, 19), (50, 39), (1, 0)])
def test_epochs_at_half_size(epochs, half):
    assert prior.half_epochs(epochs) == half


def test_features_are_compared_and_only_the_output_learns():
    drawn = frames()
    weights = {"features": jax.random.normal(jax.random.key(5), (3, 4))}
    extract = lambda held, x: {"a": x @ held, "b": x[:, ::2] @ held}  # noqa: E731
    term = prior.resembling(compared(feature_l1, extract, {"a": 0.5, "b": 2.0}))
    gap = np.abs(np.asarray((drawn["main"] - drawn["processed"]) @ weights["features"]))
    wanted = 0.5 * gap.mean() + 2 * gap[:, ::2].mean()
    assert float(term(drawn["main"], drawn, 0, weights)) == pytest.approx(wanted, rel=1e-5)
    assert float(term(drawn["processed"], drawn, 0, weights)) == 0
    of_target = jax.grad(lambda p: term(drawn["main"], drawn | {"processed": p}, 0, weights))
    assert not of_target(drawn["processed"]).any()
    assert jax.grad(lambda x: term(x, drawn, 0, weights))(drawn["main"]).all()


def fit(gen, **options):
    given = {
        "gen": gen, "terms": {"pixel": (1.0, prior.comparing(pixel.l1))}, "finish": prior.single,
        "multiple": 1, "optimiser": optax.adam(3e-3),
    }  # fmt: skip
    return prior.video_prior(**given | options)


def test_a_step_sees_bytes_as_floats_and_says_how_well_it_fits():
    rng = np.random.default_rng(0)
    batch = {k: rng.integers(0, 256, (1, 4, 5, 3), np.uint8) for k in ("frame", "processed")}
    made = fit(affine(6), terms={"modes": (2.0, prior.competing(until=0, minor=0.9))},
               finish=prior.two_modes)  # fmt: skip
    state = made.init(step_key(0, 0), batch)
    after, metrics = jax.jit(made.step)(step_key(0, 0), state, batch, {})
    assert int(after.step) == 1
    floats = {k: v / np.float32(255) for k, v in batch.items()}
    output = floats["frame"] @ np.asarray(state.params["gen"]["w"])
    error = np.square(output[..., :3] - floats["processed"]).mean()
    assert float(metrics["fit"]) == pytest.approx(-10 * np.log10(error), rel=1e-4)
    wanted = prior.competing(until=0, minor=0.9)(jnp.asarray(output), floats, 0, {})
    assert float(metrics["loss"]) == pytest.approx(2 * float(wanted), rel=1e-4)
    share = prior.confidence(output[..., :3], output[..., 3:], floats).mean()
    assert float(metrics["main"]) == pytest.approx(float(share))


def test_predict_repeats_the_border_where_the_network_wants_more():
    seen = []

    def apply(variables, x, *, train):
        seen.append(x)
        return x, {}

    made = fit(Network(lambda key, x: {"params": {"w": jnp.zeros(1)}}, apply), multiple=4)
    batch = {k: np.full((1, 6, 9, 3), 51, np.uint8) for k in ("frame", "processed")}
    batch["frame"][:, -1] = 102
    state = made.init(step_key(0, 0), batch)
    image = made.predict(step_key(0, 0), state, batch, {})["image"]
    np.testing.assert_allclose(image, batch["frame"] / np.float32(255))
    assert seen[-1].shape == (1, 8, 12, 3)
    np.testing.assert_allclose(seen[-1][0, :, -1, 0], [0.2] * 5 + [0.4] * 3, rtol=1e-6)


def network():
    module = VideoUNet(features=4)
    return Network(lambda key, x: module.init(key, x), lambda v, x, train: (module.apply(v, x), {}))


@functools.cache
def toy(size, count):
    picture = fetch(load(photographs(names=("astronaut",)), report=lambda text: None)[0])["hq"]
    return clips.slide(picture, frames=count, size=size, pace=2)


def fitted(made, given, processed, epochs):
    """The images of all frames after so many epochs."""
    batches = [
        {"frame": a[None], "processed": b[None]}
        for a, b in zip(given.frames, processed.frames, strict=True)
    ]
    state = jax.jit(made.init)(step_key(0, 0), batches[0])
    step, predict = jax.jit(made.step, donate_argnums=1), jax.jit(made.predict)
    for number in range(epochs * len(batches)):
        state, _ = step(step_key(0, number), state, batches[number % len(batches)], {})
    return [jax.device_get(predict(step_key(0, 0), state, batch, {})) for batch in batches]


def gains(images, given):
    """The factor of each frame that fits best: Σ O·I / Σ I²."""
    floats = given.frames.astype(np.float64) / 255
    return np.array([(o * i).sum() / (i * i).sum() for o, i in zip(images, floats, strict=True)])


def test_the_unimodal_toy_loses_its_flicker():
    """Sheet 8.1, shrunk: the gain of the outputs varies less than a tenth of that of the processed."""
    given = toy(32, 6)
    processed = clips.gain(np.random.default_rng(1), given, mean=0.8, deviation=0.15)
    before = gains(processed.frames / 255, given)
    images = [m["image"][0] for m in fitted(fit(network()), given, processed, 20)]
    after = gains(images, given)
    assert before.std() > 0.07
    assert after.std() < 0.1 * before.std()
    assert abs(after.mean() - before.mean()) < 0.15
