"""Scores of images and label maps; every convention is an argument."""
