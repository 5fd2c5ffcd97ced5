"""Scores of label maps, from a matrix of counts that may be summed over images."""

import numpy as np


def confusion_matrix(
    pred: np.ndarray, label: np.ndarray, *, classes: int, ignore: int = 255
) -> np.ndarray:
    """Count the pixels of every pair (true class, predicted class).

    Args:
        pred: integers of any shape, 0..classes - 1 wherever the label counts.
        label: integers of the same shape, 0..classes - 1 or `ignore`.
        classes: number of classes, >= 1.
        ignore: label value of pixels that are left out.
    Returns:
        int64 [classes, classes], row = label, column = prediction. Sum it over images.
    Raises:
        ValueError: unequal shapes, a dtype that is not integer, a value that is no class.
    Source: the usual definition; Long et al. 2015, section 5 (n_ij).
    """
    pred, label = np.asarray(pred), np.asarray(label)
    if pred.shape != label.shape:
        raise ValueError(f"prediction and label differ in shape: {pred.shape} and {label.shape}.")
    if classes < 1:
        raise ValueError(f"classes must be at least 1, not {classes}.")
    for name, x in (("prediction", pred), ("label", label)):
        if not np.issubdtype(x.dtype, np.integer):
            raise ValueError(f"{name} must hold integer classes, not {x.dtype}.")
    counted = label != ignore
    pred, label = pred[counted].astype(np.int64), label[counted].astype(np.int64)
    for name, x in (("prediction", pred), ("label", label)):
        if x.size and (x.min() < 0 or x.max() >= classes):
            raise ValueError(f"{name} holds values outside 0..{classes - 1}: {x.min()}..{x.max()}.")
    counts = np.bincount(label * classes + pred, minlength=classes**2)
    return counts.reshape(classes, classes).astype(np.int64)


def pixel_accuracy(cm: np.ndarray) -> float:
    """Share of the counted pixels whose class is right: sum of cm[i, i] over sum of cm.

    Args:
        cm: counts of `confusion_matrix`, [classes, classes].
    Returns:
        in [0, 1]; nan when nothing was counted.
    Raises:
        ValueError: cm is not square.
    Source: Long et al. 2015, section 5.
    """
    _check(cm)
    total = cm.sum()
    return float(np.trace(cm) / total) if total else float("nan")


def mean_iou(cm: np.ndarray) -> float:
    """Mean over classes of the intersection over the union.

    iou_i = cm[i, i] / (sum_j cm[i, j] + sum_j cm[j, i] - cm[i, i]). A class that is neither in the
    labels nor in the predictions has no union and is left out of the mean; one that was only
    predicted, or never found, counts as 0.

    Args:
        cm: counts of `confusion_matrix`, [classes, classes].
    Returns:
        in [0, 1]; nan when nothing was counted.
    Raises:
        ValueError: cm is not square.
    Source: Long et al. 2015, section 5.
    """
    _check(cm)
    hits = np.diag(cm)
    union = cm.sum(0) + cm.sum(1) - hits
    present = union > 0
    return float(np.mean(hits[present] / union[present])) if present.any() else float("nan")


def _check(cm: np.ndarray) -> None:
    if cm.ndim != 2 or cm.shape[0] != cm.shape[1]:
        raise ValueError(f"a confusion matrix is square, not of the shape {cm.shape}.")
