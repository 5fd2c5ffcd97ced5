"""jaxsr.data.records and scripts/write_records.py: the samples of the folders again, from few files."""

import importlib.util
import json
import runpy

import numpy as np
import pytest
from PIL import Image

from jaxsr import build, train
from jaxsr.data.images import write_png
from jaxsr.data.pairs import pairs
from jaxsr.data.pipeline import batches, iterate
from jaxsr.data.records import records
from jaxsr.data.scenes import scenes
from jaxsr.data.sources import fetch, labelled, load
from jaxsr.data.transforms import crop, sft_sample
from jaxsr.types import UserError

NAMES = ("animal_1", "sky/2", "water_3", "x/grass", "y/plant_é")


def picture(seed, h=50, w=67):
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8)


@pytest.fixture(scope="module")
def command(root):
    spec = importlib.util.spec_from_file_location(
        "write_records", root / "scripts" / "write_records.py"
    )
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made.main


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Images (one a JPEG), maps, labels and low resolutions of the same names; the working folder."""
    for seed, name in enumerate(NAMES):
        write_png(tmp_path / "img" / f"{name}.png", picture(seed))
        write_png(tmp_path / "labels" / f"{name}.png", picture(seed)[..., 0] % 8)
        write_png(tmp_path / "lq" / f"{name}x4.png", picture(seed, 12, 16))
        (tmp_path / "maps" / name).parent.mkdir(parents=True, exist_ok=True)
        p = np.random.default_rng(seed).dirichlet(np.full(8, 0.2), (48, 64))
        np.save(tmp_path / "maps" / f"{name}.npy", np.round(p * 255).astype(np.uint8))
    (tmp_path / "img" / "water_3.png").unlink()
    Image.fromarray(picture(2)).save(tmp_path / "img" / "water_3.jpg", quality=80)
    monkeypatch.chdir(tmp_path)
    return tmp_path


SOURCES = {
    "maps": (
        ["--maps", "maps", "--categories", "ost"],
        lambda: load(scenes("img", maps="maps", categories="ost")),
    ),
    "labels": (["--labels", "labels"], lambda: load(labelled("img", "labels"))),
    "lq": (["--lq", "lq", "--scale", "4"], lambda: load(pairs("img", "lq", scale=4))),
    "images": ([], lambda: load(scenes("img", categories=""))),
}


def same(found, expected):
    assert [sample["name"] for sample in found] == [sample["name"] for sample in expected]
    for ours, theirs in zip(map(fetch, found), map(fetch, expected), strict=True):
        assert ours.keys() - {"reading"} == theirs.keys() - {"reading"}
        for key in theirs.keys() - {"reading"}:
            np.testing.assert_array_equal(ours[key], theirs[key])
        assert not ours["hq"].flags.writeable


@pytest.mark.parametrize("level", ["0", "6"])
def test_the_level_of_compression_changes_the_size_alone(level, place, command, capsys):
    flags, folder = SOURCES["labels"]
    for value in ("1", level):
        assert command(["img", *flags, "--out", "set", "--level", value]) == 0
        assert "5 written; " in capsys.readouterr().out
    same(records("set"), folder())
    assert command(["img", *flags, "--out", "set", "--level", level]) == 0
    assert "5 kept" in capsys.readouterr().out


@pytest.mark.parametrize("cache", [0, 0.04, 100])
@pytest.mark.parametrize("source", SOURCES)
def test_records_give_the_samples_of_the_folder(source, cache, place, command):
    flags, folder = SOURCES[source]
    assert command(["img", *flags, "--out", "set", "--shards", "2"]) == 0
    found = records("set", cache_mib=cache)
    # 50x67 of 3 to 11 bytes a pixel: 10 to 36 KiB
    kept = {0: 0, 0.04: {"maps": 1, "labels": 3, "lq": 2, "images": 4}[source], 100: 5}[cache]
    assert ["hq" in sample for sample in found] == [True] * kept + [False] * (5 - kept)
    same(found, folder())


def test_lists_of_stems_and_sizes(place, command):
    assert command(["img", "--out", "set"]) == 0
    (place / "list.txt").write_text("2\ngrass\n")
    assert [s["name"] for s in records("set", include="list.txt")] == ["sky/2", "x/grass"]
    left = [s["name"] for s in records("set", exclude="list.txt")]
    assert left == ["animal_1", "water_3", "y/plant_é"]
    (place / "list.txt").write_text("gone\n")
    with pytest.raises(UserError, match="set lacks 1 images that list.txt lists, first 'gone'"):
        records("set", include="list.txt")
    with pytest.raises(UserError, match="animal_1 of set is 67x50 pixels, below the 51"):
        records("set", min_size=51, cache_mib=0)


def test_batches_are_those_of_the_folder_and_a_resumed_run_sees_the_same(place, command):
    assert command(["img", *SOURCES["maps"][0], "--out", "set", "--shards", "3"]) == 0

    def make(samples):
        return batches([(samples, 1)], seed=3, batch_size=4, transform=sft_sample(size=32))

    ours, theirs = make(records("set", cache_mib=0)), make(SOURCES["maps"][1]())
    for step in (11, 0, 4):
        a, b = ours[step], theirs[step]
        assert all(np.array_equal(a[key], b[key]) for key in ("hq", "lq", "seg", "label"))
    resumed = iterate(make(records("set", cache_mib=0)), 11, threads=2)
    found = next(resumed)
    resumed.close()
    assert all(np.array_equal(found[key], ours[11][key]) for key in found)


def test_worker_processes_read_the_same_records(place, command, tmp_path):
    assert command(["img", "--out", "set", "--shards", "2"]) == 0
    dataset = batches(
        [(records("set", cache_mib=0), 1)], seed=3, batch_size=2, transform=crop(size=16)
    )
    stream = iterate(dataset, workers=1, threads=1)
    found = [next(stream) for _ in range(2)]
    stream.close()
    for step, batch in enumerate(found):
        np.testing.assert_array_equal(batch["hq"], dataset[step]["hq"])


def test_a_command_that_was_stopped_goes_on_and_notices_changed_images(
    place, command, monkeypatch, capsys
):
    words = ["img", "--out", "set", "--shards", "5"]
    scope = command.__globals__
    write, made = scope["write_part"], []

    def stopped(part, *rest, **options):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(part)
        return write(part, *rest, **options)

    monkeypatch.setitem(scope, "write_part", stopped)
    assert command(words) == 130
    with pytest.raises(UserError, match="set holds 2 of 00005 files of its records"):
        records("set")
    monkeypatch.setitem(scope, "write_part", write)
    capsys.readouterr()
    assert command(words) == 0 and "3 written, 2 kept" in capsys.readouterr().out
    write_png("img/sky/2.png", picture(9))
    assert command(words) == 0 and "1 written, 4 kept" in capsys.readouterr().out
    np.testing.assert_array_equal(records("set")[1]["hq"], picture(9))
    assert not list((place / "set").glob(".*"))


def test_broken_images_are_named_and_left_out(place, command, capsys):
    whole = (place / "img" / "animal_1.png").read_bytes()
    (place / "img" / "broken.png").write_bytes(whole[:300])
    for _ in range(2):  # written, then kept
        assert command(["img", "--out", "set"]) == 1
        said = capsys.readouterr()
        assert "broken.png is damaged" in said.err and "1 left out" in said.out
    assert len(records("set")) == 5
    (place / "img" / "broken.png").write_bytes(whole)
    assert command(["img", "--out", "set"]) == 0 and len(records("set")) == 6


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--shards", "6"], "5 images cannot be shared out over 6 files"),
        (
            ["--labels", "labels", "--maps", "maps"],
            "--maps or --categories and --labels are different",
        ),
        (["--lq", "lq"], "--lq and --scale go together"),
        (["--class-table", "msrc_v2"], "--class-table is for --labels"),
        (["--lq", "lq", "--scale", "3"], "lacks a partner"),
        (["--maps", "nowhere"], "there is no folder nowhere of prior maps"),
    ],
)
def test_mistakes_are_one_sentence(words, sentence, place, command, capsys):
    assert command(["img", "--out", "set", *words]) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1


def test_sets_that_are_not_whole_or_damaged_are_named(place, command, capsys):
    with pytest.raises(UserError, match="there are no records in set: .*write_records.py"):
        records("set")
    assert command(["img", "--out", "set", "--shards", "2"]) == 0
    assert command(["img", "--out", "set", "--shards", "1"]) == 2
    assert "holds other records, records-00000-of-00002" in capsys.readouterr().err
    note, file = (place / "set" / f"records-00001-of-00002.{e}" for e in ("json", "array_record"))
    text, data = note.read_text(), file.read_bytes()
    for broken, words in (
        (text[:-9], "is no list of records"),
        (json.dumps(json.loads(text) | {"version": 9}), r"is of another version \(9\)"),
        (json.dumps(json.loads(text) | {"entries": []}), "holds 5 records and lists 2"),
    ):
        note.write_text(broken)
        with pytest.raises(UserError, match=words):
            records("set")
    note.write_text(text)
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="the records in set are damaged"):
        records("set")
    flipped = bytearray(data)
    flipped[1000] ^= 255  # in the first record of the file
    file.write_bytes(flipped)
    said = []
    assert len(records("set", max_broken=0.5, report=said.append)) == 4
    assert "the record water_3 of set is damaged" in said[0]
    lazy = {sample["name"]: sample for sample in records("set", cache_mib=0)}
    with pytest.raises(UserError, match="the record water_3 of set is damaged"):
        fetch(lazy["water_3"])


def test_a_config_reads_records(root, place, command, monkeypatch, capsys):
    for name in NAMES:  # larger ones for the crop of the smallest preset
        write_png(place / "img" / f"{name}.png", picture(len(name), 80, 96))
        np.save(place / "maps" / f"{name}.npy", np.full((80, 96, 8), 0.125, np.float16))
    (place / "img" / "water_3.jpg").unlink()
    assert command(["img", *SOURCES["maps"][0], "--out", "set"]) == 0
    config = runpy.run_path(str(root / "configs" / "sftnet.py"))["get_config"]("tiny")
    with config.unlocked():
        config.data.root, config.data.cache_mib = str(place), 0
        config.data.train = {"ost": {"kind": "records", "path": "set", "weight": 1.0}}
    made = build.experiment(config)
    assert "5 images: sky 1, water 1, grass 1, plant 1, animal 1" in capsys.readouterr().out
    stream = train.batches(made, 0)
    batch = next(stream)
    stream.close()
    assert batch["seg"].shape == (2, 32, 32, 8) and set(batch["label"]) <= {2, 4, 5, 6, 7}
    with config.unlocked():
        config.data.train.ost.prior = "prior_net"
    with pytest.raises(UserError, match="data.train.ost has stored maps and prior"):
        build.experiment(config)
