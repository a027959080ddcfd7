"""Reads the image files of a folder one by one: a bad one is an unreadable image, not an error.

A file may have gone since it was listed, have become a pipe, be sparse, or declare more pixels than
the memory holds. Reading it in Python, with the checks of `zoo.untrusted`, never waits and never
takes much memory; what cannot be used becomes empty content, which no decoder takes.
"""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf

from zoo.errors import FileError, printable
from zoo.images import as_png
from zoo.untrusted.images import MOST_FILE, check_declared_size
from zoo.untrusted.opening import open_regular


class ImageReader:
    """Reads image files, and remembers why some could not be used.

    Attributes:
        reasons: by path.
    """

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    def read(self, path: bytes) -> bytes:
        """A JPEG or PNG file's content, another image as a PNG file; nothing where it is unusable.

        Args:
            path: of the file, in the file system's encoding.
        """
        name = os.fsdecode(path)
        try:
            with open_regular(name, MOST_FILE) as file:
                content = file.read()
            check_declared_size(content, name)
            return as_png(content)
        except (FileError, OSError) as error:
            reason = str(error).removeprefix(f"'{printable(name)}' ").rstrip(".")
            self.reasons[name] = reason
            return b""

    def contents(self, paths: tf.Tensor) -> tf.Tensor:
        """`read` of several files as one operation: strings [n] of strings [n].

        With an operation for each file, TensorFlow's threads wait for Python's lock so often that
        only one of two cores works.
        """

        def read(each: np.ndarray) -> np.ndarray:
            return np.array([self.read(path) for path in each], object)

        return tf.ensure_shape(tf.numpy_function(read, [paths], tf.string), [None])


def beginning(path: str | os.PathLike[str], count: int) -> bytes:
    """The first bytes of a regular file; nothing where it cannot be read."""
    try:
        with open_regular(os.fspath(path), MOST_FILE) as file:
            return file.read(count)
    except (FileError, OSError):
        return b""
