"""scripts/evaluate.py and scripts/perception_distortion.py from the command line, in this process."""

import csv
import json
import sys

import numpy as np
import pytest
from PIL import Image

from jaxsr.inference.restorer import Restorer
from jaxsr.ops.resize import imresize
from jaxsr.types import UserError


@pytest.fixture(scope="module")
def script(root):
    sys.path.insert(0, str(root / "scripts"))
    try:
        import evaluate
    finally:
        sys.path.pop(0)
    return evaluate


@pytest.fixture
def sets(tmp_path):
    """A folder with two sets of small pictures."""
    for name, count in (("Set5", 3), ("mine", 1)):
        folder = tmp_path / "sets" / name / "HR"
        folder.mkdir(parents=True)
        for k in range(count):
            y, x = np.mgrid[:40, : 48 + 4 * k]
            waves = np.stack([120 + 80 * np.sin((x + c * y) / (3 + k)) for c in range(3)], -1)
            Image.fromarray(waves.astype(np.uint8)).save(folder / f"{name}{k}.png")
    return tmp_path / "sets"


@pytest.fixture
def toy(script, monkeypatch):
    """Networks whose weights are called x2, x4, y2 …: bicubic; any else is refused."""

    def restorer(source, *, scale=None):
        def apply(variables, lq):  # only looked at for its layers, of which it has none
            return lq

        own = int(source[-1])
        if scale not in (None, own):
            raise UserError(f"{source} restores x{own}, not x{scale}.")
        return Restorer("toy", own, 1 if source[0] == "y" else 3, apply, {}, None, {})

    def runner(restorer, *, memory_mib, largest):
        return lambda lq: imresize(lq, restorer.scale, border="clamp", round_passes=False)

    monkeypatch.setattr(script, "restorer", restorer)
    monkeypatch.setattr(script, "runner", runner)


def rows(folder):
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def run(script, sets, *flags):
    out = sets.parent / "out"
    return script.main(["--root", str(sets), "--out", str(out), *flags]), out


def test_everything_is_written(script, sets, toy, capsys):
    status, out = run(script, sets, "--sets", "set5", "mine", "--weights", "x2", "--shown", "2")
    assert status == 0
    held = rows(out)
    assert {(row["set"], row["method"]) for row in held} == {
        (name, method) for name in ("Set5", "mine") for method in ("bicubic", "nearest", "x2")
    }
    assert len(held) == 4 * 3 and {row["scale"] for row in held} == {"2"}
    printed = capsys.readouterr()
    table = (out / "results.md").read_text()
    assert table in printed.out and "3/5" in table
    assert "3 of 5 images are here" in printed.err and "MP/s" in printed.err
    means = json.loads((out / "results.json").read_text())
    assert means["complete"] and means["protocol"] == "classic" and len(means["means"]) == 6
    for name, lines in (("Set5_x2.png", 2), ("mine_x2.png", 1)):
        page = Image.open(out / name)
        assert page.height == lines * (240 + 20 + 6) + 6


def test_baselines_alone_at_several_scales(script, sets):
    status, out = run(script, sets, "--sets", "mine", "--scales", "2", "4", "--protocol", "C")
    assert status == 0
    assert [(row["scale"], row["method"]) for row in rows(out)] == [
        ("2", "bicubic"), ("2", "nearest"), ("4", "bicubic"), ("4", "nearest"),
    ]  # fmt: skip


def test_networks_side_by_side_each_at_its_scale(script, sets, toy, capsys):
    flags = ["--sets", "mine", "--weights", "x2", "y2", "y4", "--scales", "2", "4"]
    status, out = run(script, sets, *flags, "--method", "VDSR", "mine", "VDSR", "--self-ensemble")
    assert status == 0
    held = {(row["scale"], row["method"]) for row in rows(out)} - {
        (scale, name) for scale in "24" for name in ("bicubic", "nearest")
    }
    assert held == {("2", "VDSR+"), ("2", "mine+"), ("4", "VDSR-3+")}
    assert "passed over: x2 restores x2, not x4." in capsys.readouterr().err


