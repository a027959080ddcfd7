"""larq-zoo: the base class of factories, and the preprocessing of its models.

`zoo/catalog.csv` names the models and the module of each.
"""

from larq_zoo import preprocess_input
from larq_zoo.core.model_factory import DimType, ModelFactory

__all__ = ["DimType", "ModelFactory", "preprocess_input"]
