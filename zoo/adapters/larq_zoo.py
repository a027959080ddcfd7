"""larq-zoo: the base of a factory, and the preprocessing of its models.

The models themselves are named in `zoo/catalog.csv`, which says where each is defined.
"""

from larq_zoo import preprocess_input
from larq_zoo.core.model_factory import DimType, ModelFactory

__all__ = ["DimType", "ModelFactory", "preprocess_input"]
