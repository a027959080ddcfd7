"""`lqz benchmark`: several runtimes, each in its own process, measured alternately."""
