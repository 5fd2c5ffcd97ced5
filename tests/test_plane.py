"""The perception–distortion plane: points, frontier, and the toy whose answers are known."""

import csv

import numpy as np
import pytest
from PIL import Image

from jaxsr import plane
from jaxsr.plane import Point, frontier
from jaxsr.types import UserError


def rows(method, psnrs, indices, *, dataset="Set5", protocol="classic", images="abcdef"):
    return [
        {"image": image, "set": dataset, "scale": "4", "method": method, "protocol": protocol,
         "psnr": str(psnr), "niqe": str(index)}
        for image, psnr, index in zip(images, psnrs, indices, strict=False)
    ]  # fmt: skip


def points(sources, distortion="psnr", perception="niqe"):
    return plane.points(sources, distortion=distortion, perception=perception)


def test_frontier_by_hand():
    #           dominated by 0   on it    dominated by 2   equal to 2
    costs = [(1, 5), (2, 6), (3, 2), (4, 2), (3, 2), (9, 1)]
    assert frontier(costs) == [0, 2, 4, 5]
    assert frontier([]) == [] and frontier([(1, 1)]) == [0]


def test_means_and_rmse_by_hand():
    # MSE 255²·10^-2 and 255²·10^-4: RMSE = 255·sqrt((0.01 + 0.0001)/2)
    own = {"run": rows("net", [20, 40], [3, 5])}
    (point,) = points(own)
    assert point[:5] == ("Set5", "4", "net", "classic", 2)
    assert (point.distortion, point.perception) == (30, 4)
    (point,) = points(own, "rmse")
    assert point.distortion == pytest.approx(255 * np.sqrt(0.00505), rel=1e-12)


def test_a_higher_psnr_is_better():
    own = {"run": rows("mse", [30], [6]) + rows("gan", [26], [3]) + rows("bad", [25], [5])}
    assert [point.frontier for point in points(own)] == [True, True, False]
    assert [point.frontier for point in points(own, "rmse")] == [True, True, False]


def test_only_images_that_all_methods_have_count():
    own = {"run": rows("one", [30, 20], [4, 8], images="ab") + rows("two", [28], [5], images="a")}
    assert [(p.images, p.distortion) for p in points(own)] == [(1, 30), (1, 28)]
    apart = {"run": rows("one", [30], [4], images="a") + rows("two", [28], [5], images="b")}
    with pytest.raises(UserError, match="no image that all methods restored"):
        points(apart)


def test_sets_are_apart_and_empty_cells_are_passed_over():
    own = rows("one", [30, 20], [4, 8]) + rows("one", [25], [7], dataset="Set14")
    own[1]["niqe"] = ""
    own += rows("equal", ["inf"], [1])
    found = points({"run": own})
    assert [(p.dataset, p.method, p.images) for p in found] == [
        ("Set5", "one", 1), ("Set14", "one", 1),
    ]  # fmt: skip


def test_the_same_method_in_two_runs():
    bicubic = rows("bicubic", [28], [7])
    same = points({"x": bicubic + rows("one", [30], [5]), "y": list(bicubic)})
    assert [point.method for point in same] == ["bicubic", "one"]
    other = points({"x": rows("net", [28], [7]), "y": rows("net", [29], [6])})
    assert [point.method for point in other] == ["net (x)", "net (y)"]


def test_mixed_protocols_and_missing_columns_are_refused():
    with pytest.raises(UserError, match="by the protocols 'classic' and 'C'"):
        points({"x": rows("one", [28], [7]), "y": rows("two", [29], [6], protocol="C")})
    with pytest.raises(UserError, match="no row has numbers for both 'psnr' and 'lpips'"):
        points({"x": rows("one", [28], [7])}, perception="lpips")
    with pytest.raises(UserError, match=r"choose of psnr, niqe\.$"):
        points({"x": rows("one", [28], [7])}, perception="nique")


