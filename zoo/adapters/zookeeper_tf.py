"""zookeeper's base classes of data sets and preprocessing. They import TensorFlow."""

from zookeeper.tf import Dataset, Preprocessing, TFDSDataset

__all__ = ["Dataset", "Preprocessing", "TFDSDataset"]
