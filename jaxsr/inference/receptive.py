"""How far a network sees: the overlap that tiles need.

Two measures, in pixels of the low-resolution image. The support is structural: the farthest input pixel
that an output pixel depends on at all, whatever the weights. The reach is what of it matters in
float32 with the weights at hand: RRDBNet has a support of 349 pixels and a reach of some dozens.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Jaxpr

from jaxsr.inference.restorer import Restorer
from jaxsr.models.blocks import EdgePad, TransposedConv
from jaxsr.types import Tree, UserError

CLASSES = 8  # channels of a prior map
ENOUGH = 64  # a support up to this is taken as it is: measuring costs two windows
TOLERANCE = 2e-6  # of the largest output: about the rounding of float32 in a deep network
_RESIZE = 4  # pixels that a bicubic enlargement adds, counted generously
_LEAST = 1e-5  # of a derivative that counts: less than the share of one tap among 9·9·1000
_ROOM = 16  # pixels of a window that must be left between its two overlaps
_SIZE = 16  # of the image on which the layers are counted


def inputs(restorer: Restorer, height: int, width: int) -> list[jax.ShapeDtypeStruct]:
    """Shapes of what the network takes for an image of height × width: [1,h,w,c], the prior map."""
    shapes = [(1, height, width, restorer.channels)]
    if restorer.prior is not None:
        shapes.append((1, restorer.scale * height, restorer.scale * width, CLASSES))
    return [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]


class Structure(NamedTuple):
    """What the traced program of a network tells about its layers.

    step:   windows must begin on multiples of it: 1, or 2 or 4 where the network first moves blocks
            of pixels into channels
    bound:  at least the support: half widths of all layers added up, as if each followed the other
    square: whether all kernels are, so that the width stands for both axes
    summed: whether there is a sum over the height or the width of the image (instance normalisation,
            a mean over the image)
    """

    step: int
    bound: int
    square: bool
    summed: bool


def structure(restorer: Restorer) -> Structure:
    """Traces a network once, on a small image; nothing is computed."""
    layers = []

    def intercept(function, arguments, options, context):
        spatial = isinstance(context.module, (nn.Conv, TransposedConv, EdgePad))
        if spatial and context.method_name == "__call__":
            layers.append((context.module, arguments[0].shape[1]))
        return function(*arguments, **options)

    with nn.intercept_methods(intercept):
        # a new function, since what jax has traced before is not traced again
        program = jax.make_jaxpr(lambda *x: restorer.apply(*x))(
            restorer.variables, *inputs(restorer, _SIZE, _SIZE)
        )
    kernels = [module.kernel_size for module, _ in layers if isinstance(module, nn.Conv)]
    return Structure(
        step=_SIZE // min([_SIZE, *(size for _, size in layers)]),
        bound=int(sum(_half(module) * _SIZE / size for module, size in layers)) + 2 * _RESIZE,
        square=all(len(set(kernel)) == 1 for kernel in kernels),
        summed=any(_sums(equation) for equation in _equations(program.jaxpr)),
    )


def _half(module: nn.Module) -> float:
    """Pixels of its input that a layer looks to one side, rounded up."""
    if isinstance(module, nn.Conv):
        return max(np.multiply(module.kernel_size, module.kernel_dilation or 1)) / 2
    return module.width if isinstance(module, EdgePad) else module.size / module.stride


def _equations(program: Any) -> Iterator[Any]:
    """Every equation of a traced program, those of inner functions too."""
    for equation in program.eqns:
        yield equation
        for inner in jax.tree.leaves(list(equation.params.values())):
            inner = getattr(inner, "jaxpr", inner)
            if isinstance(inner, Jaxpr):
                yield from _equations(inner)


def _sums(equation: Any) -> bool:
    """Whether an equation brings together a whole axis of images [B,H,W,C]."""
    if not equation.primitive.name.startswith(("reduce_", "arg", "cum")):
        return False
    axes = equation.params.get("axes", ()) or (equation.params.get("axis"),)
    return equation.invars[0].aval.ndim == 4 and bool({1, 2} & set(axes))


def refuse_global(restorer: Restorer, found: Structure) -> None:
    """UserError for a network in which a pixel depends on the whole image.

    It then depends on the pixels that pad an image to the size of a window, too.
    """
    if found.summed:
        raise UserError(refusal(restorer))


def refusal(restorer: Restorer) -> str:
    """Why a network cannot be tiled, for the user."""
    return (
        f"{restorer.name} cannot be tiled: every pixel of its output depends on the whole image (a "
        "normalisation or a mean over it), which must be restored whole."
    )


def support(restorer: Restorer) -> int:
    """The farthest pixel, along an axis, that an output pixel can depend on; exact.

    By a derivative: all kernels and other parameters are set to positive numbers, so that nothing
    cancels, one pixel of a constant strip is moved, and the pixels of the output that move with it
    are looked up. Behind every layer the derivative is set to 0 or 1, since it would underflow in a
    deep network, and the value to 1, at which every activation has a slope.

    Raises UserError for a network in which a pixel depends on the whole image.
    """
    found = structure(restorer)
    refuse_global(restorer, found)
    length = 2 * (found.bound // found.step + 2) * found.step
    axes = (1,) if found.square else (0, 1)
    return max(_touched(restorer, length, axis, found.step) for axis in axes)


def overlap(restorer: Restorer, program: Callable[..., Any], *, tile: int) -> int:
    """Pixels from the cut edge of a window at which the result is that of the whole image.

    The support, or the measured reach where that is less and the support is large or leaves no room
    in a window. The reach: a sample image fills a window, then its first quarter is taken for all
    there is; it is the distance from the cuts at which the two results agree to `TOLERANCE` of the
    largest value, from there on, and a quarter more.

    program: of `edges.inside`, for windows of tile² pixels
    """
    exact = support(restorer)
    if exact <= ENOUGH and tile >= 2 * exact + _ROOM:
        return exact
    step = structure(restorer).step
    worst = _reach(restorer, program, tile, step)
    return min(exact, worst + worst // 4 + step)


def _reach(restorer: Restorer, program: Callable[..., Any], tile: int, step: int) -> int:
    """Pixels from cuts through the middle of a window to where their effect vanishes."""
    cut, scale = tile // 2 // step * step, restorer.scale
    samples = [_sample(shape.shape) for shape in inputs(restorer, tile, tile)]
    quarters = []
    for x in samples:
        kept = np.minimum(np.arange(x.shape[1]), cut * x.shape[1] // tile - 1)
        quarters.append(x[:, kept][:, :, kept])
    full, part = (
        np.asarray(program(restorer.variables, np.full(2, extent, np.int32), *images))[0]
        for extent, images in ((tile, samples), (cut, quarters))
    )
    error = np.abs(full - part).max(-1)[: cut * scale, : cut * scale]
    distance = cut - np.arange(cut * scale) // scale
    distance = np.minimum(distance[:, None], distance[None, :])  # from the nearer of the two cuts
    off = error > TOLERANCE * max(1.0, float(np.abs(full).max()))
    return int(distance[off].max(initial=0))


def _sample(shape: tuple[int, ...]) -> np.ndarray:
    """An image with edges, ramps and noise in [0, 1], always the same."""
    rng = np.random.default_rng(0)
    _, height, width, channels = shape
    y, x = np.mgrid[:height, :width]
    steps = ((y // 13 + x // 17) % 2)[..., None] * rng.uniform(0.3, 1.0, channels)
    ramp = ((x + 2 * y) % 97 / 97)[..., None]
    noise = rng.random((height, width, channels))
    return ((steps + ramp + noise) / 3).astype(np.float32)[None]


@jax.custom_jvp
def _levelled(y: jax.Array) -> jax.Array:
    """Ones; the derivative passes as 0 or 1, so that it neither vanishes nor grows from layer to layer."""
    return jnp.ones_like(y)


@_levelled.defjvp
def _levelled_jvp(primals, tangents):
    # a fast convolution leaves 1e-7 where zeros should be; a tap that counts gives 1 / fan_in
    moved = (jnp.abs(tangents[0]) > _LEAST).astype(tangents[0].dtype)
    return jnp.ones_like(primals[0]), moved


def _touched(restorer: Restorer, length: int, axis: int, step: int) -> int:
    """How far along an axis of a strip of `length` pixels the output moves with its middle pixel."""
    middle = length // 2 // step * step
    size = (length, step) if axis == 0 else (step, length)

    def positive(leaf: Any) -> np.ndarray:
        value = 1 / np.prod(leaf.shape[:-1]) if leaf.ndim > 1 else 0.5
        return np.full(leaf.shape, value, np.float32)

    def intercept(function, arguments, options, context):
        layer = isinstance(context.module, (nn.Conv, TransposedConv))
        if not layer or context.method_name != "__call__":
            return function(*arguments, **options)
        return _levelled(function(_levelled(arguments[0]), *arguments[1:], **options))

    def restored(variables: Tree, images: list[jax.Array], moves: list[jax.Array]) -> jax.Array:
        with nn.intercept_methods(intercept):
            run = functools.partial(restorer.apply, variables)
            return jax.jvp(run, tuple(images), tuple(moves))[1]

    images = [np.full(shape.shape, 0.9, np.float32) for shape in inputs(restorer, *size)]
    moves = []
    for image in images:
        k = image.shape[1 + axis] // length
        line = np.zeros(length * k, np.float32)
        line[k * middle : k * (middle + step)] = 1
        line = line[:, None, None] if axis == 0 else line[None, :, None]
        moves.append(np.broadcast_to(line, image.shape))
    moved = jax.jit(restored)(jax.tree.map(positive, restorer.variables), images, moves)
    hit = np.flatnonzero((np.asarray(moved)[0] != 0).any(axis=(2, 1 - axis))) // restorer.scale
    if not hit.size:
        return 0
    if hit[0] == 0 and hit[-1] == length - 1:
        raise UserError(refusal(restorer))
    return int(max(middle - hit[0], hit[-1] - (middle + step - 1), 0))
