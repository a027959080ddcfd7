"""Larq Compute Engine, for ARM."""
