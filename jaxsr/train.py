"""The loop: restore → batch → step → log → evaluate → save. It knows no paper."""

import contextlib
import functools
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from clu import parameter_overview

from jaxsr import checkpoint, devices, logs, memory, processes
from jaxsr.devices import Placement
from jaxsr.state import State, step_key, stream
from jaxsr.types import Algorithm, Batch, Tree, UserError

# the totals among the metrics, which the console line shows; the files hold all of them
TOTALS = (
    "loss",
    "psnr",
    "psnr average",
    "loss/gen",
    "loss/disc",
    "D(real)",
    "D(fake)",
    "grad_norm/gen",
)


class Loop(NamedTuple):
    """How long a run is, and how often it reports; none of it changes the weights.

    steps: number of steps; log_every, eval_every, checkpoint_every: intervals in steps (eval_every 0:
    at the end only); keep: checkpoints kept; best: name of the validation metric whose best checkpoint is
    kept («» for none); best_mode: "max" or "min"; steps_per_call: steps that one program takes where
    nothing is due between them, faster for small networks and longer to compile; signals wait for its end
    """

    steps: int
    log_every: int
    eval_every: int
    checkpoint_every: int
    keep: int
    best: str
    best_mode: str
    steps_per_call: int


class Experiment(NamedTuple):
    """What `build` makes of a config, and all that the loop knows.

    algorithm: the three functions
    frozen:    weights that are used and not trained
    batches:   (seed, step, share) -> closeable iterator of host batches from that step on; batch i depends
               on (seed, i), and share (index, count) is the part of it that this process makes
    evaluate:  (predict, step, folder) -> (mean metrics, picture uint8 [h, w, 3]); writes its own files
    report:    folder -> text shown at the end of a run
    ended:     state -> whether more steps would change nothing: the run ends before its last step
    smaller:   share of the memory needed that there is, in 0..1 -> what to change, for a sentence
    later:     host batches of other shapes than the first, of which the memory is looked at before the run
    loop:      lengths and intervals
    place:     where arrays live
    seed:      of keys and data
    config:    the config as JSON values
    """

    algorithm: Algorithm
    frozen: Tree
    batches: Callable[[int, int, tuple[int, int]], Any]
    evaluate: Callable[[Callable[[Batch], Tree], int, Path], tuple[dict[str, float], np.ndarray]]
    report: Callable[[Path], str]
    ended: Callable[[State], bool]
    smaller: Callable[[float], str]
    later: Sequence[Batch]
    loop: Loop
    place: Placement
    seed: int
    config: Mapping[str, Any]


def batches(experiment: Experiment, start: int) -> Any:
    """The host batches of an experiment from a step on; to be closed."""
    return experiment.batches(experiment.seed, start, devices.share(experiment.place))


def evaluate(experiment: Experiment, workdir: Path) -> None:
    """Evaluates the best network of a work folder, or the latest where none was kept, and reports.

    Raises UserError where the folder holds no checkpoint of this experiment.
    """
    checkpoint.check_config(workdir, experiment.config)
    with contextlib.ExitStack() as stack:
        held = None
        for name in ("best", "checkpoints"):
            if held is None and (workdir / name).is_dir():
                source = checkpoint.reader(workdir / name)
                stack.callback(source.close)
                held = checkpoint.restore(source, shapes(experiment)[0])
        if held is None:
            raise UserError(
                f"{workdir} holds no checkpoint: train first, or name another --workdir."
            )
    if processes.is_first():
        step = int(held[0].step)
        logs.say(f"evaluating step {step}")
        frozen = jax.device_put(experiment.frozen, jax.local_devices()[0])
        predict = predictor(experiment, held[0], frozen)
        experiment.evaluate(predict, step, workdir / "evaluation")
        logs.say(experiment.report(workdir))


class Run(NamedTuple):
    """A run in progress: what does not change from step to step. One of several processes has a log."""

    experiment: Experiment
    workdir: Path
    frozen: Tree
    latest: Any
    best: Any
    log: logs.Log | None


def train(experiment: Experiment, workdir: Path) -> State:
    """Runs an experiment to its last step, from the latest checkpoint in `workdir` where there is one.

    SIGTERM and Ctrl-C save and return early. Raises UserError for a work folder of another
    experiment, a checkpoint that cannot be read, and a loss or gradient that is not finite.
    """
    if processes.is_first():
        checkpoint.check_config(workdir, experiment.config)
    processes.any_of(False)  # nobody makes folders before that: without a config they look foreign
    with contextlib.ExitStack() as stack:
        latest = checkpoint.manager(workdir / "checkpoints", keep=experiment.loop.keep)
        stack.callback(latest.close)
        best = checkpoint.manager(workdir / "best", keep=1)
        stack.callback(best.close)
        state = start(experiment, latest)
        log = None
        if processes.is_first():
            log = logs.open_log(workdir, start=int(state.step))
            stack.callback(logs.close, log)
        frozen = jax.device_put(experiment.frozen, experiment.place.everywhere)
        run = Run(experiment, workdir, frozen, latest, best, log)
        table = workdir / "evaluation" / f"step_{int(state.step):08d}.md"
        if not over(run, state):
            state = take_steps(run, state)
        elif processes.told(not table.exists()):
            visit(run, state)
        done = over(run, state)
    if done and processes.is_first():
        logs.say(experiment.report(workdir))
    return state


