"""Everything that this project uses from larq, larq-zoo and zookeeper, one module each.

Their authors no longer maintain them (docs/dependencies.md). No other module imports them, so a
replacement changes one file.
"""
