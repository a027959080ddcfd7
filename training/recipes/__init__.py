"""The recipes: one file a paper, and three of no paper. `lqz train` lists the tasks in them.

Files with a leading `_` hold what recipes share; what others need of it is imported from here.
"""

from training.recipes._recipe import Recipe
from training.recipes._teachers import KerasApplicationFactory

__all__ = ["KerasApplicationFactory", "Recipe"]
