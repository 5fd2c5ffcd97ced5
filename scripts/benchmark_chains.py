"""Speed of RL-Restore's chains and updates: both banks beside a PyTorch loop that groups images by tool.

    python scripts/benchmark_chains.py             12 tools, 32 patches, minutes
    python scripts/benchmark_chains.py --tiny      two tools, 4 patches: does it run

A row plays whole chains of 32 patches of 63 pixels (three steps, drawn with equal chances) or also makes the
A2C update. The PyTorch loop is that of tests/reference; it is called in turns with each bank (A B A B …),
with the same number of threads and random weights of the same sizes. Without torch only the columns of jaxsr
are filled. Writes chains.json and chains.md to the folder --out.
"""

import argparse
import gc
import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from benchmark_report import cores, machine

from jaxsr.algorithms.bank import Bank, compute_all, sorted_blocks
from jaxsr.algorithms.policy import Terms, policy_gradient
from jaxsr.algorithms.toolchain import Agent, Rules, rollout, sampled
from jaxsr.build_method import network
from jaxsr.checkpoint import write_text
from jaxsr.losses import policy
from jaxsr.models import toolbox
from jaxsr.models.toolchain_agent import ToolchainAgent, zero_carry
from jaxsr.state import step_key
from jaxsr.types import Tree, UserError

ROOT = Path(__file__).resolve().parent.parent
RULES = Rules(steps=3, allow_stop=True, min_steps=0, abort_below_input=False)
BLOCKS = {"cpu": (1, 4), "gpu": (16, 32), "tpu": (16, 32)}


def networks(families: tuple[str, ...]) -> tuple[ToolchainAgent, Tree, Tree]:
    """The agent, its parameters, and those of the tools, drawn."""
    random_like = importlib.import_module("reference.random_trees").random_like
    box = toolbox.Toolbox(families=families)
    rows = jnp.zeros((len(families), 24, 24, 3))
    weights = random_like(
        jax.eval_shape(box.init, jax.random.key(0), rows)["params"], seed=1, gain=0.3
    )
    module = ToolchainAgent(tools=len(families), value=True, start="policy")
    inputs = jnp.zeros((1, 1, 63, 63, 3)), jnp.zeros((1, 1, len(families))), zero_carry(1)
    return module, module.init(jax.random.key(0), *inputs)["params"], weights


def calls(
    module: ToolchainAgent, params: Tree, weights: Tree, bank: Bank, lq: Any, hq: Any
) -> dict[str, tuple[Callable[[], Any], int | None]]:
    """{"chains" and "update": (a call that waits, bytes of its program)} of one bank."""
    section = {"name": "toolchain_agent", "tools": module.tools, "value": True, "start": "policy"}
    made = policy_gradient(
        agent=network(section, "agent", dtype=jnp.float32), carry=zero_carry, critic=None, levels=None,
        rules=RULES, bank=bank, tools=module.tools, optimisers={"agent": optax.adam(1e-3)},
        terms=Terms(
            policy.gae(decay=0.95, normalise=False), policy.entropy, policy.weighted_mean,
            lambda step: 0.01, value_weight=0.5, levels_weight=0.0, reward_scale=0.3,
            discount=0.99, all_action=False,
        ),
    )  # fmt: skip
    batch = {"lq": lq, "hq": hq}
    state = made.init(step_key(0, 0), batch)
    state = state.replace(params={"agent": params})
    player = Agent(module.apply, zero_carry)

    def play(key, params, weights, lq, hq):
        return rollout(
            key, player, {"params": params}, sampled, RULES, bank, weights, lq, hq, tools=module.tools
        ).rewards  # fmt: skip

    found = {}
    for name, function, arguments in (
        ("chains", play, (step_key(0, 0), params, weights, lq, hq)),
        ("update", made.step, (step_key(0, 0), state, batch, {"tools": weights})),
    ):
        program = jax.jit(function).lower(*arguments).compile()
        used = program.memory_analysis()
        total = (
            used
            and used.argument_size_in_bytes + used.output_size_in_bytes + used.temp_size_in_bytes
        )
        found[name] = (lambda p=program, a=arguments: jax.block_until_ready(p(*a)), total)
    return found


def torch_calls(
    other: ModuleType | None, params: Tree, weights: Tree, lq: np.ndarray, hq: np.ndarray
) -> dict[str, Callable[[], Any]]:
    """The same in PyTorch; empty without it. On the CPU."""
    if other is None:
        return {}
    torch = other.torch
    held, tools = other.held(params), [other.held(weights[name]) for name in sorted(weights)]
    leaves = [leaf.requires_grad_() for layer in held.values() for leaf in layer.values()]
    optimiser = torch.optim.Adam(leaves, lr=1e-3)
    first, truth = (torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1))) for x in (lq, hq))

    def chains() -> np.ndarray:
        return other.play(held, tools, first, steps=RULES.steps, seed=0)

    def update() -> None:
        actions = chains()
        images = other.follow(tools, first, actions)
        loss = other.a2c_loss(
            held, images, truth, actions, decay=0.95, discount=0.99, scale=0.3, value_weight=0.5,
            bonus=0.01,
        )  # fmt: skip
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return {"chains": chains, "update": update}


