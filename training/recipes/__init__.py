"""The recipes: one file per paper, and recipes without a paper. `lqz train` lists the tasks.

Files with a leading `_` hold shared code; other packages import it from here.
"""

from training.recipes._recipe import Recipe
from training.recipes._teachers import KerasApplicationFactory

__all__ = ["KerasApplicationFactory", "Recipe"]
