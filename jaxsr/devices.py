"""Where arrays live: on the devices of one process or of several."""

from typing import Any, NamedTuple

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxsr.types import Batch, UserError


class Placement(NamedTuple):
    """Where arrays live: a batch, and everything else, which every device has."""

    batch: NamedSharding
    everywhere: NamedSharding


def placement(*, seeds: int, split: bool) -> Placement:
    """A mesh of all devices with the axes `seed`, of that length, and `data`.

    split: whether the rows of a batch are shared out over `data`; else every device has all of them
    Auto axes: pixel shuffle reshapes, which Explicit axes refuse.
    """
    mesh = jax.make_mesh(
        (seeds, jax.device_count() // seeds), ("seed", "data"), axis_types=(AxisType.Auto,) * 2
    )
    rows = PartitionSpec("data") if split else PartitionSpec()
    return Placement(NamedSharding(mesh, rows), NamedSharding(mesh, PartitionSpec()))


def share(place: Placement) -> tuple[int, int]:
    """(index, count): which of how many equal parts of a batch the devices of this process hold."""
    length = place.batch.mesh.size  # a number of rows that every split divides
    held = place.batch.addressable_devices_indices_map((length,)).values()
    ranges = {rows.indices(length)[:2] for (rows,) in held}
    size = sum(stop - start for start, stop in ranges)
    return min(start for start, _ in ranges) // size, length // size


def put(batch: Batch, place: Placement) -> dict[str, jax.Array]:
    """This process's part of a batch on the devices; UserError where it cannot be split evenly."""
    parts = place.batch.mesh.shape["data"] if place.batch.spec else 1
    _, count = share(place)
    for name, array in batch.items():
        if array.shape[0] * count % parts:
            raise UserError(
                f"a batch of {array.shape[0] * count} ({name}) cannot be split over {parts} devices: "
                "make config.data.batch a multiple of their number."
            )
    return {
        name: jax.make_array_from_process_local_data(place.batch, array)
        for name, array in batch.items()
    }


def here(tree: Any) -> Any:
    """What this process holds of arrays that every device has, on its first device."""
    device = jax.local_devices()[0]

    def own(array: jax.Array) -> jax.Array:
        return next(shard.data for shard in array.addressable_shards if shard.device == device)

    return jax.tree.map(own, tree)
