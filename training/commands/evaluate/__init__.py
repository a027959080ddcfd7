"""`lqz evaluate`."""
