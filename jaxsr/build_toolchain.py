"""The methods that choose chains of tools: what they need of a config, and how they are evaluated."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import optax

from jaxsr import build_chain, evaluate_chains, memory
from jaxsr.algorithms.bank import Bank, compute_all, sorted_blocks
from jaxsr.algorithms.dqn import Settings, dqn
from jaxsr.algorithms.joint import joint
from jaxsr.algorithms.policy import Terms, policy_gradient
from jaxsr.algorithms.toolchain import Rules
from jaxsr.build_method import DTYPES, SCHEDULES, network, optimiser
from jaxsr.data.distorted_sets import evaluation_set
from jaxsr.losses import policy
from jaxsr.models.toolchain_agent import check_size, zero_carry
from jaxsr.sections import call, pick, rest
from jaxsr.types import Algorithm, Network, Tree, UserError

REQUIRED = ("data", "environment", "toolbox")
OPTIONAL = ("agent", "policy", "replay")
ESTIMATORS = {"gae": policy.gae, "reinforce": policy.reinforce}
HALF = 2  # bytes of a stored number of an image


def method(config: Mapping[str, Any]) -> tuple[Algorithm, Tree, Callable[..., Any]]:
    """The algorithm, its frozen weights, and the function from held-out samples to the evaluation."""
    kinds = {"dqn": q_learning, "joint": joint_training, "policy_gradient": policy_method}
    rules = call(Rules, config["environment"], "environment")
    if rules.steps < 1 or not 0 <= rules.min_steps <= rules.steps:
        raise UserError(
            f"config.environment has {rules.steps} steps, {rules.min_steps} of them before a stop: take at "
            "least one step, and no more before a stop than there are."
        )
    held = build_chain.box(config["toolbox"]["sources"])
    made, frozen = kinds[config["algorithm"]](config, rules, held)

    def evaluating(held_out: Sequence[dict[str, Any]]) -> Callable[..., Any]:
        section = config["evaluation"]
        pick({"toolchain": None}, section["name"], "evaluation.name")
        return call(
            toolchain, rest(section, "name"), "evaluation", held_out=held_out, names=held.names
        )

    return made, frozen, evaluating


def toolchain(
    *, held_out: Sequence[dict[str, Any]], names: Sequence[str], severities: Sequence[str], count: int,
    shown: int, height: int,
) -> Callable[..., Any]:  # fmt: skip
    """The evaluation of greedy chains on `count` fixed patches of each severity."""
    sets = {name: evaluation_set(name, held_out, count=count) for name in severities}
    return evaluate_chains.toolchain(sets=sets, tools=names, shown=shown, height=height)


def bank(
    functions: Sequence[Callable[..., jax.Array]], *, bank: str, block: int, remat: bool
) -> Bank:
    """The bank of a section `toolbox`; see `jaxsr.algorithms.bank`."""
    kinds = {
        "all": lambda: compute_all(functions),
        "blocks": lambda: sorted_blocks(functions, block=block, remat=remat),
    }
    return pick(kinds, bank, "toolbox.bank")()


def agent_section(config: Mapping[str, Any], tools: int) -> Mapping[str, Any]:
    """The network section of an agent that is trained, for as many tools as the box has."""
    section = config["networks"]["agent"]
    pick({"toolchain_agent": None}, section["name"], "networks.agent.name")
    if section["tools"] != tools:
        raise UserError(
            f"config.networks.agent.tools is {section['tools']}, and the tools of config.toolbox.sources "
            f"are {tools}: an agent has an action for each of them, so set it to {tools}."
        )
    size = config["data"]["transform"]["size"]
    check_size(size, size, pool=section["pool"])
    return section


def environment(config: Mapping[str, Any], rules: Rules, held: build_chain.Box) -> dict[str, Any]:
    """What all three algorithms are told of the environment."""
    made = call(bank, rest(config["toolbox"], "sources"), "toolbox", functions=held.functions)
    return {"carry": zero_carry, "rules": rules, "bank": made, "tools": len(held.functions)}


def policy_method(
    config: Mapping[str, Any], rules: Rules, held: build_chain.Box
) -> tuple[Algorithm, Tree]:
    """REINFORCE and A2C."""
    section = config["policy"]
    player = agent_section(config, len(held.functions))
    if section["all_action"] and (not player["value"] or config["toolbox"]["bank"] != "all"):
        raise UserError(
            "config.policy.all_action needs the agent's own value and all results of the tools: set "
            "config.networks.agent.value and config.toolbox.bank=all."
        )
    nets, movers = trained(config, ("agent", "critic", "levels"))
    made = call(
        terms, rest(section, "estimator", "bonus"), "policy",
        estimate=call(
            pick(ESTIMATORS, section["estimator"]["name"], "policy.estimator.name"),
            rest(section["estimator"], "name"), "policy.estimator",
        ),
        bonus=call(
            pick(SCHEDULES, section["bonus"]["name"], "policy.bonus.name"),
            rest(section["bonus"], "name"), "policy.bonus",
        ),
    )  # fmt: skip
    algorithm = policy_gradient(
        agent=nets["agent"], critic=nets.get("critic"), levels=nets.get("levels"), terms=made,
        optimisers=movers,
        **environment(config, rules, held),
    )  # fmt: skip
    return algorithm, {"tools": held.weights}


def trained(
    config: Mapping[str, Any], names: Sequence[str]
) -> tuple[dict[str, Network], dict[str, optax.GradientTransformation]]:
    """The networks of a config, each one of `names`, and their optimisers."""
    dtype, nets, movers = pick(DTYPES, config["precision"], "precision"), {}, {}
    for name, section in config["networks"].items():
        pick(dict.fromkeys(names), name, "networks")
        pick(config["optimisers"], name, "optimisers")
        nets[name] = network(section, f"networks.{name}", dtype=dtype)
        movers[name] = optimiser(config["optimisers"][name], f"optimisers.{name}")
    return nets, movers


def terms(
    *, estimate: Any, bonus: Any, value_weight: float, levels_weight: float, reward_scale: float,
    discount: float, all_action: bool,
) -> Terms:  # fmt: skip
    """The section `policy` with the formulas of `jaxsr.losses.policy`."""
    return Terms(
        estimate, policy.entropy, policy.weighted_mean, bonus, value_weight, levels_weight, reward_scale,
        discount, all_action,
    )  # fmt: skip


def q_learning(
    config: Mapping[str, Any], rules: Rules, held: build_chain.Box
) -> tuple[Algorithm, Tree]:
    """The paper's DQN."""
    settings = call(Settings, config["replay"], "replay")
    if not settings.sample <= settings.warm <= settings.episodes:
        raise UserError(
            f"config.replay holds {settings.episodes} episodes, is warm with {settings.warm} and draws "
            f"{settings.sample}: let each be at most the one before."
        )
    size = config["data"]["transform"]["size"]
    check_memory(settings.episodes, rules.steps, size, memory.total())
    agent_section(config, len(held.functions))
    nets, movers = trained(config, ("agent", "levels"))
    algorithm = dqn(
        agent=nets["agent"], levels=nets.get("levels"), settings=settings, optimisers=movers,
        **environment(config, rules, held),
    )  # fmt: skip
    return algorithm, {"tools": held.weights}


