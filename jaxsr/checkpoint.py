"""Saving and restoring: orbax checkpoints of the whole `State`, and weight files of one network.

This is the only module that talks to orbax. A work folder holds `checkpoints/` (the latest few)
and `best/` (the one with the best validation metric). Order of precedence when a run starts: its
own latest checkpoint, else the weights that the config names for a network, else random weights.
"""

import contextlib
import importlib.metadata
import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import flax
import jax
import numpy as np
import orbax.checkpoint as ocp
import safetensors
from safetensors.numpy import save as safe_bytes

from jaxsr.disk import in_one_move
from jaxsr.state import State
from jaxsr.types import Tree, UserError

# sections of a config that change how a run is watched or placed, but not the weights that it makes
WATCHING = ("train.", "evaluation.", "data.root", "data.workers", "data.cache_mib", "placement")


def manager(folder: Path, *, keep: int) -> ocp.CheckpointManager:
    """An orbax manager that keeps the `keep` latest checkpoints of a folder.

    What a killed run left unfinished there is removed, so no other run may be writing into it.
    """
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        create=True,
        cleanup_tmp_directories=True,
        # a failed write is raised where it can be named, not in a background thread a save later
        enable_async_checkpointing=False,
    )
    try:
        return ocp.CheckpointManager(folder.absolute(), options=options)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror}): name another folder with --workdir."
        ) from error


def reader(folder: Path) -> ocp.CheckpointManager:
    """An orbax manager that only reads: it may look into the folder of a run in progress."""
    handlers = {"state": ocp.StandardCheckpointHandler(), "notes": ocp.JsonCheckpointHandler()}
    options = ocp.CheckpointManagerOptions(create=False)
    return ocp.CheckpointManager(folder.absolute(), options=options, item_handlers=handlers)


def _reason(error: Exception) -> str:
    """The first sentence of an error, without the dump that orbax and tensorstore add."""
    error = error.__cause__ or error
    text = str(error.args[0] if error.args else "").strip() or type(error).__name__
    return text.splitlines()[0].split(". ")[0].rstrip(".:")[:200]


def save(to: ocp.CheckpointManager, state: State, notes: Mapping[str, Any]) -> None:
    """Saves the state and JSON notes under the state's step; UserError where the disk refuses."""
    step = int(state.step)
    if step in to.all_steps():
        return  # a run that was killed between this save and its next step repeats the step before
    try:
        to.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state), notes=ocp.args.JsonSave(dict(notes))
            ),
        )
    except (OSError, ValueError) as error:
        # tensorstore's errors of the disk are ValueErrors that begin with a status
        if isinstance(error, ValueError) and not re.match("[A-Z_]+: ", str(error)):
            raise
        raise UserError(
            f"the checkpoint of step {step} cannot be written to {to.directory} "
            f"({_reason(error)}); earlier ones are untouched: free some space and run the same "
            "command again."
        ) from error


def restore(
    source: ocp.CheckpointManager, target: State | None
) -> tuple[Any, dict[str, Any]] | None:
    """The latest checkpoint as (state, notes), or None where there is none.

    target: a state of `jax.ShapeDtypeStruct` with shardings; arrays arrive placed like it. None, of
            a `reader` only: all arrays on one device of this host, however many wrote them, in
            plain dicts and lists
    Raises UserError where the checkpoint is truncated or belongs to another network.
    """
    step = source.latest_step()
    if step is None:
        return None
    with _reading(source, step):
        if target is None:
            here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
            target = jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here),
                source.item_metadata(step).state.tree,
            )
        held = source.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(target), notes=ocp.args.JsonRestore()
            ),
        )
    return held.state, held.notes


@contextlib.contextmanager
def _reading(source: ocp.CheckpointManager, step: int) -> Iterator[None]:
    """Makes a UserError that names the folder of a checkpoint of whatever its reading raises."""
    try:
        yield
    except Exception as error:  # orbax, tensorstore and json raise types of their own
        raise UserError(
            f"the checkpoint {Path(source.directory) / str(step)} cannot be read: it is truncated "
            f"or of another network ({_reason(error)}). "
            "Remove that folder to go on from the one before, or name another --workdir."
        ) from error


