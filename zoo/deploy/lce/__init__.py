"""Export to Larq Compute Engine, for ARM."""
