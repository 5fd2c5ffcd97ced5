"""jaxsr.data.sources: items, samples, the cache, leaks."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from jaxsr.data import sources
from jaxsr.data.images import content_hash, write_png
from jaxsr.data.sources import Item, check_leak, fetch, folder, labelled, load, photographs
from jaxsr.types import UserError


def picture(seed, h=12, w=16):
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8)


@pytest.fixture
def pairs(tmp_path):
    """Four images in two depths of folders, with label maps of values 0..7."""
    for i, name in enumerate(["b", "a", "sub/c", "sub/deep/d"]):
        write_png(tmp_path / "images" / f"{name}.png", picture(i))
        write_png(tmp_path / "labels" / f"{name}.png", picture(i)[..., 0] % 8)
    return tmp_path


def silent(line):
    raise AssertionError(f"nothing should be reported: {line}")


def test_photographs_without_download_or_import():
    # A fresh interpreter: other tests may have imported these packages.
    code = (
        "import sys; from jaxsr.data.sources import photographs\n"
        "assert all(i.image.is_file() and i.labels is None for i in photographs())\n"
        "print(*(i.name for i in photographs()))\n"
        "assert not {'skimage', 'sklearn', 'pooch'} & set(sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert out.stdout.split() == sorted(sources.PHOTOGRAPHS) and len(out.stdout.split()) == 17


def test_photographs_by_name():
    items = photographs(names=("rocket", "chelsea", "rocket"))
    assert [item.name for item in items] == ["chelsea", "rocket"]
    sizes = {s["name"]: s["size"] for s in load(items, report=silent)}
    assert sizes == {"chelsea": (300, 451), "rocket": (427, 640)}  # measured in the wheels
    with pytest.raises(UserError, match="'chelse'; did you mean 'chelsea'"):
        photographs(names=("chelse",))


def test_photographs_of_a_missing_package(monkeypatch):
    monkeypatch.setitem(sources.PHOTOGRAPHS, "rocket", "skimage/data/gone.jpg")
    with pytest.raises(UserError, match="scikit-image has no file data/gone.jpg"):
        photographs(names=("rocket",))


def test_folder_is_recursive_sorted_and_named_by_place(pairs):
    (pairs / "images" / "note.txt").write_text("no image")
    (pairs / "images" / "._a.png").write_text("what some systems leave behind")
    (pairs / "images" / ".thumbs").mkdir()
    write_png(pairs / "images" / ".thumbs" / "a.png", picture(9))
    Image.fromarray(picture(5)).save(pairs / "images" / "E.JPG")
    items = folder(pairs / "images")
    assert [item.name for item in items] == ["E", "a", "b", "sub/c", "sub/deep/d"]
    assert items[3] == Item("sub/c", pairs / "images" / "sub" / "c.png", None)
    assert folder(str(pairs / "images")) == items


def test_folder_lists(pairs):
    (pairs / "list.txt").write_text("# two of them\nc\n\nb\n")
    names = lambda **k: [item.name for item in folder(pairs / "images", **k)]  # noqa: E731
    assert names(include=pairs / "list.txt") == ["b", "sub/c"]
    assert names(exclude=pairs / "list.txt") == ["a", "sub/deep/d"]
    assert names(exclude="msrc_v2_test") == ["a", "b", "sub/c", "sub/deep/d"]
    with pytest.raises(UserError, match="no image left"):
        names(include=pairs / "list.txt", exclude=pairs / "list.txt")
    with pytest.raises(UserError, match="lacks 120 files .* first '10_1_s'"):
        names(include="msrc_v2_test")


def test_folder_mistakes(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no image left"):
        folder(tmp_path / "empty")
    with pytest.raises(UserError, match="no folder"):
        folder(tmp_path / "none")
    write_png(tmp_path / "twice" / "a.png", picture(0))
    Image.fromarray(picture(0)).save(tmp_path / "twice" / "a.bmp")
    with pytest.raises(UserError, match="one name"):
        folder(tmp_path / "twice")


def test_labelled_pairs_by_stem(pairs):
    # The label folder need not have the same sub-folders.
    (pairs / "labels" / "sub" / "c.png").rename(pairs / "labels" / "c.png")
    items = labelled(pairs / "images", pairs / "labels")
    assert [item.name for item in items] == ["a", "b", "sub/c", "sub/deep/d"]
    assert all(item.labels.stem == item.image.stem for item in items)
    (pairs / "list.txt").write_text("c\na\n")
    for key, names in (("include", ["a", "sub/c"]), ("exclude", ["b", "sub/deep/d"])):
        kept = labelled(pairs / "images", pairs / "labels", **{key: pairs / "list.txt"})
        assert [item.name for item in kept] == names


@pytest.mark.parametrize(
    "gone, words", [("labels/a.png", "image 'a'"), ("images/b.png", "map 'b'")]
)
def test_labelled_names_the_missing_partner(pairs, gone, words):
    (pairs / gone).unlink()
    with pytest.raises(UserError, match=words):
        labelled(pairs / "images", pairs / "labels")


def test_labelled_refuses_a_stem_twice(pairs):
    write_png(pairs / "images" / "other" / "a.png", picture(7))
    with pytest.raises(UserError, match="one name"):
        labelled(pairs / "images", pairs / "labels")


def test_load_gives_locked_samples_in_order(pairs):
    samples = load(labelled(pairs / "images", pairs / "labels"), report=silent)
    assert [s["name"] for s in samples] == ["a", "b", "sub/c", "sub/deep/d"]
    assert samples[0]["size"] == (12, 16) and samples[0]["hash"] == content_hash(picture(1))
    np.testing.assert_array_equal(samples[0]["hq"], picture(1))
    np.testing.assert_array_equal(samples[0]["label"], picture(1)[..., 0] % 8)
    assert samples[0]["hq"].dtype == samples[0]["label"].dtype == np.uint8
    with pytest.raises(ValueError, match="read-only"):
        samples[0]["hq"][0, 0] = 0
    assert "label" not in load(folder(pairs / "images"))[0]


def test_load_maps_labels(pairs):
    rows = [f"{i},c,{name}" for i, name in enumerate(["ignore", "sky", "animal", *["water"] * 5])]
    (pairs / "t.csv").write_text("\n".join(["index,class,outdoor", *rows]))
    (sample, *_) = load(labelled(pairs / "images", pairs / "labels"), class_table=pairs / "t.csv")
    expected = np.array([255, 1, 7, 2, 2, 2, 2, 2])[picture(1)[..., 0] % 8]
    np.testing.assert_array_equal(sample["label"], expected)


def test_load_label_mistakes(pairs):
    items = labelled(pairs / "images", pairs / "labels")
    (pairs / "t.csv").write_text("index,class,outdoor\n0,a,sky\n")
    with pytest.raises(UserError, match="a.png has the value 1"):
        load(items, class_table=pairs / "t.csv")
    write_png(items[0].labels, np.full((12, 16), 8, np.uint8))
    with pytest.raises(UserError, match="the value 8"):  # without a table: 0..7 and 255
        load(items)
    write_png(items[0].labels, np.zeros((16, 12), np.uint8))
    with pytest.raises(UserError, match=r"a.png is 12x16 and its image 16x12"):
        load(items)


def test_load_skips_a_few_broken_files_and_says_so(pairs):
    items = labelled(pairs / "images", pairs / "labels")
    items[1].image.write_bytes(b"broken")
    lines = []
    samples = load(items, max_broken=0.25, report=lines.append)
    assert [s["name"] for s in samples] == ["a", "sub/c", "sub/deep/d"]
    assert len(lines) == 1 and str(items[1].image) in lines[0]
    items[2].labels.write_bytes(b"broken")
    with pytest.raises(UserError, match=r"2 of 4 images cannot be read \(b, sub/c\)"):
        load(items, max_broken=0.25, report=lines.append)
    with pytest.raises(UserError, match="1 of 1"):
        load(items[1:2], report=lines.append)


def test_load_checks_the_size(pairs):
    items = folder(pairs / "images")
    assert len(load(items, min_size=12)) == 4
    with pytest.raises(UserError, match="a.png is 16x12 pixels, below the 13"):
        load(items, min_size=13)


@pytest.mark.parametrize("mib, kept", [(0, 0), (2.1 * 12 * 16 * 4 / 2**20, 2), (1, 4)])
def test_fetch_is_the_same_inside_and_beyond_the_cache(pairs, mib, kept):
    items = labelled(pairs / "images", pairs / "labels")
    everything = load(items)
    samples = load(items, cache_mib=mib)
    assert ["hq" in s for s in samples] == [True] * kept + [False] * (4 - kept)
    for sample, whole in zip(samples, everything, strict=True):
        assert (sample["hash"], sample["size"]) == (whole["hash"], whole["size"])
        assert "label" in sample or "hq" not in sample
        read = fetch(sample | {"prior": "background"})
        np.testing.assert_array_equal(read["hq"], whole["hq"])
        np.testing.assert_array_equal(read["label"], whole["label"])
        assert read["prior"] == "background"


def test_fetch_notices_a_changed_file(pairs):
    (sample, *_) = load(folder(pairs / "images"), cache_mib=0)
    write_png(pairs / "images" / "a.png", picture(0, 20, 20))
    with pytest.raises(UserError, match="changed"):
        fetch(sample)


def test_check_leak_names_both_sides(pairs):
    train = load(folder(pairs / "images"))
    Image.fromarray(picture(2)).save(pairs / "copy.bmp")  # sub/c in another format
    test = load([Item("new", pairs / "copy.bmp", None)])
    with pytest.raises(UserError, match="1 test images .*sub/c = new"):
        check_leak(train, test)
    check_leak(train[:2], test)
    check_leak(train, ())


def test_real_labelled_photographs(shared):
    place = shared / "msrc_v2"
    items = labelled(place / "images", place / "labels", include="msrc_v2_test")
    samples = load(items[::6], class_table="msrc_v2", report=silent)
    assert len(samples) == 20
    for sample in samples:
        assert set(np.unique(sample["label"])) <= {0, 1, 2, 3, 4, 5, 6, 7, 255}
        assert sample["hq"].shape[:2] == sample["label"].shape == sample["size"]
    train = labelled(place / "images", place / "labels", exclude="msrc_v2_test")
    assert len(train) == 471 and not {i.name for i in train} & {i.name for i in items}


def test_equal_pictures_of_the_real_set_are_found(shared):
    place = shared / "msrc_v2" / "images"
    load_one = lambda name: load([Item(name, place / f"{name}.jpg", None)])  # noqa: E731
    for a, b in (("1_27_s", "9_15_s"), ("1_26_s", "9_10_s")):  # README of the set
        with pytest.raises(UserError, match=f"{a} = {b}"):
            check_leak(load_one(a), load_one(b))
    check_leak(load_one("1_26_s"), load_one("9_15_s"))
