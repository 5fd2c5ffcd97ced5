"""Networks: one Flax module per file; ``blocks`` holds what they share."""
