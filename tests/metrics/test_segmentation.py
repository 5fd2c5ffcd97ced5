"""Scores of label maps on an example counted by hand."""

import numpy as np
import pytest

from jaxsr.metrics.segmentation import confusion_matrix, mean_iou, pixel_accuracy

LABEL = np.array([[0, 0, 0, 1], [1, 1, 2, 255]], np.uint8)
PRED = np.array([[0, 0, 1, 1], [1, 2, 0, 3]])
# Class 0: twice found, once taken for 1. Class 1: twice found, once taken for 2. Class 2: once
# taken for 0. Class 3: predicted only where the label is 255.
COUNTS = np.array([[2, 1, 0, 0], [0, 2, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]])


def test_counts_by_hand():
    cm = confusion_matrix(PRED, LABEL, classes=4)
    assert cm.dtype == np.int64
    np.testing.assert_array_equal(cm, COUNTS)


def test_scores_by_hand():
    assert pixel_accuracy(COUNTS) == 4 / 7
    # IoU 2/4, 2/4, 0/2; class 3 has no union and is left out.
    assert mean_iou(COUNTS) == pytest.approx((0.5 + 0.5 + 0) / 3, abs=1e-15)


def test_a_class_that_is_only_predicted_counts_as_zero():
    cm = confusion_matrix(np.array([0, 0, 3, 0]), np.array([0, 0, 0, 0]), classes=4)
    assert mean_iou(cm) == (3 / 4 + 0) / 2


def test_counts_add_up_over_images():
    rng = np.random.default_rng(0)
    pred, label = rng.integers(0, 5, (2, 3, 16, 16))
    parts = [confusion_matrix(p, t, classes=5) for p, t in zip(pred, label, strict=True)]
    whole = confusion_matrix(pred, label, classes=5)
    np.testing.assert_array_equal(sum(parts), whole)
    for i, j in np.ndindex(5, 5):
        assert whole[i, j] == np.sum((label == i) & (pred == j))


def test_perfect_and_empty():
    label = np.arange(6).reshape(2, 3)
    cm = confusion_matrix(label, label, classes=6)
    assert pixel_accuracy(cm) == mean_iou(cm) == 1
    empty = confusion_matrix(label, np.full((2, 3), 255), classes=6)
    assert np.isnan(pixel_accuracy(empty))
    assert np.isnan(mean_iou(empty))


def test_another_ignored_value():
    label = np.array([-1, 0, 1])
    cm = confusion_matrix(np.array([0, 0, 0]), label, classes=2, ignore=-1)
    np.testing.assert_array_equal(cm, [[1, 0], [1, 0]])


@pytest.mark.parametrize(
    ("pred", "label", "classes", "message"),
    [
        (PRED, LABEL[:, :1], 4, "differ in shape"),
        (PRED.astype(float), LABEL, 4, "prediction must hold integer"),
        (PRED, LABEL.astype(np.float32), 4, "label must hold integer"),
        (PRED, LABEL, 2, "prediction holds values outside 0..1"),
        (np.zeros((2, 4), int), LABEL, 2, "label holds values outside 0..1"),
        (PRED - 1, LABEL, 4, "prediction holds values outside"),
        (PRED, LABEL, 0, "at least 1"),
    ],
)
def test_wrong_arguments_are_named(pred, label, classes, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(pred, label, classes=classes)


@pytest.mark.parametrize("score", [pixel_accuracy, mean_iou])
def test_scores_need_a_square(score):
    with pytest.raises(ValueError, match="square"):
        score(np.zeros((2, 3)))
