"""Files in torch's formats, written without torch, whose pickles may hold any name and any size."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict

import pytest

from zoo.errors import WeightsError
from zoo.weights import torch_file
from zoo.weights._torch_format import LEGACY_MAGIC, LEGACY_VERSION


class Raw:
    """A name in a pickle; `pickle` writes it as a GLOBAL of any module."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Called:
    """A call in a pickle."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments


class Block:
    """A storage in a pickle."""

    def __init__(self, numel, kind="Float", key="0"):
        self.numel, self.kind, self.key = numel, kind, key


class Writer(pickle._Pickler):
    """A pickler that writes names as in torch's pickles; they need not exist."""

    def persistent_id(self, value):
        if isinstance(value, Block):
            return ("storage", Raw("torch", f"{value.kind}Storage"), value.key, "cpu", value.numel)
        return None

    def save(self, value, save_persistent_id=True):
        if isinstance(value, Raw):
            self.write(pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode())
        elif isinstance(value, Called):
            self.save(value.function)
            self.save(value.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(value, save_persistent_id)


def pickled(value, protocol=2):
    file = io.BytesIO()
    Writer(file, protocol).dump(value)
    return file.getvalue()


def tensor(block, offset=0, shape=(2,), strides=(1,), function="_rebuild_tensor_v2"):
    return Called(
        Raw("torch._utils", function), block, offset, shape, strides, False, OrderedDict()
    )


def write(path, format, value, numbers=b"\0" * 8, numel=2, said=None, protocol=2):
    """Write a file with one block "0", as torch does."""
    content = value if isinstance(value, bytes) else pickled(value, protocol)
    if format == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", content)
            archive.writestr("archive/byteorder", b"little")
            archive.writestr("archive/data/0", numbers)
    else:
        heads = [pickle.dumps(each, 2) for each in (LEGACY_MAGIC, LEGACY_VERSION, {})]
        tail = pickle.dumps(["0"], 2) + struct.pack("<q", numel if said is None else said)
        path.write_bytes(b"".join(heads) + content + tail + numbers)


def refused(path, says):
    with pytest.raises(WeightsError, match=says) as caught:
        torch_file.read(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
