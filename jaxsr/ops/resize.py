"""Resizing: the bicubic rule of the benchmarks (host and device), OpenCV bilinear and nearest."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse import csr_array

BORDERS = ("mirror", "clamp")


def resize_matrix(n_in: int, n_out: int, scale: float, *, border: str) -> np.ndarray:
    """Weights of a bicubic resize along one axis.

    Keys cubic k with a = -0.5, stretched when reducing: h(x) = s·k(s·x) for s < 1, else k.
    Output x (one-based) stands at u = x/s + (1 - 1/s)/2 of the input; every row of weights is
    divided by its sum. An index outside the input is mirrored about the edge, the edge sample
    repeated (`mirror`, newer MATLAB: ... 2 1 | 1 2 ...), or held at the edge (`clamp`, older
    MATLAB; the published benchmark files of SelfExSR).

    Args:
        n_in, n_out: samples of the axis before and after.
        scale: s > 0, output over input. It need not be n_out / n_in: n_out is rounded up.
        border: `mirror` or `clamp`.
    Returns:
        float64 [n_out, n_in]; rows sum to 1.
    Raises:
        ValueError: a size below 1, a scale not above 0, unknown border.
    Source: MATLAB imresize; jbhuang0604/SelfExSR (the clamped files).
    """
    return _sparse_matrix(n_in, n_out, scale, border).toarray()


def imresize(
    image: np.ndarray, scale: float, *, border: str = "mirror", round_passes: bool
) -> np.ndarray:
    """Resize one image on the host, bit for bit as MATLAB's bicubic imresize.

    Rows (the vertical axis) first, then columns; weights of `resize_matrix`; size rounded up:
    ceil(scale · n) in double precision.

    Args:
        image: [H, W] or [H, W, C]; uint8 or floating.
        scale: output over input, > 0.
        border: `mirror` or `clamp`.
        round_passes: True (uint8 only): each of the two passes is rounded half up and clipped to
            0..255, as MATLAB does with uint8. False: neither rounded nor clipped.
    Returns:
        uint8 with `round_passes`, else float64 in the range of the input (overshoot included).
    Raises:
        ValueError: another shape or dtype, `round_passes` on floats, bad scale or border.
    Source: MATLAB imresize.
    """
    _check_host(image)
    if round_passes and image.dtype != np.uint8:
        raise ValueError(f"round_passes needs a uint8 image, not {image.dtype}.")
    h, w = image.shape[:2]
    rows, columns = (_sparse_matrix(n, _size(n, scale), scale, border) for n in (h, w))
    out = (rows @ image.astype(np.float64).reshape(h, -1)).reshape(-1, w, *image.shape[2:])
    if round_passes:
        out = _to_levels(out)
    # The columns are the rows of the transposed image.
    out = out.swapaxes(0, 1)
    out = (columns @ out.reshape(w, -1)).reshape(-1, *out.shape[1:]).swapaxes(0, 1)
    if round_passes:
        out = _to_levels(out).astype(np.uint8)
    return np.ascontiguousarray(out)


def resize(images: jax.Array, scale: float, *, border: str) -> jax.Array:
    """Resize images on the device, differentiably: the floating rule of `imresize`.

    out = R · images · Cᵀ with R, C of `resize_matrix`; linear, neither rounded nor clipped. Under
    jit R and C become constants of the program (9 kB for a crop of 96 reduced by 4, 1 MB for 1024):
    photographs of any size go through `imresize` on the host.

    Args:
        images: [..., H, W, C] floating, any range.
        scale: output over input, > 0.
        border: `mirror` or `clamp`.
    Returns:
        [..., ceil(scale·H), ceil(scale·W), C], dtype of images (computed in float32 or wider).
    Raises:
        ValueError: fewer than three axes, a dtype that is not floating, bad scale or border.
    Source: MATLAB imresize.
    """
    if images.ndim < 3:
        raise ValueError(f"images have the axes [..., H, W, C], not the shape {images.shape}.")
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"resize works on floating images, not {images.dtype}: see imresize.")
    dtype = jnp.promote_types(images.dtype, jnp.float32)
    rows, columns = (
        jnp.asarray(resize_matrix(n, _size(n, scale), scale, border=border), dtype)
        for n in images.shape[-3:-1]
    )
    exact = jax.lax.Precision.HIGHEST  # TF32 or bfloat16 products would cost 1e-3 of the range
    out = jnp.einsum("ih,...hwc->...iwc", rows, images.astype(dtype), precision=exact)
    out = jnp.einsum("jw,...iwc->...ijc", columns, out, precision=exact)
    return out.astype(images.dtype)


def resize_bilinear(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize one image linearly between pixel centres, without antialiasing (OpenCV).

    Source position of output i: (i + 0.5)·n_in/n_out - 0.5, held inside [0, n_in - 1].

    Args:
        image: [H, W] or [H, W, C]; uint8 or floating.
        size: (height, width) of the result.
    Returns:
        float64 in the range of the input, not rounded.
    Raises:
        ValueError: another shape or dtype, a size below 1.
    Source: opencv/opencv modules/imgproc/src/resize.cpp (INTER_LINEAR on floats).
    """
    _check_host(image)
    _check_size(size)
    out = image.astype(np.float64)
    for axis, n_out in enumerate(size):
        n_in = out.shape[axis]
        at = np.clip((np.arange(n_out) + 0.5) * (n_in / n_out) - 0.5, 0, n_in - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, n_in - 1)
        part = (at - low).reshape([-1 if a == axis else 1 for a in range(out.ndim)])
        out = np.take(out, low, axis) * (1 - part) + np.take(out, high, axis) * part
    return out


