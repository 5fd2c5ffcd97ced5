"""Policies beside each other: rows of gains, their table, learning curves, what is used at which step."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxsr.evaluate import deviation
from jaxsr.evaluate_chains import chain_text
from jaxsr.inference.all_chains import references
from jaxsr.sheets import plot

Row = dict[str, Any]
FIXED = ("random", "best constant", "greedy oracle", "best chain")


def rows(
    tables: Mapping[str, np.ndarray],
    agents: Mapping[str, Sequence[Mapping[str, np.ndarray]]],
) -> list[Row]:
    """One row for every policy, run and severity, and «all» for the patches of all severities together.

    tables: {severity: scores of all chains}, see `all_chains.score_all`
    agents: {name: for every run {severity: gain in dB [n]}}
    The best constant chain of «all» is one chain for all patches; so is that of each severity. `share`
    is the gain divided by that of the greedy oracle.
    """
    whole = dict(tables) | {"all": np.concatenate(list(tables.values()), -1)}
    found = []
    for severity, table in whole.items():
        stop = table.shape[0] - 1
        known = references(table, lambda actions, stop=stop: chain_text(actions, stop))
        before = known["input"].psnr
        gains = {name: (known[name].psnr - before, known[name].chain) for name in FIXED}
        reach = float(gains["greedy oracle"][0].mean())
        for name, (gain, chain) in gains.items():
            found.append(_row(name, "", severity, gain, chain, reach))
        for name, runs in agents.items():
            for number, run in enumerate(runs):
                gain = np.concatenate(list(run.values())) if severity == "all" else run[severity]
                found.append(_row(name, number, severity, gain, "", reach))
    return found


def overall(found: Sequence[Row]) -> list[Row]:
    """Mean and deviation over the runs of each policy on all patches: policy, runs, gain, deviation."""
    return [_summary(found, name, "all") for name in _names(found)]


def table(found: Sequence[Row], severities: Sequence[str]) -> str:
    """Markdown: a line for each policy, mean ± deviation over runs (n - 1) in dB."""
    columns = [*severities, "all"]
    lines = ["| policy | runs | " + " | ".join(columns) + " | of the oracle |"]
    lines.append("|---|---:|" + "---:|" * (len(columns) + 1))
    for name in _names(found):
        cells = []
        for severity in columns:
            row = _summary(found, name, severity)
            spread = f" ± {row['deviation']:.2f}" if row["runs"] > 1 else ""
            cells.append(f"{row['gain']:+.2f}{spread}")
        last = _summary(found, name, "all")
        chain = next(
            (r["chain"] for r in found if r["policy"] == name and r["severity"] == "all"), ""
        )
        label = f"{name} ({chain})" if chain else name
        lines.append(
            f"| {label} | {last['runs'] or ''} | " + " | ".join(cells) + f" | {last['share']:.0%} |"
        )
    note = "Gain in dB of PSNR (RGB in [0, 1], no border, not rounded), greedy chains of at most three tools."
    return "\n".join([*lines, "", note, ""])


def curves(
    runs: Mapping[str, Sequence[Mapping[str, Sequence[float]]]], lines: Mapping[str, float]
) -> np.ndarray:
    """Gain of evaluations over steps of training, one colour a name, a thin line a run; uint8 [h,w,3].

    runs: {name: runs with `steps` and `gain`}; lines: {policy: gain} drawn across, where they are not far
    below the runs
    """

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        for place, (name, each) in enumerate(runs.items()):
            kept = [run for run in each if run["steps"]]
            for number, run in enumerate(kept):
                label = f"{name} ({len(kept)} runs)" if number == 0 else None
                axes.plot(
                    run["steps"],
                    run["gain"],
                    color=f"C{place}",
                    marker=".",
                    lw=1.2,
                    alpha=0.8,
                    label=label,
                )
        for place, (name, value) in enumerate(lines.items()):
            style = ("--", ":", "-.", (0, (5, 1)))[place % 4]
            axes.axhline(value, color="0.4", lw=1, ls=style, label=f"{name} {value:.2f}")
        gains = [gain for each in runs.values() for run in each for gain in run["gain"]]
        if gains:
            low, high = min(gains), max(*gains, *lines.values())
            axes.set_ylim(low - 0.3 * (high - low), high + 0.1 * (high - low))
        axes.set_xlabel("steps of training")
        axes.set_ylabel("gain of greedy chains, dB")
        axes.legend(fontsize=8, loc="lower right")

    return plot(draw, (7.5, 4.8))


def histograms(uses: Mapping[str, Mapping[str, np.ndarray]], tools: Sequence[str]) -> np.ndarray:
    """How often each action is taken at each step: a row of panels a policy, a panel a severity.

    uses: {policy: {severity: actions int [t,n]}}; tools: names; -> uint8 [h,w,3]
    """

    def draw(figure: Any) -> None:
        severities = list(next(iter(uses.values())))
        panels = figure.subplots(
            len(uses), len(severities), squeeze=False, sharex=True, sharey=True
        )
        for row, (name, each) in zip(panels, uses.items(), strict=True):
            for axes, severity in zip(row, severities, strict=True):
                actions = each[severity]
                below = np.zeros(len(tools) + 1)
                for step, taken in enumerate(actions, start=1):
                    share = np.bincount(taken, minlength=len(tools) + 1) / actions.shape[1]
                    axes.bar(range(len(share)), share, bottom=below, label=f"step {step}")
                    below += share
                axes.set_title(f"{name}, {severity}", fontsize=9)
                axes.set_xticks(range(len(tools) + 1), [*tools, "stop"], rotation=90, fontsize=6)
            row[0].set_ylabel("chains, share", fontsize=8)
        panels[0][-1].legend(fontsize=7)

    return plot(draw, (12, 2.2 * len(uses) + 1.2))


def _row(policy: str, run: Any, severity: str, gain: np.ndarray, chain: str, reach: float) -> Row:
    mean = float(gain.mean())
    return {
        "policy": policy, "run": run, "severity": severity, "patches": len(gain), "gain": mean,
        "share": mean / reach if reach else 0.0, "chain": chain,
    }  # fmt: skip


def _names(found: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["policy"] for row in found))


def _summary(found: Sequence[Row], name: str, severity: str) -> Row:
    own = [row for row in found if row["policy"] == name and row["severity"] == severity]
    gains = [row["gain"] for row in own]
    return {
        "policy": name,
        "runs": 0 if own[0]["run"] == "" else len(own),
        "gain": float(np.mean(gains)),
        "deviation": deviation(gains),
        "share": float(np.mean([row["share"] for row in own])),
    }
