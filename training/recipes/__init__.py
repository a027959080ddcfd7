"""The recipes: one file a paper, and two that are of none. `lqz train` lists the tasks in them.

Files with a leading `_` hold what recipes share; what others need of it is imported from here.
"""

from training.recipes._recipe import Recipe
from training.recipes._teachers import KerasApplicationFactory
from training.recipes._two_stages import DistilledTwoStages

__all__ = ["DistilledTwoStages", "KerasApplicationFactory", "Recipe"]
