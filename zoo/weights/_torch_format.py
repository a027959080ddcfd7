"""Read the two formats of PyTorch's files: a zip since 1.6; before, pickles followed by numbers."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo.untrusted.archives import open_zip
from zoo.untrusted.opening import open_regular, read_bytes
from zoo.weights._torch_names import Damaged, Refused, Storage, Tensor
from zoo.weights._torch_pickle import Unpickler

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_VERSION = 1001


@dataclass(frozen=True)
class TorchFile:
    """The content of a file.

    Attributes:
        content: the object given to `torch.save`; each tensor is a `Tensor`, which `array` reads.
        block: returns the bytes of a storage, at least as many as the storage declares.
    """

    content: Any
    block: Callable[[Storage], memoryview]

    def array(self, tensor: Tensor) -> np.ndarray:
        """Return the numbers of a tensor, with its dtype and shape; a view without copying."""
        storage = tensor.storage
        if not tensor.size:
            return np.zeros(tensor.shape, storage.dtype)
        width = storage.dtype.itemsize
        offset = (storage.first + tensor.offset) * width
        strides = [each * width for each in tensor.strides]
        # NumPy refuses a tensor that would reach outside the block.
        return np.ndarray(tensor.shape, storage.dtype, self.block(storage), offset, strides)


def open_file(path: Path) -> TorchFile:
    """Read a file of either format, without the numbers of its tensors.

    Raises:
        Refused: it refers to something that is neither a tensor nor plain data.
        FileError: it is not a regular file, is too large, or is an unsafe zip.
        Damaged, OSError or another Python error: it is not a file that PyTorch writes.
    """
    with open_regular(path) as file:
        zipped = file.read(2) == b"PK"
    return _open_zip(path) if zipped else _open_legacy(path)


def _open_zip(path: Path) -> TorchFile:
    with open_zip(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
            raise Damaged("a part of it is compressed, which PyTorch never does")
        (pickled,) = [name for name in members if name.endswith("/data.pkl")] or [""]
        root = pickled.removesuffix("data.pkl")
        if not root or f"{root}constants.pkl" in members:
            raise Refused("TorchScript") if root else Damaged("it has no data.pkl")
        if f"{root}byteorder" in members and archive.read(f"{root}byteorder") != b"little":
            raise Damaged("it was written by a big-endian machine")
        unpickler = Unpickler()
        content = unpickler.load(io.BytesIO(archive.read(pickled)))
    for storage in unpickler.storages.values():
        member = members.get(f"{root}data/{storage.key}")
        if member is None or member.file_size < storage.numel * storage.dtype.itemsize:
            raise Damaged("it holds fewer numbers than it declares")
    read: dict[str, memoryview] = {}  # tensors may share a storage

    def block(storage: Storage) -> memoryview:
        if storage.key not in read:
            with open_zip(path) as archive:
                read[storage.key] = memoryview(archive.read(f"{root}data/{storage.key}"))
        return read[storage.key]

    return TorchFile(content, block)


def _open_legacy(path: Path) -> TorchFile:
    content = read_bytes(path)
    if not content.startswith(pickle.PROTO):
        # Almost any other byte is some opcode too: the file is not a pickle that holds harm.
        raise Damaged("it does not begin like a PyTorch file")
    file = io.BytesIO(content)
    start = [Unpickler().load(file) for _ in range(2)]
    if start != [LEGACY_MAGIC, LEGACY_VERSION]:
        raise Damaged("it does not begin like a PyTorch file")
    Unpickler().load(file)  # skip the writer's byte order and sizes: the numbers are little-endian
    unpickler = Unpickler()
    value = unpickler.load(file)
    keys = Unpickler().load(file)
    blocks: dict[str, memoryview] = {}
    position = file.tell()
    for key in keys:
        storage = unpickler.storages[key]
        (numel,) = struct.unpack_from("<q", content, position)
        start_of = position + 8
        position = start_of + numel * storage.dtype.itemsize
        if numel != storage.numel or position > len(content):
            raise Damaged("it holds fewer numbers than it declares")
        blocks[key] = memoryview(content)[start_of:position]
    if set(blocks) != set(unpickler.storages):
        raise Damaged("numbers are missing")
    return TorchFile(value, lambda storage: blocks[storage.key])
