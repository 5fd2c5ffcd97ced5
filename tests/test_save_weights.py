"""Weight files: the same bits back, foreign ones refused, runs exported with their card."""

import json
import os
import pickle
import runpy
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from safetensors.numpy import save_file

from jaxsr import checkpoint
from jaxsr.state import State
from jaxsr.types import UserError

CONFIG = {
    "name": "toy", "seed": 3, "precision": "float32", "data": {"batch": 8},
    "networks": {"gen": {"name": "net", "width": 4}, "disc": {"name": "critic"}},
}  # fmt: skip
NOTES = {"config": CONFIG, "versions": {"jax": "0.1", "git": "abc", "device": "toy chip"}}


def tree(seed):
    rng = np.random.default_rng(seed)
    return {"conv": {"kernel": rng.standard_normal((3, 3, 2, 4)).astype(np.float32)}}


def run(folder, name, step, *, ema=True, stats=True):
    """A checkpoint: trees drawn from step, step + 10 (D), + 20 (EMA), + 30 (statistics)."""
    params = {"gen": tree(step), "disc": tree(step + 10)}
    extra = {"ema": tree(step + 20)} if ema else {}
    extra |= {"batch_stats": {"gen": tree(step + 30)}} if stats else {}
    opt = {"gen": optax.adam(1e-3).init(params["gen"])}
    state = State(step=jnp.int32(step), params=params, opt=opt, extra=extra)
    with checkpoint.manager(folder / name, keep=3) as held:
        checkpoint.save(held, jax.tree.map(jnp.asarray, state), NOTES)


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert (x.dtype, x.shape, np.asarray(x).tobytes()) == (y.dtype, y.shape, y.tobytes())


def test_round_trip_is_exact_in_every_type_and_order(tmp_path):
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal((2, 3, 4))
    params = {name: drawn.astype(name) for name in ("float32", "float64", "float16")}
    params |= {"bfloat16": np.asarray(jnp.asarray(drawn, jnp.bfloat16))}
    params |= {"int32": np.arange(5, dtype=np.int32), "scalar": np.asarray(np.float32(np.pi))}
    # PyTorch's kernels arrive transposed: not contiguous
    variables = {"params": {"block": params}, "batch_stats": {"turned": drawn.transpose(2, 0, 1)}}
    card = {"network": {"name": "net", "widths": [1, 2]}, "step": 7}
    checkpoint.save_weights(tmp_path / "a.safetensors", variables, card)
    found, held = checkpoint.load_weights(tmp_path / "a.safetensors")
    assert held == card
    assert_same(found, variables)
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_every_truncation_is_refused(tmp_path):
    whole, cut = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    checkpoint.save_weights(whole, {"params": tree(0)}, {"network": {}})
    data = whole.read_bytes()
    for length in (0, 4, 8, 30, len(data) // 2, len(data) - 1):
        cut.write_bytes(data[:length])
        with pytest.raises(UserError, match="b.safetensors is not a whole safetensors file"):
            checkpoint.load_weights(cut)


def test_files_that_are_not_ours(tmp_path):
    path = tmp_path / "a.safetensors"
    held = {"w": np.ones(3, np.float32)}
    for header in (None, {"format": "pt"}, {"card": "{not json"}):
        save_file(held, path, metadata=header)
        with pytest.raises(UserError, match="a.safetensors has no jaxsr card"):
            checkpoint.load_weights(path)
    with pytest.raises(UserError, match="there is no weight file .*none.safetensors"):
        checkpoint.load_weights(tmp_path / "none.safetensors")
    with pytest.raises(UserError, match="there is no weight file"):
        checkpoint.load_weights(tmp_path)


class Trap:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def test_a_pickle_under_our_name_is_refused_and_not_run(tmp_path):
    path = tmp_path / "a.safetensors"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps(Trap(tmp_path / "run"), protocol=protocol))
        with pytest.raises(UserError, match="is not a whole safetensors file"):
            checkpoint.load_weights(path)
    assert not (tmp_path / "run").exists()


def test_a_place_that_cannot_be_written_is_named_and_an_old_file_stays(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file/a.safetensors cannot be written"):
        checkpoint.save_weights(tmp_path / "file" / "a.safetensors", {"params": tree(0)}, {})
    path = tmp_path / "new" / "a.safetensors"
    checkpoint.save_weights(path, {"params": tree(0)}, {})
    assert path.stat().st_mode == (tmp_path / "file").stat().st_mode

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match="No space left"):
        checkpoint.save_weights(path, {"params": tree(1)}, {})
    assert_same(checkpoint.load_weights(path)[0], {"params": tree(0)})


