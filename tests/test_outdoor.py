"""The outdoor classes: their two orders and their colours, against the reference's tables."""

import numpy as np

from jaxsr import outdoor

# xinntao/SFTGAN, README: the order of the discriminator's classes
DISCRIMINATOR = ("background", "building", "plant", "mountain", "water", "sky", "grass", "animal")
# the same README: display colours, in the order of the segmentation output
SHADES = {
    "background": (153, 153, 153), "sky": (0, 255, 255), "water": (109, 158, 235),
    "grass": (183, 225, 205), "mountain": (153, 0, 255), "building": (17, 85, 204),
    "plant": (106, 168, 79), "animal": (224, 102, 102),
}  # fmt: skip


def test_names_are_in_the_order_of_the_segmentation_output():
    assert outdoor.NAMES == tuple(SHADES)


def test_every_class_keeps_its_name_in_the_order_of_the_discriminator():
    assert sorted(outdoor.DISCRIMINATOR) == list(range(8))
    for name, label in zip(outdoor.NAMES, outdoor.DISCRIMINATOR, strict=True):
        assert DISCRIMINATOR[label] == name


def test_colours():
    assert dict(zip(outdoor.NAMES, outdoor.COLOURS, strict=True)) == SHADES


def test_paint_gives_a_sure_class_its_colour_and_mixes_the_others():
    sure = np.eye(8, dtype=np.float32)[None]
    np.testing.assert_array_equal(outdoor.paint(sure)[0], list(SHADES.values()))
    half = np.zeros((1, 1, 8), np.float32)
    half[..., 1] = half[..., 7] = 0.5  # sky and animal: (224, 357, 357) / 2, rounded half up
    np.testing.assert_array_equal(outdoor.paint(half)[0, 0], (112, 179, 179))
    assert outdoor.paint(3 * sure).max() == 255, "clipped, not wrapped"


def test_paint_labels_shows_void_white():
    labels = np.array([[0, 7], [255, 3]])
    expected = [
        [SHADES["background"], SHADES["animal"]], [(255, 255, 255), SHADES["grass"]]
    ]  # fmt: skip
    painted = outdoor.paint_labels(labels)
    assert painted.dtype == np.uint8
    np.testing.assert_array_equal(painted, expected)
