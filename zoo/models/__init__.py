"""The papers' networks: one file for each paper; files with a leading `_` hold what they share.

What trains networks needs the base class of their factories, and `variant`, which builds the
network of a factory anew with other arguments.
"""

from zoo.models._factory import ZooFactory
from zoo.models._functions import FIELD_DOCS, variant

__all__ = ["FIELD_DOCS", "ZooFactory", "variant"]
