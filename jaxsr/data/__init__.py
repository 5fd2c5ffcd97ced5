"""Images from files to batches, on the host: NumPy, Pillow and grain."""
