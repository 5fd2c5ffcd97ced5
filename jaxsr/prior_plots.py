"""Curves of deep priors over the steps of their fits."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxsr.logs import Series
from jaxsr.sheets import plot

PANELS = ("loss", "psnr", "psnr average")  # and what is watched


def curves(
    found: Series, members: Mapping[str, Sequence[str]], watches: Sequence[str],
    lines: Mapping[str, float],
) -> np.ndarray:  # fmt: skip
    """A panel for the loss, the PSNR of outputs and of averages, and what is watched; uint8 [h,w,3].

    found:   of `logs.read`, with «member/metric»
    members: {image: its runs}, one colour an image, a thin line a run
    watches: metrics that have a panel of their own
    lines:   {image: PSNR}, drawn dashed, of what needs no network
    """
    names = [n for n in (*PANELS, *watches) if any(key.endswith(f"/{n}") for key in found)]

    def draw(figure: Any) -> None:
        panels = figure.subplots(1, max(1, len(names)), squeeze=False)[0]
        for axes, metric in zip(panels, names):
            for place, (image, runs) in enumerate(members.items()):
                for number, run in enumerate(runs):
                    steps, values = found.get(f"{run}/{metric}", ([], []))
                    label = image if number == 0 else None
                    axes.plot(steps, values, color=f"C{place % 10}", lw=1, alpha=0.85, label=label)
                if metric.startswith("psnr") and image in lines:
                    axes.axhline(lines[image], color=f"C{place % 10}", ls="--", lw=0.8)
            drawn = [value for line in axes.get_lines() for value in line.get_ydata()]
            if not metric.startswith("psnr") and min(drawn, default=0) > 0:  # not of an activation
                axes.set_yscale("log")
            axes.set_title(f"{metric}, dB" if metric.startswith("psnr") else metric, fontsize=10)
            axes.set_xlabel("step")
        if names:
            panels[0].legend(fontsize=8)

    return plot(draw, (4.2 * max(1, len(names)), 3.4))