def test_a_broken_image_is_reported_and_the_status_is_1(script, sets, capsys):
    (sets / "mine" / "HR" / "broken.png").write_bytes(b"no image")
    status, out = run(script, sets, "--sets", "mine", "--scales", "2")
    assert status == 1 and len(rows(out)) == 2
    error = capsys.readouterr().err
    assert "evaluate: error: mine x2 broken: " in error and "Traceback" not in error
    assert len(json.loads((out / "results.json").read_text())["failures"]) == 1


def test_an_interruption_keeps_what_was_done(script, sets, toy, monkeypatch):
    def runner(restorer, *, memory_mib, largest):
        calls = []

        def restore(lq):
            calls.append(lq)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return imresize(lq, restorer.scale, border="clamp", round_passes=False)

        return restore

    monkeypatch.setattr(script, "runner", runner)
    status, out = run(script, sets, "--sets", "Set5", "--weights", "x2")
    assert status == 130
    assert [row["image"] for row in rows(out)] == ["Set50"] * 3 + ["Set51"] * 3
    assert json.loads((out / "results.json").read_text())["complete"] is False
    assert (out / "Set5_x2.png").is_file() and "2/5" in (out / "results.md").read_text()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--sets", "Set14"], "the set Set14 is not in"),
        (["--protocol", "D"], "there is no protocol 'D'"),
        (["--protocol", "C", "--weights", "x2"], "x2 restores RGB"),
        (["--protocol", "L", "--lr", "files"], "protocol L makes its LR without rounding"),
        (["--weights", "x2", "--scales", "3"], "x2 restores x2, not x3"),
        (["--weights", "x2", "--method", "a", "b"], "2 names for 1 weights"),
        (["--lpips", "absent.pth"], "there is no weight file absent.pth"),
        (["--lpips", "a", "b", "c"], "takes a file"),
        (["--lpips", "a", "--protocol", "C"], "LPIPS needs colour"),
        (["--niqe", "absent.npz"], "there is no weight file absent.npz"),
    ],
)
def test_mistakes_are_one_sentence(script, sets, toy, capsys, flags, sentence):
    status, out = run(script, sets, *flags)
    error = capsys.readouterr().err
    assert status == 2 and sentence in error and "evaluate: error: " in error
    assert not (out / "results.csv").exists()


def test_results_are_not_overwritten_unasked(script, sets, capsys):
    flags = ["--sets", "mine", "--scales", "2"]
    assert run(script, sets, *flags)[0] == 0
    status, out = run(script, sets, *flags)
    assert status == 2 and f"{out} holds results" in capsys.readouterr().err
    assert run(script, sets, *flags, "--overwrite")[0] == 0


def test_a_set_named_twice_counts_once(script, sets):
    # as a shell completes the name of a folder, and in letters of another case
    status, out = run(script, sets, "--sets", "Set5", "Set5/", "set5", "--scales", "2", "2")
    assert status == 0 and len(rows(out)) == 3 * 2
    assert " 3/5 |" in (out / "results.md").read_text()


def test_sets_of_one_name_in_two_folders_have_their_own_sheets(script, sets):
    names = [str(sets / name / "HR") for name in ("Set5", "mine")]
    status, out = run(script, sets, "--sets", *names, "--scales", "2")
    assert status == 0
    assert sorted(path.name for path in out.glob("*.png")) == ["HR-2_x2.png", "HR_x2.png"]
    assert script.sheet_paths(out, [(".", 2)]) == {(".", 2): out / "set_x2.png"}


def test_a_start_that_was_interrupted_is_no_result(script, sets, monkeypatch, capsys):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    flags = ["--sets", "mine", "--scales", "2"]
    with monkeypatch.context() as patch:
        patch.setattr(script.benchmarks, "evaluate", stop)
        status, out = run(script, sets, *flags)
    assert status == 130 and (out / "results.csv").exists() and not rows(out)
    assert run(script, sets, *flags)[0] == 0 and len(rows(out)) == 2


def test_reported_figures_are_announced_where_there_are_any(script, sets, toy, monkeypatch, capsys):
    assert run(script, sets, "--sets", "Set5", "--weights", "x2")[0] == 0
    assert "reported figures" not in capsys.readouterr().err
    real = script.restorer
    monkeypatch.setattr(script, "restorer", lambda *a, **k: real(*a, **k)._replace(name="vdsr"))
    assert run(script, sets, "--sets", "Set5", "--weights", "x2", "--overwrite")[0] == 0
    assert "x2: reported figures are those of 'vdsr'; --method" in capsys.readouterr().err


