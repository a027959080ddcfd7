"""`lqz benchmark`: runtimes side by side, each in a process of its own, measured in turns."""
