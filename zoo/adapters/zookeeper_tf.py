"""zookeeper's bases of data sets and preprocessing, which import TensorFlow."""

from zookeeper.tf import Dataset, Preprocessing, TFDSDataset

__all__ = ["Dataset", "Preprocessing", "TFDSDataset"]
