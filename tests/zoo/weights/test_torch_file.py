"""PyTorch's files without PyTorch: two that torch wrote, and many malicious ones."""

import io
import os
import pickle
import pickletools
import struct
import sys
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
from torch_pickles import Block, Called, Raw, Writer, pickled, refused, tensor, write

from zoo.errors import WeightsError
from zoo.weights import torch_file

FILES = Path(__file__).parent / "torch_files"
FORMATS = pytest.mark.parametrize("format", ["zip", "legacy"])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.pth"


@FORMATS
def test_what_torch_wrote(format, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # None in sys.modules makes imports fail
    found = torch_file.read(FILES / f"{format}.pth")
    with np.load(FILES / "expected.npz") as expected:
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert found[key].dtype == value.dtype and found[key].shape == value.shape, key
            np.testing.assert_array_equal(found[key], value)


@FORMATS
@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_binary_protocols(path, format, protocol):
    write(
        path,
        format,
        {"module.a": tensor(Block(2))},
        np.float32([1, 2]).tobytes(),
        protocol=protocol,
    )
    assert torch_file.read(path)["a"].tolist() == [1, 2]


@pytest.mark.parametrize("protocol", [0, 1])
def test_text_protocols(path, protocol):
    """torch has never written tensors in these pickle protocols."""
    write(path, "zip", {"words": ["a", 1, 2.5, None, True, (1,)]}, protocol=protocol)
    refused(path, "holds no weights, only words")


@FORMATS
@pytest.mark.parametrize("function", ["_rebuild_tensor", "_rebuild_parameter"])
def test_old_and_wrapped_tensors(path, format, function):
    value = tensor(Block(2))
    if function == "_rebuild_parameter":
        value = Called(Raw("torch._utils", function), value, True, OrderedDict())
    else:
        value = Called(Raw("torch._utils", function), Block(2), 0, (2,), (1,))
    write(path, format, {"a": value}, np.float32([1, 2]).tobytes())
    assert torch_file.read(path)["a"].tolist() == [1, 2]


def test_a_part_of_a_block(path):
    """PyTorch before 0.4 saved storages that are parts of others in this form."""

    class Part(Writer):
        def persistent_id(self, value):
            found = super().persistent_id(value)
            return found and (*found, ("1", 1, 2))

    file = io.BytesIO()
    Part(file, 2).dump({"a": tensor(Block(4))})
    write(path, "legacy", file.getvalue(), np.float32([1, 2, 3, 4]).tobytes(), numel=4)
    assert torch_file.read(path)["a"].tolist() == [2, 3]


HARM = {
    "posix.system": Called(Raw("posix", "system"), "touch harmed"),
    "builtins.eval": Called(Raw("builtins", "eval"), "open('harmed', 'w')"),
    "__builtin__.getattr": Called(
        Called(Raw("__builtin__", "getattr"), Raw("os", "path"), "os"), "harmed"
    ),
    "numpy.core.multiarray._reconstruct": Called(
        Raw("numpy.core.multiarray", "_reconstruct"), Raw("numpy", "ndarray"), (0,), b"b"
    ),
    "numpy.dtype O8": Called(Raw("numpy", "dtype"), "O8", False, True),
    "torch.nn.modules.linear.Linear": Raw("torch.nn.modules.linear", "Linear"),
    "torch.ComplexFloatStorage": tensor(Block(2, "ComplexFloat")),
    "torch._utils._rebuild_sparse_tensor": tensor(Block(2), function="_rebuild_sparse_tensor"),
    "torch._utils._rebuild_tensor_v2.__globals__": Raw(
        "torch._utils", "_rebuild_tensor_v2.__globals__"
    ),
    "collections.defaultdict": Called(Raw("collections", "defaultdict"), Raw("builtins", "list")),
    "zoo.weights.torch_file.read": Raw("zoo.weights.torch_file", "read"),
}


class TestRefused:
    @FORMATS
    @pytest.mark.parametrize("name", HARM)
    def test_by_name(self, path, format, name, monkeypatch):
        monkeypatch.chdir(path.parent)
        write(path, format, {"state_dict": {"a": tensor(Block(2))}, "more": HARM[name]})
        refused(path, f"holds more than numbers: it contains '{name}', which is refused")
        assert not Path("harmed").exists()

    def test_by_name_in_other_opcodes(self, path, monkeypatch):
        """Python's own pickles of four protocols, a set, an object, INST and an extension."""
        monkeypatch.chdir(path.parent)

        class Harm:
            def __reduce__(self):
                return os.system, ("touch harmed",)

        for content, name in [
            *((pickle.dumps(Harm(), protocol), "posix.system") for protocol in range(2, 6)),
            *((b"\x80\x02" + pickle.dumps(Harm(), text), "posix.system") for text in (0, 1)),
            (b"\x80\x02(S'touch harmed'\niposix\nsystem\n.", "posix.system"),
            (b"\x80\x02(cposix\nsystem\nS'touch harmed'\no.", "posix.system"),
            (pickle.dumps({1}, 4), "EMPTY_SET"),
            (pickle.dumps({1}, 2), "__builtin__.set"),
            (pickle.dumps(Path("x"), 4), "pathlib"),
            (b"\x80\x02\x82\x01.", "extension 1"),
            (b"\x80\x02Pmodule\n.", "PERSID"),
            (pickle.dumps(bytearray(b"x"), 5), "BYTEARRAY8"),
            (pickle.dumps(defaultdict(list), 2), "collections.defaultdict"),
        ]:
            path.write_bytes(content)
            refused(path, f"it contains '{name}")
        assert not Path("harmed").exists()

    def test_any_first_byte_of_noise(self, path):
        """Most bytes are an opcode of a pickle, some of one that is refused by name."""
        noise = np.random.default_rng(0).bytes(5000)
        for first in range(256):
            path.write_bytes(bytes([first]) + noise)
            refused(path, "is not a readable PyTorch file")
        path.write_bytes(b"\x80\x04K\x01K\x02\x93.")
        refused(path, "a name is not a word")
        for text in (0, 1):
            path.write_bytes(pickle.dumps(os.system, text))
            refused(path, "does not begin like a PyTorch file")

    @FORMATS
    @pytest.mark.parametrize(
        ("value", "says"),
        [
            (tensor(Block(2**62), shape=(2**62,)), "holds fewer numbers than it declares"),
            (tensor(Block(2), shape=(3,)), "a tensor is larger than its storage"),
            (tensor(Block(2), shape=(2,), strides=(2,)), "a tensor is larger than"),
            (tensor(Block(2), offset=1), "a tensor is larger than"),
            (tensor(Block(2), offset=-1), "a size is not a whole number"),
            (tensor(Block(2), shape=(-1,)), "a size is not a whole number"),
            (tensor(Block(2), strides=(-1,)), "a size is not a whole number"),
            (tensor(Block(-2)), "a size is not a whole number"),
            (tensor(Block(2), shape=(2.0,)), "a size is not a whole number"),
            (tensor(Block(2), shape=(True,)), "a size is not a whole number"),
            (tensor(Block(2), shape=(1,) * 33, strides=(1,) * 33), "a shape is not a short tuple"),
            (tensor(Block(2), shape=(1, 2)), "differ in length"),
            (tensor("0"), "a tensor has no storage"),
            (tensor(Block(2), shape=(10**12,), strides=(0,)), "unpacks to 4,000,000,000,000 by"),
            (tensor(Block(2), shape=(2**62, 2**62), strides=(0, 0)), "unpacks to"),
            (Called(Raw("torch._utils", "_rebuild_parameter"), 3), "a parameter has no tensor"),
            (Called(Raw("torch", "FloatStorage"), 3), "an object is called that is not a function"),
            (Called(Raw("torch", "float32"), 3), "an object is called that is not a function"),
            (Called(Raw("numpy.core.multiarray", "scalar"), 3, 4), "has no type or content"),
            (Called(Raw("collections", "OrderedDict"), 3), "not a readable PyTorch file"),
            (Called(Raw("_codecs", "encode"), "a", "punycode"), "in an unknown encoding"),
            (Block(2, key=3), "a storage has no name"),
            ([Block(2), Block(1)], "a storage has two different descriptions"),
        ],
    )
    def test_damage(self, path, format, value, says):
        write(path, format, {"a": value})
        refused(path, says)

    @FORMATS
    def test_bytes_that_ask_for_memory(self, path, format):
        """A length and a memo index; Python's own unpickler allocates memory for them first."""
        for content in (
            b"\x8d" + struct.pack("<q", 2**62) + b"abc.",
            b"X" + struct.pack("<I", 2**32 - 1) + b"abc.",
            b"\x8b" + struct.pack("<i", 2**31 - 1) + b"abc.",
        ):
            write(path, format, b"\x80\x02" + content)
            refused(path, "not a readable PyTorch file")
        write(path, format, b"\x80\x02}r\xff\xff\xff\xff.")
        refused(path, "holds no weights|not a readable")

    @FORMATS
    def test_nesting(self, path, format):
        """A key of deeply nested tuples; its hash would overflow the stack."""
        deep = b"\x80\x02}" + b"\x85".join([b")"] + [b""] * 300_000) + b"K\x01s."
        write(path, format, deep)
        refused(path, "a dictionary's key is neither a word nor a number")

    @FORMATS
    def test_attributes_of_what_may_be_called(self, path, format):
        """In Python's unpickler, BUILD would set these attributes for all later files."""
        build = pickled(Raw("collections", "OrderedDict"))[:-1] + pickled({"x": 1})[2:-1] + b"b."
        assert [op.name for op, *_ in pickletools.genops(build)][-2:] == ["BUILD", "STOP"]
        write(path, format, build)
        refused(path, "a state is set on an object without one")

    @FORMATS
    @pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.99])
    def test_cut_short(self, path, format, share):
        whole = (FILES / f"{format}.pth").read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])
        refused(path, "'.*file.pth' is not a readable PyTorch file")

    @FORMATS
    def test_every_byte_changed(self, path, format):
        """Any file is read or refused in one sentence: no other error, little memory, no harm."""
        whole = (FILES / f"{format}.pth").read_bytes()
        rng = np.random.default_rng(0)
        for position in rng.choice(len(whole), 300, replace=False):
            content = bytearray(whole)
            content[position] = rng.integers(256)
            path.write_bytes(content)
            try:
                torch_file.read(path)
            except WeightsError as error:
                assert "\n" not in str(error)

    def test_a_number_of_numbers_that_is_not_there(self, path):
        for said in (3, -1, 2**60):
            write(path, "legacy", {"a": tensor(Block(2))}, said=said)
            refused(path, "holds fewer numbers than it declares|not a readable")
        write(path, "zip", {"a": tensor(Block(2))}, numbers=b"\0" * 7)
        refused(path, "holds fewer numbers than it declares")
        write(path, "zip", {"a": tensor(Block(2, key="../0"))})
        refused(path, "holds fewer numbers than it declares")

    def test_zips_that_torch_does_not_write(self, path):
        content = pickled({"a": tensor(Block(2))})

        def refuse(says, *members, compression=zipfile.ZIP_STORED):
            with zipfile.ZipFile(path, "w", compression) as archive:
                for name, data in (("x/data.pkl", content), ("x/data/0", bytes(8)), *members):
                    archive.writestr(name, data)
            refused(path, says)

        refuse("is compressed, which PyTorch never does", compression=zipfile.ZIP_DEFLATED)
        refuse("big-endian", ("x/byteorder", b"big"))
        refuse("it contains 'TorchScript'", ("x/constants.pkl", b""), ("x/code/a.py", b""))
        refuse("not a readable PyTorch file", ("y/data.pkl", content))
        refuse("points outside the archive", ("../x", b""))
        with pytest.warns(UserWarning, match="Duplicate name"):
            refuse("its member 'x/data/0' occurs twice", ("x/data/0", bytes(8)))