def read_notes(source: ocp.CheckpointManager) -> dict[str, Any] | None:
    """The JSON notes of the latest checkpoint alone, or None; UserError where it is damaged."""
    step = source.latest_step()
    if step is None:
        return None
    with _reading(source, step):
        return source.restore(step, args=ocp.args.Composite(notes=ocp.args.JsonRestore())).notes


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} as {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def check_config(workdir: Path, config: Mapping[str, Any]) -> None:
    """Writes the config into a new work folder; refuses one whose config differs in what matters.

    Raises UserError that names the keys with both values, or that the folder belongs to another
    experiment.
    """
    path, text = workdir / "config.json", json.dumps(config, indent=1, sort_keys=True)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            if (workdir / "checkpoints").exists():
                raise UserError(
                    f"{workdir} has checkpoints but no config.json: it is not a work folder of "
                    "jaxsr; name another --workdir."
                )
            write_text(path, text)
            return
        # both through JSON, which makes lists of tuples
        old, new = (flatten(json.loads(held)) for held in (path.read_text(encoding="utf-8"), text))
    except OSError as error:
        raise UserError(
            f"{workdir} cannot be written ({error.strerror}): name another folder with --workdir."
        ) from error
    except (ValueError, AttributeError) as error:
        raise UserError(
            f"{path} is not a config in JSON any more: restore it, or name another --workdir."
        ) from error
    if old.get("name") != new["name"]:
        raise UserError(
            f"{workdir} holds the experiment {old.get('name')!r}, not {new['name']!r}: "
            "name another --workdir."
        )
    differ = [
        f"{key} ({old.get(key)!r} there, {new.get(key)!r} now)"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and not key.startswith(WATCHING)
    ]
    if differ:
        raise UserError(
            f"{workdir} was started with another config: {', '.join(differ)}. "
            "Use the old values, or name another --workdir."
        )


def write_text(path: Path, text: str) -> None:
    """Writes a text file in one move, so that a kill leaves the old one or the new one."""
    with in_one_move(path) as part:
        part.write_text(text, encoding="utf-8")


def provenance() -> dict[str, str]:
    """Versions of the libraries that decide the numbers, and the git revision.

    The revision is «unknown» outside a checkout and where there is no git.
    """
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        asked = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
        revision = asked.stdout.strip()
    except OSError:
        revision = ""
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
    versions = {name: importlib.metadata.version(name) for name in packages}
    return versions | {"git": revision or "unknown", "device": jax.devices()[0].device_kind}


def save_weights(path: Path, variables: Mapping[str, Tree], card: Mapping[str, Any]) -> None:
    """Writes the variables of one network as safetensors; names are tree paths joined by «/».

    card: JSON values kept in the file's header under `card`: at least `network`, its constructor's
          section
    Raises UserError where the file cannot be written.
    """
    flat = flax.traverse_util.flatten_dict(dict(variables), sep="/")
    # not ascontiguousarray, which makes a vector of a scalar
    arrays = {name: np.asarray(value, order="C") for name, value in sorted(flat.items())}
    try:
        with in_one_move(path) as part:
            text = json.dumps(dict(card), sort_keys=True)
            part.write_bytes(safe_bytes(arrays, metadata={"card": text}))
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}): choose another folder, or make room."
        ) from error


def is_ours(path: Path) -> bool:
    """Whether a file is safetensors with a card of `save_weights`, or so damaged that nobody can tell."""
    if path.suffix != ".safetensors":
        return False
    try:
        with safetensors.safe_open(path, framework="numpy") as held:
            return "card" in (held.metadata() or {})
    except (safetensors.SafetensorError, OSError):
        return True


