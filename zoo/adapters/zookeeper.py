"""zookeeper: components, fields, factories and tasks. Importing this imports no TensorFlow."""

from zookeeper import ComponentField, Field, cli, component, configure, factory, task
from zookeeper.core import utils
from zookeeper.core.component import base_getattr
from zookeeper.core.factory_registry import FACTORY_REGISTRY
from zookeeper.core.partial_component import PartialComponent

__all__ = [
    "FACTORY_REGISTRY",
    "ComponentField",
    "Field",
    "PartialComponent",
    "base_getattr",
    "cli",
    "component",
    "configure",
    "factory",
    "task",
    "utils",
]
