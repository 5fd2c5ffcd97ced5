"""Pure image functions: resize, colour, pixel shuffle."""
