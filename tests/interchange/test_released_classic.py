"""The released weight files of the classic networks: recognised, and back bit for bit."""

import jax
import numpy as np
import pytest
import scipy.io
from reference.through_layout import ours_of, theirs_of

from jaxsr.interchange import layouts_classic as classic
from jaxsr.interchange import layouts_lapsrn as pyramids
from jaxsr.interchange import layouts_plain as plain
from jaxsr.interchange.convert import identify
from jaxsr.interchange.detect import detect

# Released files: (file, layout, what detect reads off it)
C3 = {"channels": 1, "tail": "shuffle"}
DEEP = {"depth": 20, "features": 64}
RELEASED = [
    *(
        (
            f"srcnn/SRCNN_915_x{s}.npz",
            classic.SRCNN_HWIO,
            {"kernels": (9, 1, 5), "features": (64, 32), "channels": 1, "border": "edge"},
        )
        for s in (2, 3, 4)
    ),
    *(
        (
            f"fsrcnn/FSRCNN_x{s}.npz",
            classic.FSRCNN_TENSORFLOW,
            {"scale": s, "features": 56, "shrink": 12, "depth": 4} | C3,
        )
        for s in (2, 3, 4)
    ),
    *(
        (
            f"fsrcnn/FSRCNN-small_x{s}.npz",
            classic.FSRCNN_TENSORFLOW,
            {"scale": s, "features": 32, "shrink": 5, "depth": 1} | C3,
        )
        for s in (2, 3, 4)
    ),
    *(
        (
            f"espcn/ESPCN_x{s}.npz",
            classic.ESPCN_TENSORFLOW,
            {"scale": s, "variant": "tensorflow", "channels": 1},
        )
        for s in (2, 3, 4)
    ),
    ("vdsr/VDSR_Official.npz", plain.VDSR_HWIO, DEEP | {"channels": 1, "bias": True}),
    (
        "dncnn/DnCNN3.npz",
        plain.DNCNN_MATCONVNET,
        DEEP | {"channels": 1, "batch_norm": False, "bias": "all"},
    ),
    (
        "dncnn/GD_Color_Blind.npz",
        plain.DNCNN_MATCONVNET,
        DEEP | {"channels": 3, "batch_norm": False, "bias": "all"},
    ),
    (
        "dncnn/dncnn_kair_gray25.npz",
        plain.DNCNN_KAIR,
        {"depth": 17, "features": 64, "channels": 1, "batch_norm": False, "bias": "all"},
    ),
    (
        "dncnn/dncnn_pytorch_bn_sigma25.npz",
        plain.DNCNN_PYTORCH,
        {"depth": 17, "features": 64, "channels": 1, "batch_norm": True, "bias": "first"},
    ),
    *(
        (
            f"lapsrn/LapSRN_x{s}.npz",
            pyramids.LAPSRN_MATCONVNET,
            {"scale": s, "depth": 10, "features": 64, "channels": 1},
        )
        for s in (2, 4)
    ),
    (
        "lapsrn/MSLapSRN_D5R8.npz",
        pyramids.MSLAPSRN_MATCONVNET,
        {"depth": 5, "features": 64, "channels": 1},
    ),
    ("idn/IDN_x4.npz", pyramids.IDN_CAFFE, {"features": 64, "channels": 1}),
]


def weights(shared, file):
    with np.load(shared / "weights" / file) as held:
        return dict(held)


@pytest.mark.parametrize("file, layout, section", RELEASED, ids=[file for file, *_ in RELEASED])
def test_released_file(shared, file, layout, section):
    arrays = weights(shared, file)
    found, read, unused = identify(arrays)  # refuses where two layouts fit
    assert (found.name, read, unused) == (layout.name, section, [])
    again = theirs_of(layout, section, ours_of(layout, section, arrays))
    assert sorted(again) == sorted(arrays)
    for name, array in arrays.items():
        if name.endswith("num_batches_tracked"):
            assert again[name].shape == array.shape  # the reader keeps the file's count
        else:
            # SRCNN's file is float64, which we hold rounded to float32; all others come back whole
            assert array.dtype == (
                np.float64 if "srcnn/" in file and "fsrcnn" not in file else np.float32
            )
            np.testing.assert_array_equal(again[name], array.astype(np.float32))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_matlab_file_of_srcnn_holds_what_its_copy_holds(shared, scale):
    path = shared / "weights" / "srcnn" / f"SRCNN_915_x{scale}.mat"
    arrays = {n: a for n, a in scipy.io.loadmat(path).items() if not n.startswith("__")}
    layout = classic.SRCNN_MATLAB
    found, section, *_ = identify(arrays)
    assert found.name == layout.name
    copy = weights(shared, f"srcnn/SRCNN_915_x{scale}.npz")
    assert section == detect(classic.SRCNN_HWIO, copy)
    ours, expected = ours_of(layout, section, arrays), ours_of(classic.SRCNN_HWIO, section, copy)
    jax.tree.map(np.testing.assert_array_equal, ours, expected)
    again = theirs_of(layout, section, ours)
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array.astype(np.float32))
