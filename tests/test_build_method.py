"""From sections of a config to the method: what is wrong is named with the nearest right thing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference.random_trees import random_like, shapes_of
from safetensors.numpy import save_file

from jaxsr import build_method, checkpoint
from jaxsr.interchange.vgg import load_vgg19
from jaxsr.models.vgg import layer_names
from jaxsr.types import UserError

TRUNK = {"name": "prior_net", "widths": [4, 6], "merged": 4, "stop": 1, "classes": 8}


def refused(words, function, *arguments, **options):
    with pytest.raises(UserError, match=words) as caught:
        function(*arguments, **options)
    return str(caught.value)


def test_a_network_section():
    module = build_method.network_module(TRUNK, "networks.gen", dtype=jnp.bfloat16)
    assert module.widths == (4, 6) and module.dtype == jnp.bfloat16
    words = r"config\.networks\.gen\.width is not known \(did you mean 'widths'\?\)"
    for wrong in ({"width": 3}, {"dtype": "float64"}, {"parent_": 3}):
        with pytest.raises(UserError, match="is not known") as caught:
            build_method.network_module(TRUNK | wrong, "networks.gen", dtype=jnp.float32)
        assert next(iter(wrong)) in str(caught.value)
    section = TRUNK | {"width": 3}
    refused(words, build_method.network_module, section, "networks.gen", dtype=jnp.float32)


def trunk(path, card=TRUNK):
    """Writes weights of the small network, and returns them."""
    module = build_method.network_module(TRUNK, "networks.gen", dtype=jnp.float32)
    drawn = random_like(shapes_of(module, jnp.zeros((1, 8, 8, 3))), seed=0)
    checkpoint.save_weights(path, drawn, {"network": card})
    return drawn


def started(section):
    """A network that is built from a section, and its variables at the start."""
    network = build_method.network(section, "networks.gen", dtype=jnp.float32)
    return network, jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))


def test_a_network_starts_from_a_weight_file_and_names_one_that_does_not_fit(tmp_path):
    path = tmp_path / "a.safetensors"
    drawn = trunk(path)
    network, loaded = started(TRUNK | {"weights": str(path)})
    jax.tree.map(np.testing.assert_array_equal, drawn, loaded)
    other = TRUNK | {"widths": [4, 8], "weights": str(path)}
    message = refused("tensors differ, first .*Name weights of the same", started, other)
    assert str(path) in message
    # what the loop calls: batch statistics move in training only
    image = jnp.asarray(np.random.default_rng(0).random((1, 8, 8, 3)), jnp.float32)
    logits, same = network.apply(loaded, image, train=False)
    assert logits.shape == (1, 8, 8, 8)
    jax.tree.map(np.testing.assert_array_equal, same, loaded["batch_stats"])
    _, moved = network.apply(loaded, image, train=True)
    changed = jax.tree.map(lambda a, b: bool((a != b).any()), moved, loaded["batch_stats"])
    assert all(jax.tree.leaves(changed))


def test_weights_and_parent_together_are_refused():
    section = {"name": "sftnet", "variant": "pytorch", "parent": "a", "weights": "b"}
    words = r"config\.networks\.gen has both weights and parent: leave one of them empty"
    refused(words, build_method.network, section, "networks.gen", dtype=jnp.float32)


def test_weights_that_are_not_there(tmp_path):
    message = refused("shipped are", build_method.weights, "pretrained:xyz")
    assert "'pretrained:xyz'" in message
    refused("there is no weight file .*none", build_method.weights, str(tmp_path / "none"))
    refused("holds no checkpoint", build_method.weights, str(tmp_path))


def test_shipped_weights_are_listed_and_the_nearest_is_named(root):
    for path in (root / "jaxsr" / "pretrained").glob("*.safetensors"):
        variables, card = build_method.weights(f"pretrained:{path.stem}")
        assert "params" in variables and card["network"]["name"] in build_method.NETWORKS
        message = refused("did you mean", build_method.weights, f"pretrained:{path.stem}x")
        assert f"did you mean {path.stem!r}?" in message
        assert path.stem in message.split("shipped are")[1]


def vgg(weights="", **layers):
    return build_method.features({"name": "vgg19", "weights": weights, "layers": layers})


def test_vgg19_without_weights_tells_how_to_make_a_file(tmp_path):
    message = refused("config.features.weights is empty", vgg, conv5_4=1.0)
    assert "--config.features.weights=vgg19.safetensors" in message and "\n" not in message
    # the same recipe as where a file is missing: the features alone, without the classifier
    recipe = str(pytest.raises(UserError, load_vgg19, tmp_path / "none").value)
    lines = [line.strip() for line in recipe.splitlines() if line.startswith("  ")]
    assert len(lines) == 3 and all(line in message for line in lines)
    refused("There is no VGG19 weight file .*none", vgg, str(tmp_path / "none"), conv5_4=1.0)


def test_vgg19_features_of_any_layer(tmp_path):
    rng = np.random.default_rng(0)
    shapes = {"conv1_1": (64, 3), "conv1_2": (64, 64), "conv2_1": (128, 64)}
    held = {f"{n}.weight": rng.standard_normal((*s, 3, 3)) * 0.05 for n, s in shapes.items()}
    held |= {f"{n}.bias": np.zeros(s[0]) for n, s in shapes.items()}
    path = tmp_path / "vgg.safetensors"
    save_file({name: array.astype(np.float32) for name, array in held.items()}, path)
    extract, variables, layers = vgg(str(path), pool1=2, conv1_2=0.5)
    assert layers == {"pool1": 2.0, "conv1_2": 0.5}
    assert set(variables["params"]) == {"conv1_1", "conv1_2"}, "no more than is needed"
    found = extract(variables, jnp.ones((1, 8, 8, 3)))
    shapes = {name: value.shape for name, value in found.items()}
    assert shapes == {"pool1": (1, 4, 4, 64), "conv1_2": (1, 8, 8, 64)}
    refused("did you mean 'conv5_4'", vgg, str(path), conv5_5=1.0)
    refused("config.features.layers is empty", vgg, str(path))


def test_deepest_follows_the_order_of_the_network():
    names = layer_names()
    for index, name in enumerate(names):
        assert build_method.deepest(dict.fromkeys((name, *names[:index]), 1.0)) == name
    assert build_method.deepest({"conv5_4": 1.0, "relu1_2": 1.0, "pool4": 1.0}) == "conv5_4"


def test_trunk_features_and_what_is_wrong_with_them(tmp_path):
    path = tmp_path / "a.safetensors"
    trunk(path)
    section = {"name": "prior_net", "weights": str(path), "layers": {"level2": 0.5}}
    extract, variables, layers = build_method.features(section)
    found = extract(variables, jnp.ones((1, 8, 8, 3)))
    assert {name: value.shape for name, value in found.items()} == {"level2": (1, 4, 4, 6)}
    assert layers == {"level2": 0.5}
    wrong = section | {"layers": {"level3": 1.0}}
    refused(r"config\.features\.layers = 'level3'.*level1, level2", build_method.features, wrong)
    refused("'vgg16'.*did you mean 'vgg19'", build_method.features, section | {"name": "vgg16"})
    trunk(path, card={"name": "sftnet"})
    message = refused("holds a sftnet, not the prior_net", build_method.features, section)
    assert str(path) in message


def test_keys_of_losses_are_checked_when_the_method_is_built():
    def losses(extract=None, **section):
        return build_method.losses({"a": {"weight": 2} | section}, extract, {"level1": 1.0})

    weight, fn = losses(name="charbonnier", epsilon=9.0)["a"]
    value = fn(jnp.zeros((1, 2)), {"hq": jnp.full((1, 2), 4.0)}, {})
    np.testing.assert_allclose(value, 5.0)  # sqrt(4² + 9)
    assert weight == 2.0
    refused("epsilo is not known .did you mean 'epsilon'", losses, name="charbonnier", epsilo=1)
    refused(r"config\.losses\.a\.epsilon is not known: remove it", losses, name="l1", epsilon=1)
    refused(r"config\.losses\.a\.margin is not known", losses, print, name="feature_l1", margin=1)
    refused(r"config\.losses\.a compares features: add", losses, name="feature_l1")
    refused(r"config\.losses\.a\.ignore is missing: add it", losses, name="cross_entropy")
    refused(r"losses\.a\.name = 'l3'.*charbonnier.*cross_entropy", losses, name="l3")


def test_feature_loss_weighs_its_layers():
    def extract(variables, image):
        return {"one": image * variables, "two": image * variables * 2}

    section = {"far": {"name": "feature_l1", "weight": 1.0}}
    _, fn = build_method.losses(section, extract, {"one": 1.0, "two": 0.25})["far"]
    batch = {"hq": jnp.ones((1, 2, 2, 3))}
    # mean |3·3 - 3·1| = 6 and twice that
    value = fn(3 * batch["hq"], batch, {"features": 3.0})
    np.testing.assert_allclose(value, 1.0 * 6 + 0.25 * 12)
    gradient = jax.grad(lambda truth: fn(3 * batch["hq"], {"hq": truth}, {"features": 3.0}))
    np.testing.assert_array_equal(gradient(batch["hq"]), 0)


def test_adversarial_sections_are_checked():
    section = {"adversarial": {"name": "vanilla", "weight": 5e-3}}
    assert set(build_method.rules(section)["gen_rules"]) == {"adversarial"}
    both = build_method.rules(section | {"classification": {"weight": 0.1}})
    assert both["gen_rules"]["classification"][0] == 0.1
    assert set(both["disc_rules"]) == {
        "adversarial_disc", "classification_real", "classification_fake"
    }  # fmt: skip
    wrong = {"adversarial": {"name": "vanila", "weight": 1}}
    refused("did you mean 'vanilla'", build_method.rules, wrong)
    wrong = {"adversarial": {"name": "ragan", "weight": 1, "wieght": 1}}
    refused(r"config\.adversarial\.wieght is not known", build_method.rules, wrong)
    wrong = section | {"classification": {}}
    refused(r"config\.classification\.weight is missing", build_method.rules, wrong)


def test_optimiser_section():
    rate = {"name": "constant", "peak": 0.5}
    section = {"name": "adam", "b1": 0.0, "b2": 0.0, "eps": 1e-8, "rate": rate}
    moving = build_method.optimiser(section, "optimisers.gen", parts=1)
    updates, _ = moving.update({"w": jnp.array([3.0])}, moving.init({"w": jnp.zeros(1)}))
    np.testing.assert_allclose(updates["w"], -0.5, rtol=1e-6)  # Adam without memory is the sign
    where = r"config\.optimisers\.gen"

    def wrong(**change):
        return build_method.optimiser(section | change, "optimisers.gen", parts=1)

    refused(where + r"\.rate\.name = 'cosin' \(did you mean", wrong, rate={"name": "cosin"})
    refused(where + r"\.rate\.peak is missing", wrong, rate={"name": "constant"})
    refused(where + r"\.beta is not known", wrong, beta=0.9)
    refused(where + r"\.name = 'adamm' \(did you mean 'adam'", wrong, name="adamm")
    # the group of SFT-Net's is not the config's to say
    refused(where + r"\.in_group is not known", wrong, name="grouped_adam", in_group=1)


def test_algorithm_names_what_it_does_not_know():
    config = {
        "precision": "float32", "accumulate": 1, "ema": 0.0, "algorithm": "supervised",
        "finish": "identity", "inputs": ["lq"], "networks": {"gen": TRUNK},
        "losses": {"pixel": {"name": "l1", "weight": 1.0}},
        "optimisers": {
            "gen": {
                "name": "adam", "b1": 0.9, "b2": 0.9, "eps": 1e-8,
                "rate": {"name": "constant", "peak": 1.0},
            }
        },
        "degradation": {
            "name": "bicubic", "scale": 4, "border": "mirror", "quantise": True, "margin": 8
        },
    }  # fmt: skip
    assert build_method.algorithm(config, None, {}).predict

    def wrong(**change):
        return build_method.algorithm(config | change, None, {})

    refused("config.precision = 'float23'.*did you mean 'float32'", wrong, precision="float23")
    refused("config.algorithm = 'gann'.*did you mean 'gan'", wrong, algorithm="gann")
    refused("config.finish = 'softmx'.*did you mean 'softmax'", wrong, finish="softmx")
    degraded = config["degradation"]
    refused(r"degradation\.name = 'blur'", wrong, degradation=degraded | {"name": "blur"})
    refused(
        r"degradation\.quantize is not known \(did you mean 'quantise'",
        wrong, degradation=degraded | {"quantize": True},
    )  # fmt: skip
