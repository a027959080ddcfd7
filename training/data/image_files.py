"""Read the image files of a folder one by one; a bad file is an unreadable image, not an error.

Since it was listed, a file may have been removed or replaced by a pipe. It may be sparse, or
declare more pixels than fit in memory. We read it in Python with the checks of `zoo.untrusted`,
which never block and never need much memory. An unusable file becomes empty content, which no
decoder accepts.
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
    """Read image files, and remember why some could not be used.

    Attributes:
        reasons: the reasons, by path.
    """

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    def read(self, path: bytes) -> bytes:
        """Return an image file's bytes (JPEG, or converted to PNG); empty if it is unusable.

        Args:
            path: the file's path, in the file system's encoding.
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
        """Call `read` for several files in one TensorFlow operation: strings [n] to strings [n].

        With one operation per file, TensorFlow's threads would wait for Python's lock so often that
        only one of two cores works.
        """

        def read(each: np.ndarray) -> np.ndarray:
            return np.array([self.read(path) for path in each], object)

        return tf.ensure_shape(tf.numpy_function(read, [paths], tf.string), [None])


def beginning(path: str | os.PathLike[str], count: int) -> bytes:
    """Return the first `count` bytes of a regular file; empty if it cannot be read."""
    try:
        with open_regular(os.fspath(path), MOST_FILE) as file:
            return file.read(count)
    except (FileError, OSError):
        return b""