def check_memory(episodes: int, steps: int, size: int, room: int) -> None:
    """Raises UserError where a replay would not fit: it and a copy while it is saved or made.

    episodes of `steps` images of size² pixels, 3 channels; room: bytes of the device
    """
    each = steps * size * size * 3 * HALF
    if 2 * episodes * each > room:
        raise UserError(
            f"a replay of {episodes} episodes takes {episodes * each / 2**30:.1f} GiB, and of the "
            f"{room / 2**30:.1f} GiB of memory here half can be used: lower config.replay.episodes to "
            f"{room // (2 * each)} or less."
        )


def joint_training(
    config: Mapping[str, Any], rules: Rules, held: build_chain.Box
) -> tuple[Algorithm, Tree]:
    """The paper's joint training: the tools move, the agent stays."""
    if config["agent"].get("source") == "":
        raise UserError(
            "config.agent.source is empty: name the agent whose chains the tools are to learn in, for "
            "example --config.agent.source=runs/rl_restore_a2c."
        )
    apply, variables = call(build_chain.agent, config["agent"], "agent", tools=len(held.functions))
    section = config["networks"]["toolbox"]
    pick({"toolbox": None}, section["name"], "networks.toolbox.name")
    if tuple(section["families"]) != held.families:
        raise UserError(
            f"config.networks.toolbox.families is {', '.join(section['families'])}, and the tools of "
            f"config.toolbox.sources are {', '.join(held.families)}: name those."
        )
    algorithm = joint(
        weights=held.weights, agent=apply,
        optimiser=optimiser(config["optimisers"]["toolbox"], "optimisers.toolbox"),
        **environment(config, rules, held),
    )  # fmt: skip
    return algorithm, {"agent": variables}
