"""scripts/restore.py: results, names, options, what is said, and the exit status."""

import json

import jax
import numpy as np
import pytest
from reference.restore_command import command, tiny, tiny_weights

from jaxsr.inference import ensemble
from jaxsr.inference.picture_files import write_picture
from jaxsr.inference.pictures import Picture, read_picture, to_levels, to_unit


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return tiny_weights(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture(scope="module")
def module(root):
    return command(root)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def levels(*shape, dtype=np.uint8, seed=0):
    """Smooth noise: neighbours are alike, as in a photograph."""
    values = np.random.default_rng(seed).random(shape)
    for axis in (0, 1):
        values = (values + np.roll(values, 1, axis)) / 2
    return to_levels(values, dtype)


@pytest.fixture(scope="module")
def direct():
    """run(lq [h,w,3]) of the network itself, compiled once for each size."""
    net, variables = tiny()
    apply = jax.jit(lambda lq: net.apply(variables, lq[None], train=False)[0])
    return lambda lq: np.asarray(apply(lq))


def photo(path, *shape, dtype=np.uint8, seed=0, alpha=None):
    picture = Picture(levels(*shape, dtype=dtype, seed=seed), alpha)
    write_picture(path, picture)
    return picture


def near(path, expected, dtype=np.uint8):
    """The levels of a file are those expected; a sum in another order may move one by one."""
    found = read_picture(path)
    assert found.colour.dtype == dtype
    expected = to_levels(expected, dtype).astype(int)
    assert found.colour.shape == expected.shape
    # float32 sums in another order: 1e-5, which is under one level of 16 bits
    assert np.abs(found.colour - expected).max() <= 1


def test_a_folder_is_restored_then_skipped_then_overwritten(here, module, weights, direct, capsys):
    a = photo(here / "in/a.png", 14, 11, 3)
    b = photo(here / "in/sub/b.png", 9, 12, 3, dtype=np.uint16, seed=1)
    grey = photo(here / "in/sub/grey.tif", 9, 12, 1, dtype=np.uint16, seed=2)
    photo(here / "in/one.bmp", 1, 1, 3)
    (here / "in/notes.txt").write_text("")
    words = ["in", "--weights", weights, "--out", "out", "--report", "logs/lines.jsonl"]
    assert module.main(words) == 0
    said = capsys.readouterr()
    assert said.err == "" and "4 restored; " in said.out and "left" in said.out
    assert "MP/s" in said.out and "left alone: 1" in said.out
    files = sorted(p.relative_to(here / "out").as_posix() for p in here.glob("out/**/*.*"))
    assert files == ["a_x2.png", "one_x2.bmp", "sub/b_x2.png", "sub/grey_x2.tif"]
    near("out/a_x2.png", direct(to_unit(a.colour)))
    near("out/sub/b_x2.png", direct(to_unit(b.colour)), np.uint16)
    three = np.repeat(to_unit(grey.colour), 3, axis=2)
    near("out/sub/grey_x2.tif", direct(three).mean(-1, keepdims=True), np.uint16)
    lines = [json.loads(line) for line in open("logs/lines.jsonl")]
    assert [line["status"] for line in lines] == ["restored"] * 4
    assert lines[2]["bits"] == 16 and (lines[2]["width"], lines[2]["height"]) == (12, 9)

    write_picture("out/a_x2.png", Picture(np.zeros((2, 2, 3), np.uint8)))
    assert module.main(words) == 0
    said = capsys.readouterr().out
    assert "4 skipped; " in said and "out/a_x2.png is there: skipped" in said
    assert read_picture("out/a_x2.png").colour.shape == (2, 2, 3)
    assert module.main([*words, "--overwrite"]) == 0
    assert "4 restored; " in capsys.readouterr().out
    near("out/a_x2.png", direct(to_unit(a.colour)))
    assert not list(here.glob("out/**/.*"))


def test_the_rest_goes_on_and_the_status_tells(here, module, weights, capsys):
    photo("a.png", 8, 8, 3)
    photo("c.png", 8, 8, 3)
    (here / "b.png").write_text("no picture")
    words = ["a.png", "b.png", "c.png", "none.png", "x*.png", "--weights", weights, "--out", "out"]
    assert module.main([*words, "--report", "r.jsonl"]) == 1
    said = capsys.readouterr()
    assert "2 restored, 3 failed; " in said.out
    errors = said.err.splitlines()
    assert len(errors) == 3 and all(line.startswith("restore: error: ") for line in errors)
    assert "no file fits x*.png" in errors[0]
    assert "b.png is not an image" in errors[1] and "none.png cannot be read" in errors[2]
    assert (here / "out/c_x2.png").exists()
    lines = [json.loads(line) for line in open("r.jsonl")]
    assert [line["status"] for line in lines] == [
        "failed",
        "restored",
        "failed",
        "restored",
        "failed",
    ]
    assert lines[2]["error"] == errors[1].removeprefix("restore: error: ")


def test_windows_give_the_whole(here, module, weights, direct, capsys):
    a = photo("a.png", 70, 50, 3)
    words = ["a.png", "--weights", weights, "--out", "out"]
    assert module.main([*words, "--tile", "32"]) == 0
    assert "windows of 32² pixels" in capsys.readouterr().out
    near("out/a_x2.png", direct(to_unit(a.colour)))


def test_self_ensemble_and_back_projection(here, module, weights, direct):
    a = photo("a.png", 14, 11, 3)
    words = ["a.png", "--weights", weights, "--out"]
    assert module.main([*words, "turned", "--self-ensemble"]) == 0
    lq = to_unit(a.colour)
    turned = ensemble.self_ensemble(direct)
    near("turned/a_x2.png", turned(lq))
    assert np.abs(turned(lq) - direct(lq)).max() > 0.02  # another picture than without
    assert module.main([*words, "back", "--back-projection", "2"]) == 0
    net = command_restorer(module, weights)
    near("back/a_x2.png", ensemble.back_projection(direct, net, steps=2)(lq))


def command_restorer(module, weights):
    return module.load(module.parser().parse_args(["a", "--weights", weights, "--out", "out"]))


def test_interpolation_of_two_weight_sets(here, module, weights, direct):
    a = photo("a.png", 14, 11, 3)
    second = tiny_weights(here / "second.safetensors", seed=1)
    words = ["a.png", "--weights", weights, "--interpolate", second, "--out"]
    assert module.main([*words, "first", "--share", "0"]) == 0
    near("first/a_x2.png", direct(to_unit(a.colour)))
    assert module.main([*words, "between", "--share", "0.25"]) == 0
    (net, one), (_, two) = tiny(0), tiny(1)
    mixed = jax.tree.map(lambda x, y: 0.75 * x + 0.25 * y, one, two)
    expected = net.apply(mixed, to_unit(a.colour)[None], train=False)[0]
    near("between/a_x2.png", np.asarray(expected))
    with pytest.raises(SystemExit):
        module.main([*words, "not", "--share", "1.5"])


def test_formats_alpha_and_notes(here, module, weights, capsys):
    alpha = levels(8, 8, dtype=np.uint16, seed=3)
    photo("a.png", 8, 8, 3, dtype=np.uint16, alpha=alpha)
    photo("b.png", 8, 8, 3, dtype=np.uint16)
    words = ["a.png", "b.png", "--weights", weights, "--out"]
    assert module.main([*words, "jpeg", "--format", "jpeg"]) == 1
    said = capsys.readouterr()
    assert "a.png" in said.err and "transparency" in said.err and "8 bits" in said.out
    assert read_picture("jpeg/b_x2.jpg").colour.dtype == np.uint8
    assert module.main([*words, "tiff", "--format", "tiff", "--premultiplied"]) == 0
    assert read_picture("tiff/a_x2.tif").alpha.dtype == np.uint16
    options = ["--format", "webp", "--lossless", "--name", "{stem}", "--alpha", "network"]
    assert module.main([*words, "webp", *options]) == 0
    assert read_picture("webp/a.webp").alpha.shape == (16, 16)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--scale", "4"], "4"),
        (["--weights", "none.safetensors"], "none.safetensors"),
        (["--out", "out.png"], "named like a picture"),
        (["--name", "{other}"], "--name"),
        (["--interpolate", "none.pth"], "none.pth"),
        (["--report", "a.png/x"], "--report a.png/x cannot be written"),
    ],
)
def test_nothing_is_begun_with_wrong_options(here, module, weights, capsys, words, said):
    photo("a.png", 8, 8, 3)
    assert module.main(["a.png", "--weights", weights, "--out", "out", *words]) == 2
    found = capsys.readouterr()
    assert found.err.startswith("restore: error: ") and said in found.err
    assert found.err.count("\n") == 1 and "Traceback" not in found.err
    assert not (here / "out").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--tile", "8"],
        ["--quality", "0"],
        ["--format", "gif"],
        ["--memory-mib", "few"],
        ["--scale", "0"],
        ["--share", "2"],
        ["--max-megapixels", "nan"],
    ],
)
def test_wrong_numbers_are_named(module, capsys, words):
    with pytest.raises(SystemExit) as stop:
        module.main(["a.png", "--weights", "w", "--out", "out", *words])
    assert stop.value.code == 2 and words[0] in capsys.readouterr().err


