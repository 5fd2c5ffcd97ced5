"""Scores, tables and curves of deep priors, on numbers done by hand."""

import numpy as np
import pytest

from jaxsr import evaluate_priors as priors
from jaxsr import prior_plots


def observation(**changes):
    """2×2 pixels, of which the first is missing and the second held out."""
    mask = np.array([0, 0, 1, 1], np.float32).reshape(2, 2, 1)
    held = np.array([0, 1, 0, 0], np.float32).reshape(2, 2, 1)
    truth = np.full((2, 2, 3), 0.5, np.float32)
    return {"lq": truth * mask, "hq": truth, "mask": mask, "held": held} | changes


def test_the_hole_is_what_was_missing_and_not_what_was_held_out():
    seen = observation()
    np.testing.assert_array_equal(priors.missing(seen)[..., 0], [[True, False], [False, False]])
    image = seen["hq"].copy()
    image[0, 0] += 0.1
    found = priors.scores(image, seen)
    assert found["psnr hole"] == pytest.approx(20.0, abs=1e-4)
    assert found["psnr"] == pytest.approx(20.0 + 10 * np.log10(4), abs=1e-4)
    whole = {key: value for key, value in seen.items() if key not in ("mask", "held")}
    assert list(priors.scores(image, whole)) == ["psnr"]
    assert not priors.scores(image, {"lq": seen["lq"]})
    smaller = observation(lq=np.zeros((1, 1, 3), np.float32), mask=np.zeros((1, 1, 1), np.float32))
    assert list(priors.scores(image, smaller)) == ["psnr"], (
        "of a mask of the small image nothing is told"
    )


def test_means_are_over_images_and_seeds_and_deviations_over_seeds():
    rows = [
        {"image": image, "seed": seed, "method": method, "protocol": "p", "psnr": value + plus}
        for image, value in (("a", 20.0), ("b", 30.0))
        for seed, plus in ((0, 0.0), (1, 2.0))
        for method in ("last", "average")
    ]
    rows.insert(0, {"image": "a", "seed": "", "method": "observed", "protocol": "p", "psnr": 9.0})
    rows.insert(1, {"image": "b", "seed": "", "method": "observed", "protocol": "p", "psnr": 9.0})
    assert priors.summary(rows) == {"psnr": 26.0, "psnr average": 26.0}
    text = priors.table(rows)
    assert "| a | last | 21.00 ± 1.41 |" in text and "| all | last | 26.00 ± 1.41 |" in text
    assert "| all | observed | 9.00 |" in text
    bare = [{"image": "a", "seed": 0, "method": "last", "protocol": "p"}]
    assert priors.table(bare) == "There is no truth to compare with.\n"


def scales_of(monkeypatch, values):
    """The scale of the panel of a loss with such values."""
    found = []
    plot = prior_plots.plot

    def noted(draw, size):
        def drawn(figure):
            draw(figure)
            found.extend(axes.get_yscale() for axes in figure.axes)

        return plot(drawn, size)

    monkeypatch.setattr(prior_plots, "plot", noted)
    page = prior_plots.curves({"a_0/loss": ([1, 2], values)}, {"a": ["a_0"]}, watches=(), lines={})
    assert page.std() > 5
    return found


def test_a_loss_is_drawn_over_decades_only_where_it_is_positive(monkeypatch):
    assert scales_of(monkeypatch, [1.0, 0.01]) == ["log"]


def test_an_activation_which_falls_below_zero_is_drawn_too(monkeypatch):
    assert scales_of(monkeypatch, [-1.0, -20.0]) == ["linear"]
