"""All that this project takes from larq, larq-zoo and zookeeper, a module for each.

Their authors maintain them no longer (docs/dependencies.md). Nothing else of this project imports
them, so that a replacement changes one file.
"""
