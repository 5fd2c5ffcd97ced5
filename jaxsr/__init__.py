"""Image super-resolution and restoration papers, reimplemented in functional JAX/Flax."""
