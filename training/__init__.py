"""Training: recipes, data and the command line `lqz`. Importing this imports no TensorFlow."""
