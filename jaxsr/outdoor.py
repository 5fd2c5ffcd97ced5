"""The eight outdoor classes of SFT-GAN: two orders, and the display colours (xinntao/SFTGAN, README)."""

import numpy as np

# order of the segmentation output, of the channels of P and of annotation images
NAMES = ("background", "sky", "water", "grass", "mountain", "building", "plant", "animal")

# segmentation index -> class label of the discriminator, whose order is
# background (ignored), building, plant, mountain, water, sky, grass, animal
DISCRIMINATOR = (0, 5, 4, 6, 3, 1, 2, 7)

VOID = 255  # a pixel without a class

COLOURS = (
    (153, 153, 153), (0, 255, 255), (109, 158, 235), (183, 225, 205),
    (153, 0, 255), (17, 85, 204), (106, 168, 79), (224, 102, 102),
)  # fmt: skip


def paint(probabilities: np.ndarray) -> np.ndarray:
    """Class probabilities [h, w, 8] as a picture uint8 [h, w, 3]: the colours weighed by them."""
    mixed = np.asarray(probabilities, np.float64) @ np.asarray(COLOURS, np.float64)
    return np.floor(np.clip(mixed, 0, 255) + 0.5).astype(np.uint8)


def paint_labels(labels: np.ndarray) -> np.ndarray:
    """Class indices [h, w] as a picture uint8 [h, w, 3]; void is white."""
    table = np.full((256, 3), 255, np.uint8)
    table[: len(COLOURS)] = COLOURS
    return table[np.asarray(labels, np.uint8)]
