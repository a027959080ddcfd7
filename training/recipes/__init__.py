"""The papers' recipes, one file each. `lqz train` lists the tasks in them."""
