"""jaxsr.data.levels: the triples of the sheet, and where the draws fall."""

import itertools

import numpy as np
import pytest

from jaxsr.data.levels import (
    BANDS,
    Levels,
    draw,
    draw_band,
    draw_slight,
    strengths,
    tool_names,
    triples,
)
from jaxsr.types import UserError

# Number of triples, and how many of them have level 1, 2, ..., 10 of one distortion.
SHEET = {
    "mild": (163, [28, 27, 24, 21, 18, 15, 12, 9, 6, 3]),
    "moderate": (434, [33, 39, 45, 49, 51, 51, 49, 45, 39, 33]),
    "severe": (163, [3, 6, 9, 12, 15, 18, 21, 24, 27, 28]),
}
SUMS = {"mild": (9, 11), "moderate": (12, 17), "severe": (18, 20)}
QUALITY = [100, 80, 60, 50, 40, 35, 30, 25, 20, 15, 10]


def level_of(levels):
    """The triple that drawn levels belong to."""
    jpeg = next(i for i in range(1, 11) if QUALITY[i] <= levels.quality <= QUALITY[i - 1])
    return int(levels.blur // 0.5) + 1, int(levels.noise // 5) + 1, jpeg


@pytest.mark.parametrize("severity", SHEET)
def test_triples_are_those_of_the_sheet(severity):
    found = triples(severity)
    count, marginal = SHEET[severity]
    assert len(found) == len(set(found)) == count
    for axis in range(3):
        assert np.bincount([t[axis] for t in found], minlength=11)[1:].tolist() == marginal
    assert all(set(itertools.permutations(t)) <= set(found) for t in found)
    low, high = SUMS[severity]
    assert {sum(t) - 2 for t in found} == set(range(low, high + 1))


@pytest.mark.parametrize("severity", SHEET)
def test_draws_are_uniform_over_triples_and_inside_their_intervals(severity):
    rng = np.random.default_rng(0)
    drawn = [draw(severity, rng) for _ in range(4000)]
    found = [level_of(levels) for levels in drawn]
    assert set(found) <= set(triples(severity))
    count, marginal = SHEET[severity]
    for axis in range(3):
        got = np.bincount([t[axis] for t in found], minlength=11)[1:]
        # chi-square with 9 degrees of freedom: above 27.9 once in a thousand
        expected = np.array(marginal) * len(drawn) / count
        assert ((got - expected) ** 2 / expected).sum() < 27.9
    # uniform inside the interval: the mean place is 1/2, known to 0.0046
    assert np.mean([levels.blur / 0.5 % 1 for levels in drawn]) == pytest.approx(0.5, abs=0.02)
    assert np.mean([levels.noise / 5 % 1 for levels in drawn]) == pytest.approx(0.5, abs=0.02)
    place = [
        (levels.quality - QUALITY[n]) / (QUALITY[n - 1] - QUALITY[n])
        for levels, (_, _, n) in zip(drawn, found, strict=True)
    ]
    assert np.mean(place) == pytest.approx(0.5, abs=0.02)


def test_a_severity_that_does_not_exist_names_the_three():
    for function in (triples, lambda s: draw(s, np.random.default_rng(0))):
        with pytest.raises(UserError, match="'hard': use mild, moderate or severe"):
            function("hard")


def test_bands_join_and_cover_the_ranges():
    ends = {"blur": (0, 5), "noise": (0, 50), "jpeg": (10, 100)}
    assert len(BANDS) == 12
    for kind, (low, high) in ends.items():
        pairs = sorted((a, b) for k, a, b in BANDS if k == kind)
        assert pairs[0][0] == low and pairs[-1][1] == high
        assert all(a[1] == b[0] for a, b in itertools.pairwise(pairs))
    # as the tools are numbered: 4 of blur and 4 of noise get stronger, so does JPEG
    assert [b[0] for b in BANDS] == ["blur"] * 4 + ["noise"] * 4 + ["jpeg"] * 4
    assert BANDS[2] == ("blur", 2.5, 3.75) and BANDS[11] == ("jpeg", 10.0, 20.0)


def test_a_band_is_one_distortion():
    rng = np.random.default_rng(1)
    for kind, low, high in BANDS:
        drawn = [draw_band(kind, low, high, rng) for _ in range(300)]
        values = np.array([[b, n, -1 if q is None else q] for b, n, q in drawn])
        column = ("blur", "noise", "jpeg").index(kind)
        none = np.delete(np.array([0, 0, -1]), column)
        assert (np.delete(values, column, 1) == none).all()
        inside = (values[:, column] - low) / (high - low)
        assert inside.min() >= 0 and inside.max() <= 1
        assert inside.mean() == pytest.approx(0.5, abs=0.07)  # 0.29/√300 = 0.017


@pytest.mark.parametrize(
    ("band", "words"),
    [
        (("haze", 0, 1), "'haze' .* blur, noise or jpeg"),
        (("blur", 2, 1), "2..1 of blur"),
        (("blur", 0, 9), "within 0..5"),
        (("noise", -1, 1), "within 0..50"),
        (("jpeg", 0, 50), "within 1..100"),
    ],
)
def test_wrong_bands_are_named(band, words):
    with pytest.raises(UserError, match=words):
        draw_band(*band, np.random.default_rng(0))


def test_slight_distortions():
    rng = np.random.default_rng(2)
    drawn = np.array([draw_slight(rng) for _ in range(400)])
    assert (drawn[:, 0] == 0).all()
    np.testing.assert_allclose(drawn.mean(0), [0, 2.5, 90], atol=1.2)  # 5 or 4 deviations
    assert drawn.min(0)[1] >= 0 and drawn.max(0)[1] <= 5
    assert drawn.min(0)[2] >= 80 and drawn.max(0)[2] <= 100


def test_strengths_on_a_common_scale():
    assert strengths([Levels(2.5, 10.0, 55.0)]).tolist() == pytest.approx([0.5, 0.2, 0.5])
    assert strengths([Levels(5.0, 50.0, 10.0)]).tolist() == [1, 1, 1]
    assert strengths([Levels(0.0, 0.0, None)]).tolist() == [0, 0, 0]
    both = strengths([Levels(0.0, 25.0, None), Levels(0.0, 4.0, 91.0)])
    assert both.dtype == np.float32 and both.tolist() == pytest.approx([0, 0.5, 0.1])


def test_tools_in_words():
    names = tool_names()
    assert len(names) == len(set(names)) == 12
    assert names[0] == "deblur σ 0–1.25" and names[6] == "denoise σ 25–37.5"
    assert names[11] == "deblock q 10–20"
