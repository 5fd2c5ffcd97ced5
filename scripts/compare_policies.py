"""Compares agents that choose tool chains with random, constant, greedy-oracle and best chains.

    python scripts/compare_policies.py --tools pretrained:rl_restore_tools \\
        --agents A2C=runs/a2c_0,runs/a2c_1,runs/a2c_2 DQN=runs/dqn_0,runs/dqn_1 --out comparison

The runs of a name are its seeds: mean ± deviation over them. Patches are the fixed sets of the three
held-out photographs. Writes policies.csv (every run and severity), policies.md (the table), regions.png (one
chain for a picture that is spoilt in two ways, and one for each region), curves.png (gain while training, of
runs), tools.png (what is used at which step) and chains.png (filmstrips). The scores of all chains are kept
in chains_<hash>.npz, since they take minutes.
"""

import argparse
import csv
import hashlib
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsr import build_chain, checkpoint, evaluate_chains, logs, policy_plots
from jaxsr.algorithms.bank import sorted_blocks
from jaxsr.algorithms.toolchain import Agent, Rules, greedy, psnr, rollout, shown
from jaxsr.data.distorted_sets import HELD_OUT, Pairs, evaluation_set, fingerprint
from jaxsr.data.distortions import degrade
from jaxsr.data.images import write_png
from jaxsr.data.levels import SEVERITIES, Levels
from jaxsr.data.sources import fetch, load, photographs
from jaxsr.disk import in_one_move
from jaxsr.inference import all_chains
from jaxsr.models.toolchain_agent import zero_carry
from jaxsr.protocols import to_uint8
from jaxsr.sheets import Cell, sheet
from jaxsr.terminal import ended, whole
from jaxsr.types import UserError

STEPS = 3


class Found(NamedTuple):
    """One agent on one set: actions [t,n], gain dB [n], and what a picture needs."""

    actions: np.ndarray
    gain: np.ndarray
    shown: Mapping[str, np.ndarray]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--tools", required=True, nargs="+", help="weights, as config.toolbox.sources"
    )
    made.add_argument(
        "--agents", nargs="*", default=[], metavar="NAME=RUN,…", help="runs or weights"
    )
    made.add_argument("--severities", nargs="+", default=list(SEVERITIES), choices=list(SEVERITIES))
    made.add_argument("--count", type=whole(1), default=24, help="patches of each: %(default)s")
    made.add_argument("--shown", type=whole(0), default=2, help="filmstrips of each: %(default)s")
    made.add_argument("--out", required=True, type=Path, help="folder to write into")
    return made


def named_agents(texts: Sequence[str]) -> dict[str, list[str]]:
    """{name: sources} of «NAME=RUN,RUN»; UserError for another form."""
    found = {}
    for text in texts:
        name, sign, sources = text.partition("=")
        if not (name and sign and all(sources.split(","))):
            raise UserError(f"--agents {text!r} must be a name and its runs: NAME=RUN,RUN.")
        found[name] = sources.split(",")
    return found


def all_scores(held: build_chain.Box, pairs: Pairs, folder: Path) -> np.ndarray:
    """The table of all chains, from the folder where it is there already."""
    digest = hashlib.sha256(fingerprint(pairs).encode())
    for leaf in jax.tree.leaves(held.weights):
        digest.update(np.asarray(leaf).tobytes())
    path = folder / f"chains_{digest.hexdigest()[:12]}.npz"
    if path.exists():
        with np.load(path) as kept:
            return kept["psnr"]
    began, last = time.monotonic(), [time.monotonic()]

    def report(done: int, total: int) -> None:
        if time.monotonic() - last[0] > 15:
            last[0] = time.monotonic()
            each = (last[0] - began) / done
            logs.say(logs.progress(done, total, each, {}))

    table = all_chains.score_all(
        held.functions, held.weights, evaluate_chains.unit(pairs.lq),
        evaluate_chains.unit(pairs.hq), steps=STEPS, score=psnr, report=report,
    )  # fmt: skip
    with in_one_move(path) as part, part.open("wb") as out:
        np.savez_compressed(out, psnr=table)
    return table


def play(held: build_chain.Box, source: str, sets: Mapping[str, Pairs]) -> dict[str, Found]:
    """The greedy chains of one agent on every set."""
    tools = len(held.functions)
    apply, variables = build_chain.agent(source, tools=tools)
    rules = Rules(steps=STEPS, allow_stop=True, min_steps=0, abort_below_input=False)
    bank = sorted_blocks(held.functions, block=1)

    @jax.jit
    def run(variables, weights, lq, hq):
        chains = rollout(
            jax.random.key(0), Agent(apply, zero_carry), variables, greedy, rules, bank, weights, lq, hq,
            tools=tools,
        )  # fmt: skip
        return shown(chains), chains.psnr[-1] - chains.psnr[0]

    found = {}
    for severity, pairs in sets.items():
        lq, hq = (jnp.asarray(evaluate_chains.unit(x)) for x in (pairs.lq, pairs.hq))
        seen, gain = jax.device_get(run(variables, held.weights, lq, hq))
        found[severity] = Found(seen["actions"], gain, seen)
    return found


