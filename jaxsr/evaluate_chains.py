"""Evaluation of an agent on fixed sets of distorted patches, and of a toolbox on its own distortions.

Built once and called by the loop as `evaluate(predict, step, folder)`, like those of `jaxsr.evaluate`.
PSNR here is the toolchain's: 10·log10(1/(MSE + 1e-10)) over all pixels and channels in [0, 1], without
border, clipping or rounding.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from jaxsr.data.distorted_sets import Pairs, fingerprint
from jaxsr.evaluate import Row, spread, write
from jaxsr.protocols import to_uint8
from jaxsr.sheets import Cell, bars, heat, sheet
from jaxsr.types import Batch, Tree

PROTOCOL = "PSNR of RGB in [0, 1], no border, not rounded; set {hash}"


def psnr(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """PSNR in dB of each image of [..., h, w, 3] in [0, 1]; at most 100."""
    error = np.square(a.astype(np.float64) - b.astype(np.float64)).mean((-3, -2, -1))
    return 10 * np.log10(1 / (error + 1e-10))


def unit(levels: np.ndarray) -> np.ndarray:
    """uint8 as float32 in [0, 1]."""
    return levels.astype(np.float32) / 255


def chain_text(actions: Sequence[int], stop: int) -> str:
    """The tools of a chain up to a stop, as the paper prints them: «7-2-12», «stop» for none."""
    used = list(actions)
    used = used[: used.index(stop)] if stop in used else used
    return "-".join(str(a + 1) for a in used) or "stop"


def toolchain(*, sets: Mapping[str, Pairs], tools: Sequence[str], shown: int, height: int):
    """Evaluates greedy chains: gain in dB per set, chains, how often the agent stops.

    sets:  {severity: fixed patches}
    tools: their names, for the pictures
    shown: patches of each set on the sheet; height: of each picture there, in pixels

    `predict` takes {"lq": [n,s,s,3]} and gives {"images": [t,n,s,s,3], "actions": [t,n],
    "probabilities": [t,n,a]}. Means: gain (over all patches), gain/<set>, stop rate (chains that end
    with a stop), length.
    """

    hashes = {name: fingerprint(each)[:12] for name, each in sets.items()}

    def evaluate(predict: Callable[[Batch], Tree], step: int, folder: Path):
        rows, lines, means = [], [], {}
        for severity, patches in sets.items():
            truth, before = unit(patches.hq), psnr(unit(patches.lq), unit(patches.hq))
            found = predict({"lq": unit(patches.lq)})
            scores = psnr(found["images"], truth)
            actions = np.asarray(found["actions"]).T
            own = [
                chain_row(f"{severity}/{n:02d}", actions[n], before[n], scores[:, n], len(tools))
                | {"protocol": PROTOCOL.format(hash=hashes[severity])}
                for n in range(len(truth))
            ]
            rows += own
            means |= {f"gain/{severity}": float(np.mean([row["gain"] for row in own]))}
            for n in spread(len(truth), shown):
                strip = filmstrip(
                    patches.lq[n], found["images"][:, n], actions[n], found["probabilities"][:, n],
                    tools=tools, truth=patches.hq[n], name=f"{severity}/{n:02d}", height=height,
                )  # fmt: skip
                lines.append(strip)
        means = {"gain": float(np.mean([row["gain"] for row in rows]))} | means
        means["stop rate"] = float(np.mean([row["stops"] for row in rows]))
        means["length"] = float(np.mean([row["length"] for row in rows]))
        page = sheet(lines, height=height)
        named = ", ".join(f"{name} {value}" for name, value in hashes.items())
        write(folder, step, rows=rows, table=chain_table(means, named), page=page)
        return means, page

    return evaluate


def chain_row(image: str, actions: np.ndarray, before: float, scores: np.ndarray, stop: int) -> Row:
    """One patch: PSNR before and after, gain, chain, its length, and whether the agent stopped it."""
    used = [int(a) for a in actions]
    return {
        "image": image, "method": "agent", "psnr_input": float(before), "psnr": float(scores[-1]),
        "gain": float(scores[-1] - before), "chain": chain_text(used, stop),
        "length": sum(a != stop for a in used), "stops": float(stop in used),
    }  # fmt: skip


def chain_table(means: Mapping[str, float], hashes: str) -> str:
    """The means as Markdown."""
    head = "| " + " | ".join(means) + " |"
    rule = "|" + "|".join("-" * (len(name) + 1) + ":" for name in means) + "|"
    line = "| " + " | ".join(f"{v:>{len(k)}.3f}" for k, v in means.items()) + " |"
    note = "Gains in dB of PSNR (RGB in [0, 1], no border, not rounded), greedy chains."
    return "\n".join([head, rule, line, "", note, "", f"Sets: {hashes}", ""])


def filmstrip(
    before: np.ndarray,
    images: np.ndarray,
    actions: Sequence[int],
    probabilities: np.ndarray,
    *,
    tools: Sequence[str],
    truth: np.ndarray | None,
    name: str,
    height: int,
) -> list[Cell]:
    """A chain as a line of cells: input, each step with its tool, what the agent thought, the truth.

    Args:
        before: uint8 [h,w,3]; images: float [t,h,w,3]; actions: [t]; probabilities: [t,n+1].
        tools: names of the n tools.
        truth: uint8 [h,w,3], whose PSNR is then written under each step; None where it is not known.
        name: of the picture; height: of the bars of the probabilities, in pixels.
    Returns:
        cells up to the first stop, for `sheets.sheet`.
    """

    def score(image: np.ndarray) -> str:
        return "" if truth is None else f" {psnr(image, unit(truth)):.2f} dB"

    cells = [Cell(before, f"{name}{score(unit(before))}")]
    for image, action, share in zip(images, actions, probabilities, strict=True):
        cells.append(
            Cell(bars(share, height=height, chosen=int(action)), f"1 … {len(tools)}, stop")
        )
        if action == len(tools):
            cells.append(Cell(to_uint8(image), f"stop{score(image)}"))
            break
        cells.append(Cell(to_uint8(image), f"{action + 1} {tools[action]}{score(image)}"))
    return cells + ([] if truth is None else [Cell(truth, "truth")])


def toolbox(*, bands: Mapping[str, Pairs], tools: Sequence[int], height: int):
    """Evaluates tools on single distortions: the gain in dB of every tool on every band.

    bands: {band, in the order of the twelve tools: patches}
    tools: which of the bands each tool is for; the network gives row r of a batch to tool r mod n

    Means: own (a tool on its own band, averaged), own/<band>, best (bands on which no other tool is
    better than their own, as a share; of several tools only).
    """

    hashes = {name: fingerprint(each)[:12] for name, each in bands.items()}

    def evaluate(predict: Callable[[Batch], np.ndarray], step: int, folder: Path):
        names, rows = list(bands), []
        gains = np.empty((len(tools), len(names)))
        for place, (band, patches) in enumerate(bands.items()):
            repeated = np.repeat(unit(patches.lq), len(tools), axis=0)
            out = predict({"lq": repeated}).reshape(-1, len(tools), *patches.lq.shape[1:])
            before = psnr(unit(patches.lq), unit(patches.hq))
            after = psnr(out, unit(patches.hq)[:, None])
            gains[:, place] = (after - before[:, None]).mean(0)
            rows += [
                {"image": band, "method": names[tool], "protocol": PROTOCOL.format(hash=hashes[band])}
                | {"psnr_input": float(before.mean()), "gain": float(gains[k, place])}
                for k, tool in enumerate(tools)
            ]  # fmt: skip
        own = {names[tool]: float(gains[k, tool]) for k, tool in enumerate(tools)}
        means = {"own": float(np.mean(list(own.values())))}
        if len(tools) > 1:
            means["best"] = float(np.mean([gains[:, t].argmax() == k for k, t in enumerate(tools)]))
        means |= {f"own/{name}": value for name, value in own.items()}
        labels = [names[tool] for tool in tools]
        page = sheet(
            [[Cell(heat(gains, rows=labels, columns=names, height=height), "dB")]], height=height
        )
        write(folder, step, rows=rows, table=gain_table(gains, labels, names), page=page)
        return means, page

    return evaluate


def gain_table(gains: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> str:
    """The gains of tools (rows) on bands (columns) as Markdown."""
    lines = ["| tool ↓, distortion → | " + " | ".join(columns) + " |"]
    lines.append("|---|" + "---:|" * len(columns))
    for name, values in zip(rows, gains, strict=True):
        lines.append(f"| {name} | " + " | ".join(f"{v:+.2f}" for v in values) + " |")
    return "\n".join(
        [*lines, "", "Gain in dB of PSNR (RGB in [0, 1], no border, not rounded).", ""]
    )
