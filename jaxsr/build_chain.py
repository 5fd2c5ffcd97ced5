"""From the names of weight files to what chooses and applies tool chains on images of any size."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsr import build_method
from jaxsr.data.levels import tool_names
from jaxsr.inference import chains, tiles
from jaxsr.inference.restorer import Restorer, Run, as_float
from jaxsr.interchange import convert
from jaxsr.interchange.detect import inputs
from jaxsr.models import toolbox
from jaxsr.models.toolchain_agent import SIDE, zero_carry
from jaxsr.sections import rest
from jaxsr.types import Tree, UserError


class Box(NamedTuple):
    """Tools ready to be used, in the order of the actions.

    functions: (parameters of one tool, images) -> images
    weights:   {"tool01": parameters, …}
    families:  «small» or «large» for each
    names:     in words, for tables and pictures
    """

    functions: tuple[Callable[[Tree, jax.Array], jax.Array], ...]
    weights: dict[str, Tree]
    families: tuple[str, ...]
    names: tuple[str, ...]


def box(sources: Sequence[str], *, dtype: Any = jnp.float32) -> Box:
    """The tools of weight files, one behind the other: boxes, and single tools that join them.

    Raises UserError for a file that is missing, damaged or holds no tool.
    """
    families, params, names = [], [], []
    for source in sources:
        variables, card = build_method.weights(source)
        name, section = card["network"]["name"], rest(card["network"], "name", "weights", "parent")
        kinds = {"tool_small": ("small",), "tool_large": ("large",)}
        if name not in ("toolbox", *kinds):
            raise UserError(
                f"{source} holds a {name} and no tool: name a toolbox, as configs/rl_restore_tools.py makes."
            )
        module = build_method.network_module(card["network"], "toolbox", dtype=dtype)
        try:
            convert.check_shapes(module, inputs(type(module), section), variables)
        except UserError as error:
            raise UserError(f"{source}: {error}") from error
        own = module.families if name == "toolbox" else kinds[name]
        families += own
        held = variables["params"]
        params += [held[key] for key in sorted(held)] if name == "toolbox" else [held]
        known = tool_names()
        names += (
            known
            if len(own) == len(known)
            else [f"{Path(source).stem} {n + 1}" for n in range(len(own))]
        )
    keys = toolbox.names(len(families))
    weights = dict(zip(keys, jax.tree.map(jnp.asarray, params), strict=True))
    return Box(toolbox.functions(families, dtype=dtype), weights, tuple(families), tuple(names))


def agent(source: str, *, tools: int) -> tuple[Callable[..., Any], Tree]:
    """An agent of a weight file as (apply, variables).

    apply: (variables, images [t,b,s,s,3], previous [t,b,n], carry) -> ({"logits", …}, carry)
    Raises UserError for a file that is missing or damaged, of another network, or for another number of
    tools.
    """
    variables, card = build_method.weights(source)
    if card["network"]["name"] != "toolchain_agent":
        raise UserError(
            f"{source} holds a {card['network']['name']}, not an agent (toolchain_agent): name the "
            "weights of one."
        )
    module = build_method.network_module(card["network"], "agent", dtype=jnp.float32)
    if module.tools != tools:
        raise UserError(
            f"{source} holds an agent for {module.tools} tools and stop, and the box has {tools}: name the "
            "tools that it was trained with."
        )
    section = rest(card["network"], "name", "weights", "parent")
    try:
        convert.check_shapes(module, inputs(type(module), section), variables)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error

    def apply(variables: Tree, *arrays: Any) -> Any:
        with jax.default_matmul_precision("float32"):  # neighbouring scores are 0.003 apart
            return module.apply(variables, *arrays, train=False)

    return apply, jax.tree.map(jnp.asarray, variables)


def chooser(
    source: str, tools: Sequence[str], *, memory_mib: float = 2000, largest: int = 0
) -> chains.Chooser:
    """An agent with its tools, for images of any size.

    source, tools: weights of the agent, and those of its tools as `box` takes them
    memory_mib, largest: for the windows of a whole image, as `tiles.runner` takes them
    Raises UserError as `box` and `agent`.
    """
    held = box(tools)
    apply, variables = agent(source, tools=len(held.functions))

    @jax.jit
    def decide(images: jax.Array, previous: jax.Array, carry: Tree) -> tuple[jax.Array, Tree]:
        found, carry = apply(variables, images[None], previous[None], carry)
        return found["logits"][0], carry

    weights = list(held.weights.values())
    applied = [jax.jit(_exact(each)) for each in held.functions]

    def bank(images: np.ndarray, actions: np.ndarray) -> np.ndarray:
        out = np.array(images)
        for action in np.unique(actions[actions < len(applied)]):
            rows = np.flatnonzero(actions == action)
            # one size, so that each tool is compiled once
            filled = np.resize(rows, len(images))
            made = applied[action](weights[action], images[filled])
            out[rows] = np.asarray(made)[: len(rows)]
        return out

    runs = [
        tiles.runner(restorer(held, n), memory_mib=memory_mib, largest=largest)
        for n in range(len(held.functions))
    ]
    return chains.Chooser(
        decide, zero_carry, bank, runs, held.names, SIDE, toolbox.REACH
    )  # fmt: skip


def chain_run(
    chooser: chains.Chooser, *, mode: str, steps: int, stride: int, told: Callable[[str], None]
) -> Run:
    """A Run that restores whole images by the chains of an agent.

    mode:   `majority` (one chain for the image) or `regions` (one for each patch, blended)
    steps:  tools of a chain at most; stride: pixels between patches, with `regions`
    told:   receives one sentence for each image: which chains were taken
    """
    stop = len(chooser.names)

    def whole(image: np.ndarray) -> np.ndarray:
        if mode == "majority":
            found = chains.by_majority(chooser, as_float(image), steps=steps)
            used = [f"{s.action + 1} {chooser.names[s.action]}" for s in found if s.action < stop]
            told(f"chain: {', '.join(used) or 'stop at once'}")
            return found[-1].image
        made, actions = chains.by_region(chooser, as_float(image), steps=steps, stride=stride)
        each, counts = np.unique(actions.reshape(-1, steps), axis=0, return_counts=True)
        often = "-".join(str(a + 1) for a in each[counts.argmax()] if a < stop) or "stop"
        told(f"{counts.sum()} regions, {len(each)} chains, most often {often} ({counts.max()})")
        return made

    def run(image: np.ndarray, *, each: Any = None, progress: Any = None) -> np.ndarray:
        del progress  # of windows, which each tool has for itself
        return whole(image) if each is None else each(whole, image)

    return run


def restorer(held: Box, number: int) -> Restorer:
    """One tool of a box, which restores whole images of any size."""
    name, function = f"tool_{held.families[number]}", _exact(held.functions[number])

    def apply(variables: Tree, lq: jax.Array) -> jax.Array:
        return function(variables["params"], lq)

    variables = {"params": list(held.weights.values())[number]}
    return Restorer(name, 1, 3, apply, variables, None, {"network": {"name": name}})


def _exact(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """A tool in float32 in full on every device."""

    def run(params: Tree, images: jax.Array) -> jax.Array:
        with jax.default_matmul_precision("float32"):
            return function(params, images)

    return run