def test_help_explains_the_protocols(script, capsys):
    with pytest.raises(SystemExit) as stop:
        script.main(["--help"])
    said = capsys.readouterr().out
    assert stop.value.code == 0 and "Exit status" in said
    for protocol in script.protocols.PROTOCOLS.values():
        assert script.protocols.describe(protocol) in said


def test_the_plane_of_an_evaluation(script, sets, root, shared, capsys):
    model = shared / "weights" / "niqe" / "niqe_pris_params.npz"
    folder = sets / "large" / "HR"
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    Image.fromarray(noise).resize((224, 224), box=(0, 0, 56, 56)).save(folder / "a.png")
    status, out = run(script, sets, "--sets", "large", "--scales", "2", "--niqe", str(model))
    assert status == 0 and all(float(row["niqe"]) > 0 for row in rows(out))
    sys.path.insert(0, str(root / "scripts"))
    try:
        import perception_distortion
    finally:
        sys.path.pop(0)
    assert perception_distortion.main([str(out), "--perception", "niqe", "--out", str(out)]) == 0
    assert "| large | 2 | bicubic |      1 |" in capsys.readouterr().out
    assert "large,2,bicubic,classic,1," in (out / "plane.csv").read_text()
    assert (out / "plane.png").is_file() and (out / "plane.csv").is_file()
    assert perception_distortion.main([str(out), "--perception", "lpips"]) == 2
    assert "perception_distortion: error: no row has numbers" in capsys.readouterr().err


def test_shipped_weights_on_set5(script, shared, tmp_path):
    """The shipped SFT-Net without its discriminator beats bicubic on every image of Set5 x4."""
    root = shared / "sr_benchmarks"
    flags = ["--weights", "pretrained:sftnet_psnr", "--lr-folder", "LR_SelfExSR"]
    assert run(script, root, *flags, "--out", str(tmp_path))[0] == 0
    scores = {(row["image"], row["method"]): float(row["psnr"]) for row in rows(tmp_path)}
    names = {image for image, _ in scores}
    assert len(names) == 5
    for name in names:
        # specs: per-image bicubic of pipeline A; the gain was 0.96 (head) to 3.6 dB (butterfly)
        assert scores[name, "sftnet_psnr"] > scores[name, "bicubic"] + 0.7
    assert scores["head", "bicubic"] == pytest.approx(31.5785, abs=1e-4)


# specs: evaluation.md, section 8, end-to-end oracles with published weights on Set5
FIGURES = {
    ("vdsr/VDSR_Official.npz", "C", 4): (31.3494, 0.8838),
    ("idn/IDN_x4.npz", "C", 4): (31.8105, 0.8902),
    ("lapsrn/LapSRN_x4.npz", "C", 4): (31.5233, 0.8856),
    ("lapsrn/LapSRN_x4.npz", "L", 4): (31.5418, 0.8853),
    ("lapsrn/LapSRN_x2.npz", "L", 2): (37.5190, 0.9591),
    ("lapsrn/MSLapSRN_D5R8.npz", "L", 4): (31.7391, 0.8890),
}


@pytest.mark.slow
@pytest.mark.parametrize(("file", "protocol", "scale"), FIGURES)
def test_released_weights_of_others_give_the_published_figures(
    script, shared, tmp_path, file, protocol, scale
):
    root = shared / "sr_benchmarks"
    flags = ["--weights", str(shared / "weights" / file), "--scales", str(scale)]
    assert run(script, root, *flags, "--protocol", protocol, "--out", str(tmp_path))[0] == 0
    mean = json.loads((tmp_path / "results.json").read_text())["means"][-1]
    psnr, ssim = FIGURES[file, protocol, scale]
    # the sheet's networks ran in torch; 1e-3 dB is its rounding and that of float32
    assert mean["psnr"] == pytest.approx(psnr, abs=1e-3)
    assert mean["ssim"] == pytest.approx(ssim, abs=1e-4)
    assert mean["reported"]["psnr"] is None or abs(mean["reported"]["psnr"]["value"] - psnr) < 0.05
