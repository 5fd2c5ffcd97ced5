"""RL-Restore's names in both directions: upright moves, the same bits back, nothing taken for another."""

import numpy as np
import pytest

from jaxsr.interchange import convert
from jaxsr.interchange.files import read_arrays
from jaxsr.interchange.layouts_rl_restore import upright, upright_flatten
from jaxsr.types import UserError


def test_upright_moves_swap_height_and_width_and_are_their_own_inverse():
    kernel = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    moved = upright().ours(kernel)
    assert moved.shape == (3, 2, 4, 5) and moved[2, 1, 3, 4] == kernel[1, 2, 3, 4]
    np.testing.assert_array_equal(upright().theirs(moved), kernel)
    rows = np.arange(4 * 4 * 24 * 32).reshape(384, 32)
    swapped = upright_flatten().ours(rows)
    # row (y·4 + x)·24 + c is that of (x·4 + y)·24 + c
    np.testing.assert_array_equal(swapped[(1 * 4 + 3) * 24 + 7], rows[(3 * 4 + 1) * 24 + 7])
    np.testing.assert_array_equal(upright_flatten().theirs(swapped), rows)


@pytest.fixture(scope="module")
def released(shared):
    folder = shared / "rl_restore"
    if not (folder / "tools.npz").is_file():
        pytest.skip("no released weights of RL-Restore in the reference data")
    return {name: read_arrays(folder / f"{name}.npz")[0] for name in ("tools", "agent")}


def single(arrays, number):
    stem = f"tool{number:02d}/"
    return {n.removeprefix(stem): a for n, a in arrays.items() if n.startswith(stem)}


@pytest.mark.parametrize(
    ("pick", "network", "section", "unused"),
    [
        (
            lambda r: r["tools"],
            "toolbox",
            {"families": ("small", "small", "large", "large") * 3},
            [],
        ),
        (lambda r: single(r["tools"], 1), "tool_small", {}, []),
        (lambda r: single(r["tools"], 12), "tool_large", {}, []),
        (lambda r: r["agent"], "toolchain_agent", {"tools": 12}, ["step/step"]),
    ],
)
def test_released_files_are_known_and_come_back_bit_for_bit(
    released, pick, network, section, unused
):
    arrays = pick(released)
    layout, found, rest = convert.identify(arrays)
    assert (layout.network, found, rest) == (network, section, unused)
    back = convert.to_theirs(layout, found, convert.to_ours(layout, found, arrays))
    assert set(back) == set(arrays) - set(unused)
    for name, array in back.items():
        assert array.dtype == arrays[name].dtype
        np.testing.assert_array_equal(array, arrays[name])


def test_a_box_with_a_missing_tool_or_array_is_named(released):
    arrays = dict(released["tools"])
    del arrays["tool07/conv2a/biases"]
    with pytest.raises(UserError, match=r"nearest is .*RL-Restore toolbox.*tool07/conv2a/biases"):
        convert.identify(arrays)
    gap = {n: a for n, a in released["tools"].items() if not n.startswith("tool05/")}
    with pytest.raises(UserError, match="RL-Restore toolbox"):
        convert.identify(gap)
