"""Training of a list of stages, independent of the recipe."""