def test_warm_start_takes_what_fits_and_names_what_does_not():
    drawn = {"params": {"a": {"kernel": np.zeros((3, 2))}, "b": {"kernel": np.zeros(4)}}}
    loaded = jax.tree.map(lambda leaf: leaf + 1, drawn)
    assert checkpoint.warm_start(drawn, loaded, source="x") is loaded
    other = {"params": {"a": {"kernel": np.zeros((2, 3))}, "c": {"kernel": np.zeros(4)}}}
    with pytest.raises(UserError, match="there.safetensors does not fit") as caught:
        checkpoint.warm_start(drawn, other, source="there.safetensors")
    message = str(caught.value)
    assert "3 tensors differ" in message
    assert "params/a/kernel, params/b/kernel, params/c/kernel" in message
    many = {"params": {f"layer{index}": np.zeros(1) for index in range(5)}}
    with pytest.raises(UserError, match=r"5 tensors differ, first .*layer0, .*layer2\. Name"):
        checkpoint.warm_start({}, many, source="x")


def test_load_run_prefers_the_best_checkpoint_and_averaged_weights(tmp_path):
    run(tmp_path, "checkpoints", 9)
    variables, card = checkpoint.load_run(tmp_path)
    assert card["step"] == 9 and card["network"] == CONFIG["networks"]["gen"]
    assert_same(variables, {"params": tree(29), "batch_stats": tree(39)})
    (tmp_path / "best").mkdir()  # nothing was kept there yet
    assert checkpoint.load_run(tmp_path)[1]["step"] == 9
    run(tmp_path, "best", 4)
    variables, card = checkpoint.load_run(tmp_path)
    assert card == {"network": CONFIG["networks"]["gen"], "step": 4} | NOTES
    assert_same(variables, {"params": tree(24), "batch_stats": tree(34)})
    # the average is that of the generator only
    variables, card = checkpoint.load_run(tmp_path, "disc")
    assert_same(variables, {"params": tree(14)})
    assert card["network"] == {"name": "critic"}


def test_load_run_without_averages_and_statistics(tmp_path):
    run(tmp_path, "checkpoints", 9, ema=False, stats=False)
    assert_same(checkpoint.load_run(tmp_path)[0], {"params": tree(9)})


def test_a_folder_without_checkpoints_is_named(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="holds no checkpoint") as caught:
        checkpoint.load_run(tmp_path)
    assert str(tmp_path) in str(caught.value)


FOUR = """
import sys
sys.path[:0] = sys.argv[1:3]
import jax, jaxsr.devices, test_save_weights as own
from pathlib import Path
place = jaxsr.devices.placement(seeds=1, split=True)
assert place.everywhere.mesh.size == 4
held = own.checkpoint.save
own.checkpoint.save = lambda to, state, notes: held(
    to, jax.device_put(state, place.everywhere), notes)
own.run(Path(sys.argv[3]), "checkpoints", 5)
"""


def test_a_run_on_four_devices_is_read_on_one(root, tmp_path):
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", FOUR, str(root), str(root / "tests"), str(tmp_path)],
        env=os.environ | flags, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    variables, _ = checkpoint.load_run(tmp_path)
    assert_same(variables, {"params": tree(25), "batch_stats": tree(35)})


def script(root, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["save_weights.py", *map(str, arguments)])
    runpy.run_path(str(root / "scripts" / "save_weights.py"), run_name="__main__")


def test_the_script_writes_the_weights_and_their_card(root, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    run(folder, "best", 4)
    # hours up to the checkpoint: 2 steps of 600 s, then 2 of 1200 s; step 6 was not used
    rows = [{"step": s, "loss": 1.0, "seconds_per_step": t} for s, t in ((2, 600), (4, 1200))]
    rows += [{"step": 4, "evaluation/psnr_y": 30.0}, {"step": 6, "seconds_per_step": 1e6}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "evaluation").mkdir()
    (folder / "evaluation" / "step_00000004.md").write_text("| toy | 30.0000 |\n")
    out = tmp_path / "out.safetensors"
    script(root, monkeypatch, folder, out, "--data", "three photographs")
    variables, card = checkpoint.load_weights(out)
    assert_same(variables, {"params": tree(24), "batch_stats": tree(34)})
    assert card == {"network": CONFIG["networks"]["gen"], "step": 4, "name": "toy"}
    text = (tmp_path / "out.md").read_text()
    for words in (
        "# out", "three photographs", "configs/toy.py", "seed 3", "4 steps of batch 8", "toy chip",
        "1.00 hours", "jax 0.1", "revision abc", "| toy | 30.0000 |",
    ):  # fmt: skip
        assert words in text, words
    assert "git abc" not in text
    assert "out.safetensors: 0.00 MB" in capsys.readouterr().out


def test_the_script_fails_in_one_sentence(root, tmp_path, monkeypatch):
    with pytest.raises(SystemExit) as caught:
        script(root, monkeypatch, tmp_path, tmp_path / "out.safetensors", "--data", "x")
    assert str(caught.value).startswith("save_weights: error: ")
    assert "holds no checkpoint" in str(caught.value)
    assert not (tmp_path / "out.safetensors").exists()