def load_weights(path: Path) -> tuple[dict[str, Tree], dict[str, Any]]:
    """Reads what `save_weights` wrote: (variables, card). Nothing in the file is executed.

    Raises UserError where the file is missing, truncated, or not one of ours.
    """
    if not path.is_file():
        raise UserError(f"there is no weight file {path}: check the name.")
    try:
        with safetensors.safe_open(path, framework="numpy") as held:
            card = json.loads((held.metadata() or {})["card"])
            arrays = {name: held.get_tensor(name) for name in held.keys()}
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(
            f"{path} is not a whole safetensors file ({error}): fetch it again."
        ) from error
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{path} has no jaxsr card in its header, so it was not written by jaxsr: "
            "name a file of scripts/save_weights.py."
        ) from error
    return flax.traverse_util.unflatten_dict(arrays, sep="/"), card


def load_run(
    workdir: Path, network: str = "", member: str = ""
) -> tuple[dict[str, Tree], dict[str, Any]]:
    """Variables and card of one network of a run: its best checkpoint, else its latest.

    They are the averaged weights where the run keeps them.
    network: «» is the generator, or the first one of a run that has none (an agent, a toolbox)
    member:  of several runs in one (`wrap.several`), by its name, for example its seed; «» is the first
    Raises UserError where the folder holds no checkpoint, a damaged one, or no such member.
    """
    for name in ("best", "checkpoints"):
        if not (workdir / name).is_dir():
            continue
        with reader(workdir / name) as source:
            held = restore(source, None)
        if held is None:
            continue
        state, notes = held
        state = _alone(workdir, state, list(notes["config"]["networks"]), member)
        if not network:
            network = "gen" if "gen" in state["params"] else next(iter(notes["config"]["networks"]))
        averaged = network == "gen" and "ema" in state["extra"]
        variables = {"params": state["extra"]["ema"] if averaged else state["params"][network]}
        if network in state["extra"].get("batch_stats", {}):
            variables["batch_stats"] = state["extra"]["batch_stats"][network]
        card = {
            "network": notes["config"]["networks"][network], "step": int(state["step"]),
            "config": notes["config"], "versions": notes["versions"],
        }  # fmt: skip
        return variables, card
    raise UserError(
        f"{workdir} holds no checkpoint: name a work folder of a run, or a weight file."
    )


def _alone(
    workdir: Path, state: dict[str, Any], networks: Sequence[str], member: str
) -> dict[str, Any]:
    """The state of one member of several runs; that of a single run as it is."""
    params = state["params"]
    if set(params) <= set(networks) and not member:
        return state
    names = [] if set(params) <= set(networks) else list(params)
    if member and member not in names:
        held = f"it has {', '.join(names)}" if names else "it is a single run"
        raise UserError(f"{workdir} has no run {member!r}: {held}.")
    held = {part: state[part][member or names[0]] for part in ("params", "opt", "extra")}
    return dict(state) | held


def warm_start(drawn: dict[str, Tree], loaded: dict[str, Tree], *, source: str) -> dict[str, Tree]:
    """`loaded` in the place of the drawn variables; UserError names the tensors that do not fit."""
    old = flax.traverse_util.flatten_dict(drawn, sep="/")
    new = flax.traverse_util.flatten_dict(loaded, sep="/")
    wrong = sorted(
        name for name in old.keys() | new.keys()
        if name not in old or name not in new or old[name].shape != new[name].shape
    )  # fmt: skip
    if wrong:
        raise UserError(
            f"{source} does not fit the network of the config: {len(wrong)} tensors differ, first "
            f"{', '.join(wrong[:3])}. Name weights of the same network and size."
        )
    return loaded


def grow_params(
    grow: Callable[[Tree, Tree], Tree],
    drawn: dict[str, Tree],
    parent: dict[str, Tree],
    section: Mapping[str, Any],
) -> dict[str, Tree]:
    """The drawn variables with parameters that grow from the parent's; its section says nothing more.

    grow: (params, parent's params) -> params
    """
    del section
    return drawn | {"params": grow(drawn["params"], parent["params"])}
