"""scripts/restore.py as a function, and weights small enough to compile in a second."""

import importlib.util

import numpy as np
from reference.random_trees import random_like, shapes_of

from jaxsr import checkpoint
from jaxsr.models.edsr import EDSR

SECTION = {"features": 4, "blocks": 1, "scale": 2}


def command(root):
    """The module scripts/restore.py; its `main` takes the arguments as a list."""
    spec = importlib.util.spec_from_file_location("restore", root / "scripts" / "restore.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tiny(seed=0):
    """(module, variables) of a network ×2 for RGB."""
    net = EDSR(**SECTION)
    return net, random_like(shapes_of(net, np.zeros((1, 8, 8, 3))), seed)


def tiny_weights(path, seed=0):
    """Writes the weights of `tiny` with their card; gives the path as text."""
    card = {"network": {"name": "edsr", **SECTION}, "name": "tiny"}
    checkpoint.save_weights(path, tiny(seed)[1], card)
    return str(path)
