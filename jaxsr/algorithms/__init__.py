"""Training methods: each file builds an `Algorithm` of three pure functions."""
