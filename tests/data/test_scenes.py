"""jaxsr.data.scenes: the layout of OST, its categories and maps."""

import numpy as np
import pytest

from jaxsr.data.images import write_png
from jaxsr.data.pipeline import batches
from jaxsr.data.scenes import scenes
from jaxsr.data.sources import fetch, folder, load
from jaxsr.data.tables import read_categories
from jaxsr.data.transforms import sft_sample
from jaxsr.outdoor import DISCRIMINATOR, NAMES
from jaxsr.types import UserError

# the classes of the discriminator by their names (xinntao/SFTGAN)
LABELS = {name: label for name, label in zip(NAMES, DISCRIMINATOR, strict=True)}
FILES = ("animal_001", "building-2", "x/Plant3", "sky/grass_1", "OST_7", "water")


def picture(seed, h=50, w=67):
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8)


def levels(seed, h=48, w=64):
    p = np.random.default_rng(seed).dirichlet(np.full(8, 0.2), (h, w))
    return np.round(p * 255).astype(np.uint8)


@pytest.fixture
def ost(tmp_path):
    """The layout below a folder whose name has a category, which must not count."""
    root = tmp_path / "plants" / "OST"
    for seed, name in enumerate(FILES):
        write_png(root / "img" / f"{name}.png", picture(seed))
        maps = root / "bicseg" / f"{name}.npy"
        maps.parent.mkdir(parents=True, exist_ok=True)
        np.save(maps, levels(seed))
    return root


def test_categories_come_from_the_path_below_the_root(ost):
    found = {item.name: item.category for item in scenes(ost / "img", maps=ost / "bicseg")}
    assert found == {
        "animal_001": LABELS["animal"],
        "building-2": LABELS["building"],
        "x/Plant3": LABELS["plant"],
        "sky/grass_1": LABELS["sky"],  # from the root down
        "OST_7": 0,
        "water": LABELS["water"],
    }
    assert all(item.category is None for item in scenes(ost / "img", categories=""))


def test_the_shipped_table_has_the_seven_categories_of_the_reference():
    order = ("building", "plant", "mountain", "water", "sky", "grass", "animal")
    assert [read_categories("ost")[word] for word in order] == [1, 2, 3, 4, 5, 6, 7]


def test_own_tables_and_names_without_a_category(ost, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("word,category\nOST,mountain\n")
    found = {item.name: item.category for item in scenes(ost / "img", categories=table)}
    assert found.pop("OST_7") == LABELS["mountain"] and set(found.values()) == {0}
    table.write_text("word,category\nlake,water\n")
    with pytest.raises(UserError, match=r"no path below .*img names a category \(lake\)"):
        scenes(ost / "img", categories=table)
    for text, words in (
        ("a,b\n", "must begin with the line word,category"),
        ("word,category\nsea lion,animal\n", "line 2: the word 'sea lion' must be of letters"),
        ("word,category\nsea,wader\n", "'wader' is no category; did you mean 'water'"),
        ("word,category\nsea,water\nSea,water\n", "line 3: the word 'sea' must .* occur once"),
    ):
        table.write_text(text)
        with pytest.raises(UserError, match=words):
            read_categories(table)


def test_two_categories_in_one_name_are_not_guessed(ost):
    write_png(ost / "img" / "grass_and_sky.png", picture(0))
    with pytest.raises(UserError, match="grass_and_sky.png names two categories, grass and sky"):
        scenes(ost / "img")


@pytest.mark.parametrize("cache", [0, 100])
def test_samples_carry_map_and_category_inside_and_beyond_the_cache(ost, cache):
    samples = load(scenes(ost / "img", maps=ost / "bicseg"), cache_mib=cache)
    assert ["hq" in sample for sample in samples] == [bool(cache)] * len(FILES)
    for sample in samples:
        seed = FILES.index(sample["name"])
        read = fetch(sample)
        # the image is cut to its map, which is that of the image cut to multiples of 8
        np.testing.assert_array_equal(read["hq"], picture(seed)[:48, :64])
        np.testing.assert_array_equal(read["prior"], levels(seed))
        assert not isinstance(read["prior"], np.memmap) and not read["prior"].flags.writeable
        assert read["size"] == (48, 64)
    plain = load(folder(ost / "img"))
    assert [sample["hash"] for sample in samples] == [sample["hash"] for sample in plain]


def test_maps_are_found_by_path_or_stem_as_arrays_or_annotations(ost):
    (ost / "bicseg" / "x" / "Plant3.npy").rename(ost / "bicseg" / "Plant3.npy")
    (ost / "bicseg" / "water.npy").unlink()
    write_png(ost / "bicseg" / "water.png", np.full((50, 67), 2, np.uint8))
    items = {item.name: item for item in scenes(ost / "img", maps=ost / "bicseg")}
    assert items["x/Plant3"].prior == ost / "bicseg" / "Plant3.npy"
    (water,) = load([items["water"]])
    assert (water["prior"] == 255 * np.eye(8, dtype=np.uint8)[2]).all()
    assert water["prior"].shape == (48, 64, 8)


def test_missing_and_misfit_maps_are_named(ost):
    for name in ("OST_7", "water"):
        (ost / "bicseg" / f"{name}.npy").unlink()
    words = r"no prior map .*bicseg/OST_7.npy, nor for 1 more of 6 images: make .*make_maps.py"
    with pytest.raises(UserError, match=words):
        scenes(ost / "img", maps=ost / "bicseg")
    (ost / "bicseg" / "water.pth").touch()
    with pytest.raises(UserError, match="the .pth files of the reference are not read"):
        scenes(ost / "img", maps=ost / "bicseg")
    with pytest.raises(UserError, match="there is no folder .*gone of prior maps"):
        scenes(ost / "img", maps=ost / "gone")
    for name in ("OST_7", "water"):
        np.save(ost / "bicseg" / f"{name}.npy", levels(0)[:40])
    with pytest.raises(UserError, match=r"OST_7.npy is 40×64, its image 50×67"):
        load(scenes(ost / "img", maps=ost / "bicseg"))


def test_a_batch_of_scenes_depends_on_seed_and_step_only(ost):
    def make(cache):
        samples = load(scenes(ost / "img", maps=ost / "bicseg"), cache_mib=cache)
        grey = [{"name": "b", "hq": picture(9), "size": (50, 67), "prior": "background"}]
        transform = sft_sample(size=32)
        groups = [(samples, 0.9), (grey, 0.1)]
        return batches(groups, seed=5, batch_size=4, transform=transform, drawn=True)

    first, again = make(100), make(0)
    for step in (3, 0, 41):
        a, b = first[step], again[step]
        assert all(np.array_equal(a[key], b[key]) for key in ("hq", "lq", "seg", "label"))
        np.testing.assert_allclose(a["seg"].sum(-1), 1, atol=1e-6)
    labels = np.concatenate([first[step]["label"] for step in range(12)])
    assert set(labels) >= {LABELS["animal"], LABELS["sky"], LABELS["plant"], 0}