def test_tables_of_benchmarks_and_of_training_runs_are_read(tmp_path):
    own = rows("net", [20, 40], [3, 5])
    for path in (tmp_path / "bench" / "results.csv", tmp_path / "one.csv"):
        path.parent.mkdir(exist_ok=True)
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(own[0]))
            writer.writeheader()
            writer.writerows(own)
    assert plane.read_rows(tmp_path / "bench") == plane.read_rows(tmp_path / "one.csv") == own
    folder = tmp_path / "run" / "evaluation"
    folder.mkdir(parents=True)
    head = "image,method,protocol,psnr_y,ssim_y,vgg\n"
    (folder / "step_00000010.csv").write_text(head + "a,net,A,20,0.5,3\n")
    (folder / "step_00000200.csv").write_text(head + "a,net,A,25,0.6,2\n")
    (point,) = points({"run": plane.read_rows(tmp_path / "run")}, perception="vgg")
    assert (point.dataset, point.distortion, point.perception) == ("", 25, 2)
    for wrong in (tmp_path / "absent", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            plane.read_rows(wrong)
    (tmp_path / "other.csv").write_text("x,y\n1,2\n")
    with pytest.raises(UserError, match="no table of an evaluation"):
        plane.read_rows(tmp_path / "other.csv")


def test_files(tmp_path):
    found = [
        Point("Set5", "4", "mse", "classic", 5, 30.0, 6.5, True),
        Point("Set5", "4", "gan", "classic", 5, 26.0, 3.25, True),
        Point("Set14", "4", "mse", "classic", 14, 27.0, 6.0, True),
    ]
    files = plane.write(tmp_path / "new", found, distortion="psnr", perception="niqe")
    lines = files[0].read_text().splitlines()
    assert lines[0] == "set,scale,method,protocol,images,psnr,niqe,frontier"
    assert lines[2] == "Set5,4,gan,classic,5,26.0,3.25,yes" and len(lines) == 4
    page = np.asarray(Image.open(files[1]))
    assert page.shape == (460, 1120, 3), "two panels of 5.6 x 4.6 inches at 100 dots"
    dots = (np.abs(page.astype(int) - (214, 39, 40)) < 8).all(-1)  # tab:red
    assert dots[:, :560].sum() > dots[:, 560:].sum() > 10, "two dots of the frontier, and one"


def test_the_better_end_is_on_the_left_and_below():
    """A dot of high PSNR and low NIQE lies at the left and below one that is worse in both."""
    found = [
        Point("s", "4", "", "A", 1, 30.0, 3.0, True),
        Point("s", "4", "", "A", 1, 26.0, 6.0, False),
    ]
    page = plane.draw(found, distortion="psnr", perception="niqe").astype(int)
    places = []
    for colour in ((214, 39, 40), (31, 119, 180)):  # tab:red, tab:blue
        places.append(np.argwhere((np.abs(page - colour) < 8).all(-1)).mean(0))
    (y_best, x_best), (y_worse, x_worse) = places
    assert x_best < x_worse and y_best > y_worse


def test_the_gaussian_denoiser_traces_the_curve():
    """x ~ N(0, 1), y = x + n, n ~ N(0, v): the estimators a·E[x|y] + b·posterior noise.

    specs: evaluation.md, section 10. The posterior mean has the least MSE, v/(1 + v), and a distance
    of distributions that is not 0; a sample of the posterior has distance 0 at twice that MSE; what
    lies between them on the curve is on the frontier, and monotone.
    """
    v = 0.5
    gain, rest = 1 / (1 + v), v / (1 + v)  # E[x|y] = gain·y, Var[x|y] = rest

    def mse(share):  # of E[x|y] + share·(posterior noise), by hand: rest + share²·rest
        return rest * (1 + share**2)

    def distance(share):  # Wasserstein-2 of N(0, s²) from N(0, 1): |s - 1|
        return abs(np.sqrt(gain + share**2 * rest) - 1)

    drawn = np.random.default_rng(0).standard_normal((3, 400_000))
    x, y = drawn[0], drawn[0] + np.sqrt(v) * drawn[1]
    shares, own = np.linspace(0, 1, 6), []
    for share in shares:
        estimate = gain * y + share * np.sqrt(rest) * drawn[2]
        error, spread = np.mean((estimate - x) ** 2), np.std(estimate)
        # 400,000 samples: a relative error of 1/sqrt(2e5) = 0.2 %, five of them allowed
        assert error == pytest.approx(mse(share), rel=0.012)
        assert abs(spread - 1) == pytest.approx(distance(share), abs=0.006)
        own += rows(f"{share:.1f}", [10 * np.log10(1 / error)], [abs(spread - 1)])
    own += rows("scaled", [10 * np.log10(1 / mse(1.2))], [distance(1.2)])  # too much noise
    found = points({"toy": own})
    assert [point.frontier for point in found] == [True] * 6 + [False]
    assert all(a.distortion > b.distortion for a, b in zip(found, found[1:], strict=False))
    assert mse(1) == 2 * mse(0) and distance(1) == 0 and distance(0) > 0.1


def test_titles_fit_the_panel():
    """A set that is named by its path keeps the end of it, and one image is one."""
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    plane._panel(axes, [Point("/a/long/way/down/to/my/pictures/HR", "4", "m", "C", 1, 9.0, 1.0, True)],
                 "rmse", "niqe")  # fmt: skip
    assert axes.get_title() == "…y/down/to/my/pictures/HR ×4, 1 image, protocol C"
