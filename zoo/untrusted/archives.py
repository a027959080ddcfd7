"""Read zip archives and .npz, which is a zip. Nothing here unpacks to disk or uses pickle."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, BinaryIO

import numpy as np

from zoo.errors import FileError, printable
from zoo.untrusted.opening import open_regular, require_memory, unsafe

MOST_MEMBERS = 20_000
MOST_DIRECTORY = 8 * 2**20  # bytes of an archive's table of contents
MOST_DEFLATED = 1032  # maximum number of bytes from one byte of deflate
MOST_WORD = 4096  # bytes of a text in an .npz
NUMBERS = "fiub"  # kinds of dtype: floats, integers, unsigned integers, booleans
TEXTS = "US"


@contextmanager
def open_zip(path: Path, members: Collection[str] | None = None) -> Iterator[zipfile.ZipFile]:
    """Open an archive after checking its table of contents.

    Args:
        path: the file.
        members: the only allowed names; None allows all names inside the archive.

    Raises:
        FileError: it is not a regular file; a member points outside, occurs twice, is encrypted, or
            declares more than it can hold; there are too many members, or too little free memory.
        zipfile.BadZipFile, OSError: it is not a readable zip.
    """
    with open_regular(path) as file:
        yield _checked(file, path, members)


def _checked(file: BinaryIO, path: Path, members: Collection[str] | None) -> zipfile.ZipFile:
    size = os.fstat(file.fileno()).st_size
    # Check the table's size first: the constructor of ZipFile reads the whole table.
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if not end:
        raise zipfile.BadZipFile("File is not a zip file")
    if end[zipfile._ECD_SIZE] > MOST_DIRECTORY:  # type: ignore[attr-defined]
        raise unsafe(path, f"it has more than the {MOST_MEMBERS:,} members allowed here")
    archive = zipfile.ZipFile(file)
    found = archive.infolist()
    if len(found) > MOST_MEMBERS:
        raise unsafe(path, f"it has {len(found):,} members, more than the {MOST_MEMBERS:,} allowed")
    seen: set[str] = set()
    for member in found:
        name = member.filename
        _require_inside(path, name)
        if name in seen:
            raise unsafe(path, f"its member '{printable(name)}' occurs twice")
        seen.add(name)
        if members is not None and name not in members:
            raise unsafe(path, f"its member '{printable(name)}' does not belong there")
        if member.flag_bits & 1:
            raise unsafe(path, f"its member '{printable(name)}' is encrypted")
        most = {
            zipfile.ZIP_STORED: member.compress_size,
            zipfile.ZIP_DEFLATED: MOST_DEFLATED * member.compress_size,
        }.get(member.compress_type)
        if most is None:
            raise unsafe(path, f"its member '{printable(name)}' has an unknown compression")
        if member.file_size > most:
            raise unsafe(path, f"its member '{printable(name)}' declares more than it can hold")
    if sum(member.compress_size for member in found) > size:
        raise unsafe(path, "its members overlap")
    require_memory(sum(member.file_size for member in found), path)
    return archive


def _require_inside(path: Path, name: str) -> None:
    for kind in (PurePosixPath, PureWindowsPath):
        inside = kind(name)
        if inside.is_absolute() or inside.drive or ".." in inside.parts:
            raise unsafe(path, f"its member '{printable(name)}' points outside the archive")


def check_zip(path: Path, members: Collection[str] | None = None) -> None:
    """Raise what `open_zip` raises, without keeping the archive open."""
    with open_zip(path, members):
        pass


@dataclass(frozen=True)
class Header:
    """Shape and dtype of an array in an .npz."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool = False  # the first axis varies fastest


def read_npz_headers(path: Path) -> dict[str, Header]:
    """Return shape and dtype of each array; reads no array. Raises as `read_npz_arrays`."""
    return {key: header for key, header, _ in _npz(path, arrays=False)}


def read_npz_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return every array of an .npz.

    Raises:
        FileError: it is unsafe or damaged, or holds anything other than numbers and short texts.
    """
    return {key: array for key, _, array in _npz(path, arrays=True)}


def _npz(path: Path, arrays: bool) -> Iterator[tuple[str, Header, Any]]:
    try:
        with open_zip(path) as archive:
            # Check all headers first, so that a bad array is found before memory is allocated.
            headers = [_header(archive, member, path) for member in archive.infolist()]
            for member, header in zip(archive.infolist(), headers, strict=True):
                array = _array(archive, member, header) if arrays else None
                yield member.filename.removesuffix(".npy"), header, array
    except FileError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds
        raise FileError(
            f"'{printable(str(path))}' is not a readable .npz of weights: {one_line(error)}."
        ) from error


def _read_header(file: Any) -> Header:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):  # 3.0 is only for arrays with named fields
        raise ValueError(f"an array of format {version[0]}.{version[1]}")
    read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
    shape, fortran, dtype = read[version[0]](file)
    return Header(shape, dtype, fortran)


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Header:
    name = printable(member.filename)
    if not member.filename.endswith(".npy"):
        raise ValueError(f"its member '{name}' is not an array")
    with archive.open(member) as file:
        header = _read_header(file)
        start = file.tell()
    kind, item = header.dtype.kind, header.dtype.itemsize
    if kind in TEXTS and item <= MOST_WORD:
        pass
    elif kind not in NUMBERS:
        what = "Python objects" if header.dtype.hasobject else f"the type {header.dtype}"
        raise ValueError(f"its array '{name}' holds {printable(what)}, not numbers")
    count = 1
    for length in header.shape:  # Python's integers: NumPy's product could overflow
        if length < 0:
            raise ValueError(f"its array '{name}' has a negative size")
        count *= length
    if start + count * item != member.file_size:
        raise unsafe(
            path,
            f"its array '{name}' declares {count * item:,} bytes but has "
            f"{member.file_size - start:,}",
        )
    return header


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, header: Header) -> np.ndarray:
    with archive.open(member) as file:
        _read_header(file)
        content = file.read()  # at the end, zipfile compares the checksum
    order: Any = "F" if header.fortran else "C"
    return np.frombuffer(content, header.dtype).reshape(header.shape, order=order).copy()


def one_line(error: Exception) -> str:
    """Return the text of an error, as part of a sentence."""
    text = str(error).strip()
    return printable(text.splitlines()[0].rstrip(".:")) if text else type(error).__name__
