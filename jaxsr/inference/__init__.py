"""Applying trained networks to whole images."""
