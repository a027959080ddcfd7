"""The recipes: one file a paper, and two that are of none. `lqz train` lists the tasks in them."""