def over(run: Run, state: State) -> bool:
    """Whether a run has no more steps to take."""
    return int(state.step) >= run.experiment.loop.steps or run.experiment.ended(state)


def shapes(experiment: Experiment) -> tuple[State, Callable[[], State]]:
    """The abstract state of an experiment, placed, and a function that makes the fresh one under jit."""
    place = experiment.place
    with contextlib.closing(batches(experiment, 0)) as held:
        batch = devices.put(next(held), place)
    key = stream(step_key(experiment.seed, 0), "init")
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place.everywhere),
        jax.eval_shape(experiment.algorithm.init, key, batch),
    )
    init = jax.jit(experiment.algorithm.init, out_shardings=place.everywhere)
    return abstract, functools.partial(init, key, batch)


def start(experiment: Experiment, latest: Any) -> State:
    """The state to go on from: the latest checkpoint, else a fresh one."""
    abstract, fresh = shapes(experiment)
    held = checkpoint.restore(latest, abstract)
    if held is not None:
        logs.say(f"resuming from step {int(held[0].step)}")
        return held[0]
    state = fresh()
    for name, params in state.params.items():
        logs.say(f"{name}: {parameter_overview.count_parameters(params):,} parameters")
    return state


def take_steps(run: Run, state: State) -> State:
    """The steps of a run from the state's own on, to the last, to its own end or to a signal."""
    experiment, loop, first = run.experiment, run.experiment.loop, int(state.step)
    place = experiment.place
    program = memory.checked(
        jax.jit(
            functools.partial(steps_in_turn, experiment.algorithm.step),
            donate_argnums=1,
            out_shardings=place.everywhere,
        ),
        functools.partial(smaller, experiment),
    )
    for batch in experiment.later:
        times, key = at_once(first, loop), step_key(experiment.seed, first)
        program([key] * times, state, [devices.put(batch, place)] * times, run.frozen)
    pending: list[tuple[int, Any]] = []
    clock, done = time.monotonic(), first
    with contextlib.closing(batches(experiment, first)) as held, stop_requested() as signals:
        while done < loop.steps:
            numbers = range(done, done + at_once(done, loop))
            given = [devices.put(next(held), place) for _ in numbers]
            keys = [step_key(experiment.seed, number) for number in numbers]
            call = program(keys, state, given, run.frozen)
            state, metrics, _ = call(keys, state, given, run.frozen)
            pending.extend((number + 1, each) for number, each in zip(numbers, metrics))
            done += len(numbers)
            reporting = is_due(done, loop.log_every)
            stopped = stop_at(signals, reporting)  # read once: a signal may come at any line
            ended = reporting and experiment.ended(state)
            last = done == loop.steps or ended
            evaluating = last or is_due(done, loop.eval_every)
            saving = last or stopped or is_due(done, loop.checkpoint_every)
            # nothing is evaluated or saved before all metrics up to here were seen to be finite
            if evaluating or saving or reporting:
                means = collect(pending, run)
                rate = (time.monotonic() - clock) / len(pending)
                if run.log:
                    logs.scalars(run.log, done, means | {"seconds_per_step": rate})
                shown = {name: means[name] for name in TOTALS if name in means}
                logs.say(logs.progress(done, loop.steps, rate, shown))
            if evaluating:
                visit(run, state)
            if saving:
                checkpoint.save(run.latest, state, notes(experiment))
            if evaluating or saving or reporting:
                pending.clear()
                clock = time.monotonic()
            if ended:
                logs.say(f"ended by itself at step {done} of {loop.steps}")
                break
            if stopped:
                logs.say(f"{stopped}: saved at step {done}; run the same command to go on.")
                break
    return state


def smaller(experiment: Experiment, share: float) -> str:
    """What to change where only this share of the memory needed is there."""
    several = "set config.train.steps_per_call=1, or " * (experiment.loop.steps_per_call > 1)
    return several + experiment.smaller(share)


def at_once(done: int, loop: Loop) -> int:
    """How many steps the next call takes: `steps_per_call` if nothing is due before its end, else 1."""
    if loop.steps_per_call < 1:
        raise UserError(f"config.train.steps_per_call is {loop.steps_per_call}: take at least 1.")
    intervals = (loop.log_every, loop.eval_every, loop.checkpoint_every)
    left = min(loop.steps - done, *(every - done % every for every in intervals if every > 0))
    return loop.steps_per_call if loop.steps_per_call <= left else 1


