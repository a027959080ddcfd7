"""Open HDF5 files that hold only numbers and their names, without links to other files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import h5py

from zoo.errors import printable
from zoo.untrusted.archives import MOST_DEFLATED, NUMBERS
from zoo.untrusted.opening import MOST_TEXT, open_regular, require_memory, unsafe

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MOST_OBJECTS = 50_000
MOST_ATTRIBUTES = 1_000  # of one object
# Filters that are part of every HDF5 library; others may be plug-ins, which can run code.
FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
SLACK = 2**16  # bytes by which a chunk may be larger than its data set
HEAP = b"GCOL\x01\x00\x00\x00"  # start of a block of texts with variable length
BLOCK = 2**20


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file and check all of it. Raises as `checked`; OSError if it is not HDF5."""
    with open_regular(path) as file, checked(file, path) as content:
        yield content


@contextmanager
def checked(file: IO[bytes], path: Path) -> Iterator[h5py.File]:
    """Check and open the HDF5 file in an open file, or in a member of an archive.

    Args:
        file: gives the bytes; must be able to seek.
        path: the name for error messages.

    Raises:
        FileError: it has links or data outside the file, an unknown filter, too many objects, or
            anything other than numbers; or it declares more than it holds or than memory can hold.
        OSError, RuntimeError: it is not a readable HDF5 file.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(len(SIGNATURE)) != SIGNATURE:
        raise OSError("it is not an HDF5 file")
    file.seek(0)
    with h5py.File(file, "r") as content:
        Walk(path, size, file).group(content)
        yield content


def count_numbers(content: h5py.File) -> int:
    """Return how many numbers all data sets of a checked file hold."""
    found = [0]

    def add(_: str, each: Any) -> None:
        if isinstance(each, h5py.Dataset):
            found[0] += each.size or 0

    content.visititems(add)
    return found[0]


def _largest_heap(file: IO[bytes]) -> int:
    """Return an upper bound for the length of a text in an HDF5 file, without reading a text."""
    position, largest, tail = file.tell(), 0, b""
    file.seek(0)
    while block := file.read(BLOCK):
        block = tail + block
        at = block.find(HEAP)
        while at >= 0:
            size = block[at + len(HEAP) : at + len(HEAP) + 8]
            largest = max(largest, int.from_bytes(size, "little"))
            at = block.find(HEAP, at + 1)
        tail = block[-len(HEAP) - 7 :]
    file.seek(position)
    return largest


class Walk:
    """One walk through a file, which checks each object and sums the declared bytes.

    Attributes:
        path: the file's name in error messages.
        size: number of bytes of the file.
        file: its bytes.
        seen: addresses of its groups and data sets.
        declared: bytes of all data sets so far.
    """

    def __init__(self, path: Path, size: int, file: IO[bytes]):
        self.path, self.size, self.file = path, size, file
        self._largest_text: int | None = None
        self.seen: set[Any] = set()
        self.declared = 0

    def group(self, top: h5py.Group) -> None:
        """Check a group and everything below it."""
        waiting = [top]  # a list, not recursion: a file can have any depth
        while waiting:
            group = waiting.pop()
            self._once(group)
            if len(group) > MOST_OBJECTS:
                raise self._unsafe(f"it holds more than {MOST_OBJECTS:,} objects")
            for name in group:
                shown = printable(name)
                link = group.get(name, getlink=True)
                if not isinstance(link, h5py.HardLink):
                    kind = "an external" if isinstance(link, h5py.ExternalLink) else "a symbolic"
                    raise self._unsafe(f"'{shown}' is {kind} link")
                found = group[name]
                if isinstance(found, h5py.Group):
                    waiting.append(found)
                elif isinstance(found, h5py.Dataset):
                    self._once(found)
                    self._data(shown, found)
                else:
                    raise self._unsafe(f"'{shown}' is neither a group nor a data set")

    def _once(self, found: Any) -> None:
        """Record an object; refuse a second link to it, which could be a loop or multiply reads."""
        info = h5py.h5o.get_info(found.id)
        key = (info.fileno, info.addr)
        if key in self.seen:
            raise self._unsafe(f"'{printable(found.name or '')}' occurs twice")
        self.seen.add(key)
        if len(self.seen) > MOST_OBJECTS:
            raise self._unsafe(f"it holds more than {MOST_OBJECTS:,} objects")
        self._attributes(found)

    def _attributes(self, found: Any) -> None:
        if len(found.attrs) > MOST_ATTRIBUTES:
            raise self._unsafe(f"one object has more than {MOST_ATTRIBUTES:,} attributes")
        for name in found.attrs:
            shown = printable(name)
            attribute = found.attrs.get_id(name)
            count = attribute.get_space().get_simple_extent_npoints()
            stored = count * attribute.get_type().get_size()
            if stored > min(self.size, MOST_TEXT):
                raise self._unsafe(f"its attribute '{shown}' declares {stored:,} bytes")
            if h5py.check_string_dtype(attribute.dtype) is None:
                if attribute.dtype.kind not in NUMBERS + "S":
                    raise self._unsafe(f"its attribute '{shown}' is neither text nor a number")
            elif attribute.dtype.kind == "O" and count > 1:
                # Each text needs only a few bytes in the file if all refer to one large text.
                if self._largest_text is None:
                    self._largest_text = _largest_heap(self.file)
                require_memory(count * self._largest_text, self.path)

    def _data(self, shown: str, found: h5py.Dataset) -> None:
        plan = found.id.get_create_plist()
        if plan.get_external_count():
            raise self._unsafe(f"the numbers of '{shown}' are in another file")
        if plan.get_layout() == h5py.h5d.VIRTUAL:
            raise self._unsafe(f"the numbers of '{shown}' are in other data sets")
        if found.dtype.kind not in NUMBERS:
            raise self._unsafe(f"'{shown}' holds {printable(str(found.dtype))}, not numbers")
        filters = {plan.get_filter(index)[0] for index in range(plan.get_nfilters())}
        if filters - FILTERS:
            number = min(filters - FILTERS)
            raise self._unsafe(f"'{shown}' needs the filter {number}, which may run code")
        if found.shape is None:
            return
        declared = found.dtype.itemsize
        for length in found.shape:
            declared *= length
        self.declared += declared
        stored = found.id.get_storage_size()
        held = stored * MOST_DEFLATED if filters else stored
        if declared > held or stored > self.size:
            raise self._unsafe(f"'{shown}' declares {declared:,} bytes but holds {stored:,}")
        if plan.get_layout() == h5py.h5d.CHUNKED:
            chunk = found.dtype.itemsize
            for length in plan.get_chunk():
                chunk *= length
            if chunk > declared + SLACK:
                raise self._unsafe(f"a part of '{shown}' declares {chunk:,} bytes")
        require_memory(self.declared, self.path)

    def _unsafe(self, why: str) -> Exception:
        return unsafe(self.path, why)