def resize_nearest(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize one image or label map by taking pixel floor(i · n_in / n_out) (OpenCV).

    Args:
        image: [H, W] or [H, W, C], any dtype.
        size: (height, width) of the result.
    Returns:
        the same dtype; only values of the input.
    Raises:
        ValueError: another shape, a size below 1.
    Source: opencv/opencv modules/imgproc/src/resize.cpp (INTER_NEAREST; not pixel-centred).
    """
    _check_axes(image)
    _check_size(size)
    # Integer division is the floor without the rounding of a double quotient.
    rows, columns = (np.arange(n) * m // n for n, m in zip(size, image.shape[:2], strict=True))
    return np.ascontiguousarray(image[rows][:, columns])


def modcrop(image: np.ndarray, multiple: int) -> np.ndarray:
    """Keep the largest top-left part whose height and width are multiples of `multiple`.

    Args:
        image: [H, W] or [H, W, C], any dtype.
        multiple: >= 1.
    Returns:
        a view, [H - H mod m, W - W mod m, ...].
    Raises:
        ValueError: another shape, multiple below 1, an image smaller than `multiple`.
    Source: the evaluation scripts of jbhuang0604/SelfExSR and cszn/KAIR.
    """
    _check_axes(image)
    if multiple < 1:
        raise ValueError(f"multiple must be at least 1, not {multiple}.")
    h, w = image.shape[:2]
    if min(h, w) < multiple:
        raise ValueError(f"an image of {h}x{w} has no part that is a multiple of {multiple}.")
    return image[: h - h % multiple, : w - w % multiple]


def _size(n: int, scale: float) -> int:
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be a number above 0, not {scale}.")
    return math.ceil(scale * n)


def _sparse_matrix(n_in: int, n_out: int, scale: float, border: str) -> csr_array:
    if border not in BORDERS:
        raise ValueError(f"border {border!r} is unknown: use one of {', '.join(BORDERS)}.")
    if min(n_in, n_out) < 1:
        raise ValueError(f"sizes must be at least 1, not {n_in} to {n_out}.")
    _size(n_in, scale)
    stretch = min(scale, 1.0)
    width = 4 / stretch
    centre = np.arange(1, n_out + 1) / scale + 0.5 * (1 - 1 / scale)
    # Two taps more than the kernel is wide, so that a rounded floor cannot lose one.
    taps = math.ceil(width) + 2
    indices = np.floor(centre - width / 2)[:, None] + np.arange(taps)
    weights = stretch * _cubic(stretch * (centre[:, None] - indices))
    weights /= weights.sum(1, keepdims=True)
    indices = indices.astype(np.int64) - 1
    if border == "clamp":
        indices = np.clip(indices, 0, n_in - 1)
    else:
        indices %= 2 * n_in
        indices = np.where(indices < n_in, indices, 2 * n_in - 1 - indices)
    # An input that several taps fall on stands several times in its row: the products add up.
    ends = np.arange(n_out + 1) * taps
    return csr_array((weights.ravel(), indices.ravel(), ends), shape=(n_out, n_in))


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys cubic convolution kernel, a = -0.5."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def _to_levels(image: np.ndarray) -> np.ndarray:
    """Round half up (MATLAB's uint8, unlike np.round) and clip to 0..255; stays float64."""
    return np.clip(np.floor(image + 0.5), 0, 255)


def _check_axes(image: np.ndarray) -> None:
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(f"an image is [H, W] or [H, W, C], not the shape {image.shape}.")


def _check_host(image: np.ndarray) -> None:
    _check_axes(image)
    if image.dtype != np.uint8 and not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"an image is uint8 or floating, not {image.dtype}.")


def _check_size(size: tuple[int, int]) -> None:
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size is (height, width), both at least 1, not {size}.")