def steps_in_turn(
    step: Callable[..., tuple[State, Any]], keys: Sequence[jax.Array], state: State,
    batches: Sequence[Batch], frozen: Tree,
) -> tuple[State, list[Any], list[State]]:  # fmt: skip
    """(the state after one step for each key and batch, the metrics of each, the states between).

    The states between leave the program although nobody reads them: the compiler fuses across steps what
    stays inside, and rounds it otherwise than a single step does.
    """
    states, found = [], []
    for key, batch in zip(keys, batches, strict=True):
        state, metrics = step(key, state, batch, frozen)
        states.append(state)
        found.append(metrics)
    return state, found, states[:-1]


def stop_at(signals: Sequence[str], reporting: bool) -> str:
    """The signal after which to stop here, or «».

    Several processes stop together: they ask each other whenever they report, and stop if any got one.
    """
    if jax.process_count() == 1:
        return "".join(signals[:1])
    if not (reporting and processes.any_of(bool(signals))):
        return ""
    return "".join(signals[:1]) or "signal to another process"


def is_due(done: int, every: int) -> bool:
    """Whether something that happens every `every` steps happens after step `done`; never for 0."""
    return every > 0 and done % every == 0


def notes(experiment: Experiment) -> dict[str, Any]:
    """What a checkpoint holds beside the state: the config as JSON, versions and git revision."""
    return {"config": dict(experiment.config), "versions": checkpoint.provenance()}


def collect(pending: list[tuple[int, Any]], run: Run) -> dict[str, float]:
    """Means of the metrics of some steps, brought to the host at once.

    Raises UserError at the first value that is not finite, after writing the batch of that step to
    `nonfinite_step_<n>.npz`. The state is not saved, so the latest checkpoint stays the last finite one.
    """
    held = jax.device_get([metrics for _, metrics in pending])
    for (done, _), metrics in zip(pending, held, strict=True):
        wrong = sorted(name for name, value in metrics.items() if not np.isfinite(value))
        if not wrong:
            continue
        own = f"_process_{jax.process_index()}" if jax.process_count() > 1 else ""
        path = run.workdir / f"nonfinite_step_{done}{own}.npz"
        with contextlib.closing(batches(run.experiment, done - 1)) as rows:
            np.savez(path, **next(rows))
        kept = run.latest.latest_step()
        raise UserError(
            f"step {done}: {', '.join(wrong)} is not finite; its batch is in {path}. "
            + (
                f"The checkpoint of step {kept} is kept. "
                if kept
                else "Nothing was saved before it. "
            )
            + "Lower the learning rate, or look at the batch."
        )
    return {name: float(np.mean([metrics[name] for metrics in held])) for name in held[0]}


def predictor(experiment: Experiment, state: State, frozen: Tree) -> Callable[[Batch], Tree]:
    """`predict` of a state as a function from a host batch to host arrays, jitted once per shape.

    It runs on one device, so that one of several processes can evaluate by itself.
    """
    jitted = jax.jit(experiment.algorithm.predict)
    key = stream(step_key(experiment.seed, int(state.step)), "predict")
    state, frozen = devices.here((state, frozen))

    def predict(batch: Batch) -> Tree:
        return jax.device_get(jitted(key, state, dict(batch), frozen))

    return predict


def visit(run: Run, state: State) -> None:
    """One visit of the validation images: files, TensorBoard, and the best checkpoint so far."""
    experiment, loop, step = run.experiment, run.experiment.loop, int(state.step)
    value = math.nan
    if run.log:
        predict = predictor(experiment, state, run.frozen)
        means, sheet = experiment.evaluate(predict, step, run.workdir / "evaluation")
        logs.scalars(run.log, step, {f"evaluation/{name}": value for name, value in means.items()})
        logs.picture(run.log, step, "evaluation", sheet)
        scores = [f"{name} {value:.4f}" for name, value in means.items()]
        logs.say("  ".join([f"evaluation at step {step}:", *scores]))
        if loop.best and loop.best not in means:
            raise UserError(
                f"config.train.best is {loop.best!r}, but the evaluation gives {', '.join(means)}: "
                "name one of them."
            )
        value = means.get(loop.best, value)
    if not loop.best:
        return
    value, old = processes.told(value), checkpoint.read_notes(run.best)
    sign = 1 if loop.best_mode == "max" else -1
    if old is None or sign * value > sign * old["value"]:
        added = {"metric": loop.best, "value": value}
        checkpoint.save(run.best, state, notes(experiment) | added)


@contextlib.contextmanager
def stop_requested() -> Iterator[list[str]]:
    """A list that gets the signal's name once SIGTERM or Ctrl-C arrives; a second one acts as usual."""
    received: list[str] = []
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, _) -> None:
        received.append(signal.Signals(number).name)
        for each, handler in previous.items():
            signal.signal(each, handler)

    for number in previous:
        signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