def test_ctrl_c_keeps_what_is_written(here, module, weights, capsys, monkeypatch):
    for name in "abc":
        photo(f"{name}.png", 8, 8, 3)
    real, calls = module.restore_picture, []

    def stopped(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(module, "restore_picture", stopped)
    words = ["a.png", "b.png", "c.png", "--weights", weights, "--out", "out", "--report", "r"]
    assert module.main(words) == 130
    assert "stopped: 1 restored, in out" in capsys.readouterr().err
    assert [each.name for each in (here / "out").iterdir()] == ["a_x2.png"]
    assert len(open("r").readlines()) == 1


def test_a_picture_too_large_for_memory_is_one_failure(here, module, weights, capsys, monkeypatch):
    photo("a.png", 8, 8, 3)

    def full(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(module, "restore_picture", full)
    assert module.main(["a.png", "--weights", weights, "--out", "out"]) == 1
    assert "a.png: no memory" in capsys.readouterr().err


def test_a_folder_that_takes_no_file_is_refused_before_the_work(
    here, module, weights, capsys, monkeypatch
):
    photo("a.png", 8, 8, 3)
    (here / "file").write_text("")
    monkeypatch.setattr(module, "restore_picture", pytest.fail)
    assert module.main(["a.png", "--weights", weights, "--out", "file/out"]) == 2
    found = capsys.readouterr().err
    assert (
        found
        == "restore: error: --out file/out cannot be written (Not a directory): name another folder.\n"
    )


def test_progress_inside_a_picture(module, capsys, monkeypatch):
    """4 MP in 8 windows of 20 s each: 0.025 MP/s; off a terminal a line when 30 s have passed."""
    clock = iter([0.0, *(20.0 * k for k in range(1, 9))])
    now = [next(clock)]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    tell = module.windows(4.0)
    for done, now[0] in enumerate(clock, start=1):
        tell(done, 8)
    assert capsys.readouterr().err.splitlines() == [
        "  window 2/8, 0.025 MP/s, 2 min 00 s left", "  window 4/8, 0.025 MP/s, 1 min 20 s left",
        "  window 6/8, 0.025 MP/s, 40 s left",
    ]  # fmt: skip
