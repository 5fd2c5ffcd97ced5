"""What deep priors have made of images so far: pictures, a table, the numbers where the truth is known."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from jaxsr import logs, prior_plots
from jaxsr.data.images import write_png
from jaxsr.data.observations import Observation, together
from jaxsr.disk import in_one_move
from jaxsr.evaluate import Row, over_runs, write
from jaxsr.metrics.psnr import psnr
from jaxsr.protocols import to_uint8
from jaxsr.sheets import Cell, sheet
from jaxsr.types import Batch, Tree

PROTOCOL = "PSNR in dB of all channels in [0, 1], no border, not rounded"
# of results, and what `predict` calls them; the last two where a fit may stop by itself
KINDS = {
    "last": "image",
    "average": "average",
    "stopped": "stopped image",
    "stopped average": "stopped average",
}


def restored(
    *,
    observations: Mapping[str, Observation],
    baselines: Mapping[str, Mapping[str, np.ndarray]],
    seeds: Sequence[int],
    watches: Sequence[str],
    height: int,
) -> Callable[..., tuple[dict[str, float], np.ndarray]]:
    """Evaluates the fits to some observations, each with every seed.

    observations: {image: what was observed of it}
    baselines:    {image: {name: float32 [H,W,c]}}, images to compare with
    watches:      metrics that are watched, for the curves
    height:       of the pictures

    `predict` gives {image_seed: {"image", "average"}}, [1,H,W,c], and where fits may stop by themselves the
    same of the step that is kept, «stopped image» and «stopped average». Writes step_<n>.csv, .md (mean ±
    standard deviation over seeds) and .png, curves.png (from ../metrics.jsonl), and the results as
    result_<image>_<seed>_last.png, …_average.png and so on. With several seeds also their mean and standard
    deviation (n - 1), of the averages: result_<image>_mean.png and …_deviation.png, and as numbers (`mean`,
    `deviation`, float32 [H,W,c]) in result_<image>.npz.
    Means over images and seeds: psnr, psnr average (and stopped), and with a mask psnr hole … (of what was
    missing, not of what is held out); nothing without a truth.
    """

    def evaluate(predict: Callable[[Batch], Tree], step: int, folder: Path):
        found = predict(together(observations))
        rows, cells, pictures = [], [], {}
        for name, seen in observations.items():
            made = {
                (seed, kind): found[f"{name}_{seed}"][key][0]
                for seed in seeds for kind, key in KINDS.items() if key in found[f"{name}_{seed}"]
            }  # fmt: skip
            shown = dict(baselines[name])
            rows += [row(name, "", method, image, seen) for method, image in shown.items()]
            for (seed, kind), image in made.items():
                rows.append(row(name, seed, kind, image, seen))
                pictures[f"result_{name}_{seed}_{kind.replace(' ', '_')}.png"] = picture(image)
            shown |= {kind: image for (seed, kind), image in made.items() if seed == seeds[0]}
            if len(seeds) > 1:
                stack = np.stack([made[seed, "average"] for seed in seeds])
                shown[f"mean of {len(seeds)}"] = mean = stack.mean(0)
                deviation = stack.std(0, ddof=1)
                rows.append(row(name, "", "mean of seeds", mean, seen))
                pictures[f"result_{name}_mean.png"] = picture(mean)
                pictures[f"result_{name}_deviation.png"] = coloured(deviation)
                with in_one_move(folder / f"result_{name}.npz") as part, part.open("wb") as file:
                    np.savez(file, mean=mean, deviation=deviation)
            line = [Cell(picture(image), caption(m, image, seen)) for m, image in shown.items()]
            if "observed" not in shown:  # it is of another size
                line.insert(0, Cell(picture(seen["lq"]), "observed"))
            line[0] = line[0]._replace(text=f"{name}: {line[0].text}")
            if len(seeds) > 1:
                most = deviation.mean(-1).max()
                line.append(Cell(coloured(deviation), f"deviation, at most {most:.3f}"))
            if "hq" in seen:
                line.append(Cell(picture(seen["hq"]), "truth"))
            cells.append(line)
        page = sheet(cells, height=height)
        write(folder, step, rows=rows, table=table(rows), page=page)
        pictures["curves.png"] = prior_plots.curves(
            logs.read(folder.parent),
            {name: [f"{name}_{seed}" for seed in seeds] for name in observations},
            watches=watches,
            lines={
                name: max(scores(image, seen)["psnr"] for image in baselines[name].values())
                for name, seen in observations.items() if "hq" in seen and baselines[name]
            },
        )  # fmt: skip
        for file, image in pictures.items():
            write_png(folder / file, image)
        return summary(rows), page

    return evaluate


def scores(image: np.ndarray, seen: Observation) -> dict[str, float]:
    """PSNR of an image, and with a mask that of what was missing; nothing without a truth."""
    if "hq" not in seen:
        return {}
    found = {"psnr": psnr(image, seen["hq"], border=0, peak=1.0)}
    hole = missing(seen)
    if hole.any():
        error = np.square(image.astype(np.float64) - seen["hq"])[hole].mean()
        found["psnr hole"] = float(-10 * np.log10(error + 1e-12))
    return found


def missing(seen: Observation) -> np.ndarray:
    """bool [H,W,c]: what was not observed, pixels that are held out of the fit not among it."""
    shape = seen["hq"].shape
    if seen.get("mask", np.ones(1)).ndim != len(shape) or seen["lq"].shape != shape:
        return np.zeros(shape, bool)
    known = seen["mask"] + seen.get("held", np.zeros(1))
    return np.broadcast_to(known == 0, shape)


def row(name: str, seed: int | str, method: str, image: np.ndarray, seen: Observation) -> Row:
    """One line of the CSV; the seed is empty for what needs none."""
    held = {"image": name, "seed": seed, "method": method, "protocol": PROTOCOL}
    return held | scores(image, seen)


def summary(rows: Sequence[Row]) -> dict[str, float]:
    """{«psnr», «psnr average», …}: means over images and seeds, of the last output and of the average."""
    found = {}
    for kind in dict.fromkeys(each["method"] for each in rows if each["method"] in KINDS):
        suffix = "" if kind == "last" else f" {kind}"
        own = [each for each in rows if each["method"] == kind]
        for key in own[0].keys() - {"image", "seed", "method", "protocol"}:
            found[key + suffix] = float(np.mean([each[key] for each in own]))
    return dict(sorted(found.items()))


def table(rows: Sequence[Row]) -> str:
    """Markdown: each image and method, and all images, as mean ± standard deviation over seeds."""
    metrics = [key for key in rows[0] if key not in ("image", "seed", "method", "protocol")]
    if not metrics:
        return "There is no truth to compare with.\n"
    images = list(dict.fromkeys(each["image"] for each in rows))
    methods = list(dict.fromkeys(each["method"] for each in rows))
    lines = [f"| image | method | {' | '.join(metrics)} |", "|---|---|" + "---:|" * len(metrics)]
    for name in images + ["all"] * (len(images) > 1):
        for method in methods:
            own = [r for r in rows if r["method"] == method and name in (r["image"], "all")]
            cells = [over_seeds(own, metric) for metric in metrics]
            lines.append(f"| {name} | {method} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"{PROTOCOL}; mean ± standard deviation over seeds.", ""])


def over_seeds(rows: Sequence[Row], metric: str) -> str:
    """Mean ± deviation over the seeds of the means over images; one seed has no deviation."""
    seeds = dict.fromkeys(each["seed"] for each in rows)
    found = [np.mean([each[metric] for each in rows if each["seed"] == seed]) for seed in seeds]
    return over_runs(found)


def caption(method: str, image: np.ndarray, seen: Observation) -> str:
    """The method, and its PSNR where it is known."""
    found = scores(image, seen)
    return f"{method} {found['psnr']:.2f} dB" if found else method


def picture(image: np.ndarray) -> np.ndarray:
    """float [h,w,1 or 3] as uint8 [h,w,3]."""
    return np.repeat(to_uint8(image), 3 // image.shape[-1], -1)


def coloured(values: np.ndarray) -> np.ndarray:
    """The mean over channels of [h,w,c] as colours, black 0 and the brightest its maximum: uint8 [h,w,3]."""
    from matplotlib import colormaps

    flat = values.mean(-1)
    return colormaps["magma"](flat / max(flat.max(), 1e-9), bytes=True)[..., :3].copy()
