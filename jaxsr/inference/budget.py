"""Which windows the memory has room for: programs compiled, and what XLA's analysis says of them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxsr.inference import receptive
from jaxsr.inference.edges import inside
from jaxsr.inference.restorer import Restorer
from jaxsr.inference.spans import spans
from jaxsr.types import UserError

SIZES = (1024, 768, 512, 384, 256, 192, 128, 96, 64, 48, 32, 16)  # of windows, in LQ pixels
CALL = 64**2  # pixels that the call of a window is counted as


def fitting(
    restorer: Restorer, sizes: list[int], *, memory_mib: float
) -> tuple[int, Callable[..., Any], int]:
    """The first of `sizes` (falling) whose compiled program needs at most `memory_mib`.

    Returns (size, program, bytes). The first is compiled; where it needs more, the memory beside the
    weights is taken to grow with the area, and those that should fit are compiled until one does.
    Raises UserError where none does.
    """
    program, budget = masked(restorer), memory_mib * 2**20
    weights = sum(leaf.nbytes for leaf in jax.tree.leaves(restorer.variables))
    each_pixel = 0.0
    for size in sizes:
        if weights + each_pixel * size**2 > budget:
            continue
        found, need = compiled(restorer, program, size)
        if need <= budget:
            return size, found, need
        each_pixel = max(each_pixel, (need - weights) / size**2)
    least = weights + each_pixel * sizes[-1] ** 2
    raise UserError(
        f"{memory_mib:g} MiB are too little for {restorer.name}: it needs about "
        f"{least / 2**20:.1f} MiB for windows of {sizes[-1]}² pixels."
    )


def candidates(side: int) -> list[int]:
    """Window sizes, falling, that an image of this longest side may want: 16 fits it closely."""
    fitted = min(up(side, SIZES[-1]), SIZES[0])
    return [fitted, *(size for size in SIZES if size < fitted)]


def even(height: int, width: int, *, tile: int, overlap: int) -> int:
    """The window, at most `tile`, whose number times area is least for an image of this size.

    A multiple of 16. Windows of 1024 pixels do 3 times the work on an image of 1100² as those of
    576 do, since none leaves the image and the second of each row sees most of the first again.
    """

    def work(size: int) -> tuple[int, int]:
        counts = [len(spans(n, tile=size, overlap=overlap)) for n in (height, width)]
        # the call of a window costs about as much as some pixels, which decides between small ones
        return counts[0] * counts[1] * (size**2 + CALL), -size

    least = up(2 * overlap + 1, SIZES[-1])
    return min((size for size in range(least, tile + 1, SIZES[-1])), key=work, default=tile)


def masked(restorer: Restorer) -> Callable[..., jax.Array]:
    """The network on windows, jitted: (variables, extent, lq, *conditions); see `edges.inside`."""
    return jax.jit(inside(restorer.apply))


def compiled(restorer: Restorer, program: Any, tile: int) -> tuple[Callable[..., Any], int]:
    """The program of a window size, and the bytes that it needs by XLA's own analysis."""
    tile = up(tile, receptive.structure(restorer).step)
    extent = jax.ShapeDtypeStruct((2,), jnp.int32)
    inputs = receptive.inputs(restorer, tile, tile)
    return analysed(program.lower(shapes_of(restorer), extent, *inputs))


def shapes_of(restorer: Restorer) -> Any:
    """The weights as shapes, to compile with."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), restorer.variables
    )


def analysed(lowered: Any) -> tuple[Callable[..., Any], int]:
    """A program compiled, and the bytes of its arguments, results and temporary arrays."""
    program = lowered.compile()
    found = program.memory_analysis()
    used = found.temp_size_in_bytes + found.argument_size_in_bytes + found.output_size_in_bytes
    return program, used


def is_exhausted(error: Exception) -> bool:
    """Whether XLA says that the device has no memory left."""
    words = ("RESOURCE_EXHAUSTED", "out of memory", "Out of memory")
    return any(word in str(error) for word in words)


def up(length: int, step: int) -> int:
    """The next multiple of `step`."""
    return -(-length // step) * step
