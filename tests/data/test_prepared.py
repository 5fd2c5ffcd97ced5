"""jaxsr.data.prepared: a set in the format of tensorflow-datasets, read without TensorFlow."""

import importlib.util
import json
import runpy
import subprocess
import sys

import numpy as np
import pytest

from jaxsr import build, train
from jaxsr.data.images import encode_png
from jaxsr.data.pipeline import batches, iterate
from jaxsr.data.prepared import prepared
from jaxsr.data.sources import fetch
from jaxsr.data.transforms import paired_crop
from jaxsr.types import UserError

needs_tfds = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_datasets") is None,
    reason="tensorflow-datasets is not installed: pip install 'jaxsr[tfds]'",
)
HALF = {"train": 4, "validation": 2}


def low(split, k, h=10, w=12):
    return np.random.default_rng([k, HALF[split]]).integers(0, 256, (h, w, 3), np.uint8)


def note(folder, kind="array_record"):
    """dataset_info.json as tensorflow-datasets writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    splits = [
        {
            "name": name, "shardLengths": [str(count)], "numBytes": "9999",
            "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        }
        for name, count in HALF.items()
    ]  # fmt: skip
    text = {"name": "div2k", "configName": "bicubic_x4", "version": folder.name, "fileFormat": kind}
    (folder / "dataset_info.json").write_text(json.dumps(text | {"splits": splits}))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A small div2k/bicubic_x4 with the files of a prepared one; `hr` has a row that `lr` has not."""
    tfds = pytest.importorskip("tensorflow_datasets")
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.proto import tf_example_pb2

    root = tmp_path_factory.mktemp("prepared")
    folder = root / "div2k" / "bicubic_x4" / "2.0.0"
    note(folder)
    image = tfds.features.Image(shape=(None, None, 3))
    others = {"id": tfds.features.Text()}
    tfds.features.FeaturesDict({"hr": image, "lr": image} | others).save_config(folder)
    for split, count in HALF.items():
        writer = ArrayRecordWriter(
            str(folder / f"div2k-{split}.array_record-00000-of-00001"), "group_size:1"
        )
        for k in range(count):
            small = low(split, k)
            large = np.pad(small.repeat(4, 0).repeat(4, 1), ((0, 1), (0, 0), (0, 0)))
            example = tf_example_pb2.Example()
            held = {"lr": encode_png(small), "hr": encode_png(large), "id": b"x"}
            for name, data in held.items():
                example.features.feature[name].bytes_list.value.append(data)
            writer.write(example.SerializeToString())
        writer.close()
    return root


def read(place, split="train", **options):
    options = {"image": "hr", "low": "lr", "scale": 4, "path": place} | options
    return prepared(options.pop("dataset", "div2k/bicubic_x4"), split=split, **options)


@pytest.mark.parametrize("cache", [0, 100])
def test_samples_are_the_images_of_the_split(cache, place):
    found = read(place, cache_mib=cache)
    assert [sample["name"] for sample in found] == [f"train/{k:06d}" for k in range(4)]
    for k, sample in enumerate(map(fetch, found)):
        np.testing.assert_array_equal(sample["lq"], low("train", k))
        np.testing.assert_array_equal(sample["hq"], low("train", k).repeat(4, 0).repeat(4, 1))
    plain = read(place, low="", split="validation")
    assert plain[0]["size"] == (41, 48) and "lq" not in plain[0]
    (part,) = read(place, split="train[3:]")
    np.testing.assert_array_equal(part["lq"], low("train", 3))


def test_batches_depend_on_seed_and_step_only_and_worker_processes_change_nothing(place):
    def make(cache):
        groups = [(read(place, cache_mib=cache), 1)]
        return batches(groups, seed=1, batch_size=2, transform=paired_crop(size=16, scale=4))

    ours, again = make(0), make(100)
    for step in (9, 0):
        assert all(np.array_equal(ours[step][key], again[step][key]) for key in ("hq", "lq"))
        np.testing.assert_array_equal(ours[step]["hq"], ours[step]["lq"].repeat(4, 1).repeat(4, 2))
    stream = iterate(ours, 9, workers=1, threads=1)
    resumed = next(stream)
    stream.close()
    np.testing.assert_array_equal(resumed["hq"], ours[9]["hq"])


def test_tensorflow_is_not_imported(place):
    code = (
        "import sys; from jaxsr.data.prepared import prepared\n"
        "from jaxsr.data.sources import fetch\n"
        "held = prepared('div2k/bicubic_x4', split='train', image='hr', low='lr', scale=4,"
        f" path={str(place)!r}, cache_mib=0)\n"
        "assert fetch(held[3])['hq'].shape == (40, 48, 3)\n"
        "assert 'tensorflow_datasets' in sys.modules and 'tensorflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_config_names_the_set(root, place):
    get_config = runpy.run_path(str(root / "configs" / "sftnet_psnr.py"))["get_config"]
    config = get_config("tiny,tfds")
    with config.unlocked():
        config.data.root = str(place.parent)
        for part in (config.data.train, config.data.test):
            part.div2k.path = place.name
    stream = train.batches(build.experiment(config), 0)
    batch = next(stream)
    stream.close()
    assert batch["hq"].shape == (2, 32, 32, 3) and batch["lq"].shape == (2, 8, 8, 3)


def test_what_the_set_has_not_is_named(place):
    for options, words in (
        ({"split": "trian"}, r"has no split 'trian': it has train, validation"),
        ({"split": "train[1:"}, r"has no split 'train\[1:'"),
        ({"image": "hq"}, "has no image 'hq': it has hr, lr"),
        ({"image": "id"}, "has no image 'id': it has hr, lr"),
        ({"scale": 3}, "its lr is 12x10 pixels, which times 3 is not the 48x41 of"),
    ):
        with pytest.raises(UserError, match=words):
            read(place, **options)


@needs_tfds
def test_damaged_files_are_named(tmp_path):
    folder = tmp_path / "div2k" / "bicubic_x4" / "2.0.0"
    note(folder)
    with pytest.raises(UserError, match="the data set in .*2.0.0 is damaged|has no image 'hr'"):
        read(tmp_path)


def test_a_set_that_is_not_prepared_says_how_to(tmp_path, monkeypatch):
    """Also without tensorflow-datasets, whose folder is looked into first."""
    mend = r"run tfds build div2k/bicubic_x4 --file_format=array_record --data_dir="
    with pytest.raises(UserError, match=f"div2k/bicubic_x4 is not prepared in .*{mend}{tmp_path}"):
        read(tmp_path)
    note(tmp_path / "div2k" / "bicubic_x4" / "2.0.0", kind="tfrecord")
    with pytest.raises(UserError, match=f"is prepared as tfrecord, .* remove it, and .*{mend}"):
        read(tmp_path)
    note(tmp_path / "div2k" / "bicubic_x4" / "10.0.0")
    with pytest.raises(UserError, match="bicubic_x4:3.0.0 is not prepared"):
        read(tmp_path, dataset="div2k/bicubic_x4:3.0.0")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "other"))
    with pytest.raises(UserError, match=f"not prepared in {tmp_path}/other"):
        read("")
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    # the higher version is the one that counts: it is in the right format
    with pytest.raises(UserError, match=r"cannot be imported .*: pip install 'jaxsr\[tfds\]'"):
        read(tmp_path)