def curve(source: str) -> dict[str, list[float]]:
    """Steps and gains of the evaluations of a run; empty for a weight file."""
    steps, gain = logs.read(Path(source)).get("evaluation/gain", ([], []))
    return {"steps": steps, "gain": gain}


def compare(options: argparse.Namespace) -> None:
    agents = named_agents(options.agents)
    held = build_chain.box(options.tools)
    options.out.mkdir(parents=True, exist_ok=True)
    photos = load(photographs(names=HELD_OUT), report=logs.say)
    sets = {name: evaluation_set(name, photos, count=options.count) for name in options.severities}
    played = {}
    for name, sources in agents.items():
        played[name] = [play(held, source, sets) for source in sources]
        logs.say(f"{name}: {len(sources)} runs played")
    tables = {}
    for name, pairs in sets.items():
        logs.say(f"{name}: all chains of {len(pairs.names)} patches")
        tables[name] = all_scores(held, pairs, options.out)
    rows = policy_plots.rows(
        tables,
        {n: [{s: f.gain for s, f in run.items()} for run in runs] for n, runs in played.items()},
    )
    with in_one_move(options.out / "policies.csv") as part, part.open("w", newline="") as out:
        writer = csv.DictWriter(out, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    hashes = ", ".join(f"{name} {fingerprint(pairs)[:12]}" for name, pairs in sets.items())
    text = (
        policy_plots.table(rows, list(sets)) + f"\nSets: {hashes}; {options.count} patches each.\n"
    )
    checkpoint.write_text(options.out / "policies.md", text)
    print(text)
    curves = {name: [curve(source) for source in sources] for name, sources in agents.items()}
    lines = {row["policy"]: row["gain"] for row in policy_plots.overall(rows) if not row["runs"]}
    pictures = {"curves.png": policy_plots.curves(curves, lines)}
    if played:
        uses = {
            name: {s: np.concatenate([run[s].actions for run in runs], 1) for s in sets}
            for name, runs in played.items()
        }
        pictures["tools.png"] = policy_plots.histograms(uses, held.names)
        pictures["chains.png"] = strips(played, sets, held.names, options.shown)
        source = next(iter(agents.values()))[0]
        pictures["regions.png"] = regions(source, options.tools, photos[0])
    for name, picture in pictures.items():
        write_png(options.out / name, picture)
        print(options.out / name)


def strips(played, sets: Mapping[str, Pairs], names: Sequence[str], count: int) -> np.ndarray:
    """Filmstrips of the first run of each name on the first patches of each set."""
    lines = []
    for severity, pairs in sets.items():
        for patch in range(min(count, len(pairs.names))):
            for name, runs in played.items():
                found = runs[0][severity].shown
                lines.append(
                    evaluate_chains.filmstrip(
                        pairs.lq[patch],
                        found["images"][:, patch],
                        found["actions"][:, patch],
                        found["probabilities"][:, patch],
                        tools=names,
                        truth=pairs.hq[patch],
                        name=f"{name}, {severity}/{patch:02d}",
                        height=126,
                    )  # fmt: skip
                )
    return sheet(lines, height=126)


def regions(source: str, tools: Sequence[str], sample: Mapping[str, Any]) -> np.ndarray:
    """A photograph with noise on the left and blur on the right: one chain, and chains by region."""
    truth = fetch(sample)["hq"][: 63 * 4, : 63 * 6]
    rng, middle = np.random.default_rng(0), truth.shape[1] // 2
    noisy = degrade(truth, [Levels(0.0, 40.0, None)], rng)
    blurred = degrade(truth, [Levels(3.0, 0.0, None)], rng)
    spoilt = np.concatenate([noisy[:, :middle], blurred[:, middle:]], 1).astype(np.float32)
    chooser = build_chain.chooser(source, tools, largest=max(truth.shape))
    cells = [Cell(to_uint8(spoilt), f"input {score(spoilt, truth):.2f} dB")]
    for mode, title in (("majority", "one chain"), ("regions", "a chain for each region")):
        run = build_chain.chain_run(chooser, mode=mode, steps=STEPS, stride=32, told=logs.say)
        made = run(spoilt)
        cells.append(Cell(to_uint8(made), f"{title} {score(made, truth):.2f} dB"))
    return sheet([[*cells, Cell(truth, "truth")]], height=truth.shape[0])


def score(image: np.ndarray, truth: np.ndarray) -> float:
    """PSNR in dB of a float image against one of 8 bits."""
    return float(evaluate_chains.psnr(image, evaluate_chains.unit(truth)))


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        return ended("compare_policies", lambda: compare(options))
    except UserError as error:
        print(f"compare_policies: error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
