"""From the state of the reference's Deep Image Prior networks to ours, and its fixtures beside ours."""

import jax
import jax.numpy as jnp
import numpy as np


def compare(network, held, tree):
    """Output, loss and gradients of a network are those of a fixture; tree: (state) -> our parameters.

    Gives the parameters. Tolerances: float32 sums over 10 to 40 layers in another order.
    """
    x, y, out = (jnp.asarray(np.moveaxis(held[key], 1, -1)) for key in ("x", "y", "out"))
    params, slopes = (
        tree({k[2:]: held[k] for k in held.files if k.startswith(kind)}) for kind in ("P/", "G/")
    )

    def loss(params):
        made = network.apply({"params": params}, x)
        return jnp.square(made - y).mean(), made

    (value, made), found = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    np.testing.assert_allclose(made, out, atol=2e-5)
    np.testing.assert_allclose(value, held["loss"], atol=1e-6)
    normalised = type(network).__name__ == "SkipNet"
    for (where, ours), theirs in zip(
        jax.tree_util.tree_leaves_with_path(found), jax.tree.leaves(slopes), strict=True
    ):
        keys = [each.key for each in where]
        if normalised and keys[-1] == "bias" and keys[-2].startswith("conv"):
            # normalisation takes the bias away again: the true gradient is 0
            assert float(jnp.abs(ours).max()) < 1e-6, keys
            continue
        np.testing.assert_allclose(
            ours, theirs, atol=1e-5 + 1e-3 * np.abs(theirs).max(), err_msg=str(keys)
        )
    return params


def conv(held, name):
    """A convolution: [O,I,h,w] -> [h,w,I,O], and its bias where it has one."""
    made = {"kernel": jnp.asarray(held[f"{name}.weight"].transpose(2, 3, 1, 0))}
    return made | ({"bias": jnp.asarray(held[f"{name}.bias"])} if f"{name}.bias" in held else {})


def norm(held, name):
    return {
        "scale": jnp.asarray(held[f"{name}.weight"]),
        "bias": jnp.asarray(held[f"{name}.bias"]),
    }


def skip_tree(held, network):
    """The tree of a SkipNet; specs/deep_image_prior.md section 9."""
    j, before, tree = (1 if network.pad == "reflection" else 0), "", {}
    for number, width in enumerate(network.skip, start=1):
        deep = before + ("1.1." if width else "1.")
        if width:
            tree[f"skip{number}"] = {
                "conv1": conv(held, f"{before}1.0.1.{j}"), "norm1": norm(held, f"{before}1.0.2"),
            }  # fmt: skip
        tree[f"down{number}"] = {
            "conv1": conv(held, f"{deep}1.{j}"), "norm1": norm(held, f"{deep}2"),
            "conv2": conv(held, f"{deep}4.{j}"), "norm2": norm(held, f"{deep}5"),
        }  # fmt: skip
        tree[f"up{number}"] = {
            "join": norm(held, f"{before}2"),
            "conv1": conv(held, f"{before}3.{j}"), "norm1": norm(held, f"{before}4"),
        }  # fmt: skip
        if network.mix:
            tree[f"up{number}"] |= {
                "conv2": conv(held, f"{before}6.{j}"), "norm2": norm(held, f"{before}7"),
            }  # fmt: skip
        before = deep + "7."
    return tree | {"output": conv(held, f"{9 if network.mix else 6}.{j}")}


def resnet_tree(held, blocks):
    """The tree of a PriorResNet."""
    tree = {"head": conv(held, "model.0.1")}
    for number in range(1, blocks + 1):
        at = f"model.{number + 1}"
        for index, place in ((1, 0), (2, 3)):
            tree[f"block{number}_conv{index}"] = conv(held, f"{at}.{place}")
            tree[f"block{number}_norm{index}"] = norm(held, f"{at}.{place + 1}")
    last = blocks + 2
    tree |= {"tail": conv(held, f"model.{last}"), "tail_norm": norm(held, f"model.{last + 1}")}
    return tree | {"output": conv(held, f"model.{last + 2}.1")}


def unet_tree(held, scales):
    """The tree of a PriorUNet with one deeper scale, transposed convolutions and plain normalisation."""
    names = {"start": "start"} | {f"down{n}": f"down{n}.conv" for n in range(1, scales)}
    names |= {f"down{scales}": "more_downs.0.conv", f"up{scales}": "more_ups.0.conv"}
    names |= {f"up{n}": f"up{n}.conv" for n in range(1, scales)}
    tree = {
        f"{ours}_conv{n}": conv(held, f"{theirs}.conv{n}.0.0")
        for ours, theirs in names.items()
        for n in (1, 2)
    }
    ups = {f"up{scales}": "more_ups.0.up"} | {f"up{n}": f"up{n}.up" for n in range(1, scales)}
    for ours, theirs in ups.items():
        kernel = held[f"{theirs}.weight"][:, :, ::-1, ::-1].transpose(2, 3, 0, 1)
        tree[f"{ours}_enlarge"] = {
            "kernel": jnp.asarray(np.ascontiguousarray(kernel)), "bias": jnp.asarray(held[f"{theirs}.bias"]),
        }  # fmt: skip
    return tree | {"output": conv(held, "final.0.0")}
