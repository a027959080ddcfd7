"""What `lqz` does: a file or a folder for each command."""