def rows(
    families: tuple[str, ...], count: int, repeats: int, other: ModuleType | None
) -> list[dict]:
    """Seconds of each bank and of PyTorch, medians over calls in turns."""
    module, params, weights = networks(families)
    rng = np.random.default_rng(0)
    lq, hq = rng.random((2, count, 63, 63, 3), np.float32)
    functions = toolbox.functions(families)
    blocks = BLOCKS.get(jax.default_backend(), BLOCKS["gpu"])
    banks = {f"blocks of {m}": sorted_blocks(functions, block=m) for m in blocks}
    banks["all tools"] = compute_all(functions)
    theirs, found = torch_calls(other, params, weights, lq, hq), []
    for label, bank in banks.items():
        print(f"{label} …", flush=True)
        mine = calls(module, params, weights, bank, jnp.asarray(lq), jnp.asarray(hq))
        for name, (run, memory) in mine.items():
            sides = {"jaxsr": run} | ({"torch": theirs[name]} if theirs else {})
            times: dict[str, list[float]] = {side: [] for side in sides}
            gc.collect()
            for number in range(repeats + 1):  # the first call warms up
                for side, timed in sides.items():
                    began = time.perf_counter()
                    timed()
                    if number:
                        times[side].append(time.perf_counter() - began)
            steady = {side: statistics.median(each) for side, each in times.items()}
            found.append(
                {
                    "what": name,
                    "bank": label,
                    "patches": count,
                    "tools": len(families),
                    "jaxsr_seconds": steady["jaxsr"],
                    "torch_seconds": steady.get("torch"),
                    "jaxsr_per_second": (count if name == "chains" else 1) / steady["jaxsr"],
                    "ratio": steady["jaxsr"] / steady["torch"] if "torch" in steady else None,
                    "jaxsr_mib": memory and memory / 2**20,
                }  # fmt: skip
            )
    return found


def markdown(report: dict[str, Any]) -> str:
    """The rows as a table, with the machine above."""
    lines = [f"{name}: {value}  " for name, value in report["machine"].items()]
    lines += ["", "| | bank | jaxsr s | per second | PyTorch s | jaxsr/PyTorch | MiB |"]
    lines.append("|---|---|---:|---:|---:|---:|---:|")
    for row in report["rows"]:
        unit = "chains" if row["what"] == "chains" else "updates"
        theirs = "" if row["ratio"] is None else f"{row['torch_seconds']:.3f}"
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        memory = "" if row["jaxsr_mib"] is None else f"{row['jaxsr_mib']:.0f}"
        lines.append(
            f"| {row['what']} | {row['bank']} | {row['jaxsr_seconds']:.3f} | "
            f"{row['jaxsr_per_second']:.2f} {unit} | {theirs} | {ratio} | {memory} |"
        )
    first = report["rows"][0]
    note = (
        f"{first['patches']} patches of 63 pixels, {first['tools']} tools, chains of at most three steps "
        "with actions drawn anew in each build. PyTorch groups the images of a batch by tool on the host "
        "and calls the agent on all steps so far, its LSTM from the start. MiB: arguments, results and "
        "temporary arrays of the compiled program."
    )
    return "\n".join([*lines, "", note, ""])


def main() -> None:
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    jax.config.update("jax_enable_compilation_cache", False)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiny", action="store_true", help="two tools, 4 patches")
    parser.add_argument("--out", type=Path, default=Path("benchmarks"), help="folder to write to")
    given = parser.parse_args()
    families, count, repeats = (toolbox.PUBLISHED, 32, 5)
    if given.tiny:
        families, count, repeats = ("small", "large"), 4, 1
    other, device = None, ""
    try:
        other, device = importlib.import_module("reference.toolchain_torch"), "cpu"
        other.torch.set_num_threads(cores())
    except ImportError as error:
        print(f"PyTorch is not compared: {error}.", flush=True)
    try:
        report = {"machine": machine(other, device), "rows": rows(families, count, repeats, other)}
        given.out.mkdir(parents=True, exist_ok=True)
        write_text(given.out / "chains.json", json.dumps(report, indent=1) + "\n")
        write_text(given.out / "chains.md", markdown(report))
    except (UserError, OSError) as error:
        sys.exit(f"benchmark_chains: error: {error}")
    print(markdown(report))


if __name__ == "__main__":
    main()
