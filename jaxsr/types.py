"""The few types that every part of jaxsr shares.

Letters of shapes: b(atch), h(eight), w(idth), c(hannels), s(cale), t(ime). Images are NHWC float32 in
[0, 1] unless a docstring says otherwise.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

Image = jax.Array
Batch = Mapping[str, jax.Array]
Metrics = dict[str, jax.Array]
Tree = Any


class UserError(Exception):
    """A mistake of the user's: one sentence that names the thing and the mend, shown without a traceback."""


class Algorithm(NamedTuple):
    """A training method as three pure functions, in the manner of `optax.GradientTransformation`.

    init:    `init(key, batch) -> State`
    step:    `step(key, state, batch, frozen) -> (State, Metrics)`; metrics is a flat dict of float32 scalars
    predict: `predict(key, state, batch, frozen) -> Image`, or a tree that its evaluation knows; a
             deterministic one ignores the key

    `frozen` holds weights that are used and not trained. It is always an argument: closed over, it would
    enter the lowered program as constants.
    """

    init: Callable[..., Any]
    step: Callable[..., tuple[Any, Metrics]]
    predict: Callable[..., Tree]


class Network(NamedTuple):
    """A Flax module as two pure functions, which is all that an algorithm sees of it.

    init:  `init(key, *inputs) -> variables`, a dict with `params` and, where there is batch
           normalisation, `batch_stats`
    apply: `apply(variables, *inputs, train) -> (output, batch_stats)`; batch_stats is `{}` where there is
           none, and the ones given where `train` is false. A network that draws while it is trained
           (dropout) takes `key` too, which `supervised` gives it
    """

    init: Callable[..., dict[str, Tree]]
    apply: Callable[..., tuple[Any, Tree]]
