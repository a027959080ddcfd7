"""Download one file: afterwards it is complete and checked, or does not exist."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from zoo.errors import FileError, WeightsError
from zoo.files import expanded
from zoo.files import sha256 as digest_of
from zoo.pretrained.addresses import shortened
from zoo.pretrained.cache import writing_to
from zoo.pretrained.http import PATIENCE, Patience, begun_version, fetch, web_page
from zoo.untrusted.opening import open_regular

BLOCK = 1 << 16
HTML = (b"<!doctype html", b"<html", b"<?xml", b"<!--")


def download(
    address: str,
    target: Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    patience: Patience | None = None,
) -> str:
    """Download `address` to `target`; the caller must hold the lock.

    It resumes the download of a killed process if the server still has the same file. After a
    failure it leaves no files.

    Args:
        address: http, https or file address, or a path.
        target: the file to write; during the download there is a target.part beside it.
        sha256, size: expected values; None if unknown.
        patience: how long to wait; the default is PATIENCE.

    Returns:
        The file's sha256.

    Raises:
        WeightsError: the download fails, the file is wrong, or the disk is full.
    """
    part = target.with_name(target.name + ".part")
    label = target.with_name(target.name + ".part.json")  # says which file `part` belongs to
    keep = False
    with writing_to(target.parent):
        try:
            begun = part.exists() and begun_version(label, address) is not None
            found = _get(address, part, label, sha256, size, patience)
            if begun and sha256 and found != sha256:  # the old part was damaged
                part.unlink()
                found = _get(address, part, label, sha256, size, patience)
            with part.open("rb") as file:
                start = file.read(512).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
            if start.startswith(HTML):
                raise web_page(address)
            if size is not None and part.stat().st_size != size:
                raise WeightsError(
                    f"{shortened(address)} sent {part.stat().st_size:,} bytes, not the {size:,} of "
                    "this set: the file is truncated or the wrong one."
                )
            if sha256 and found != sha256:
                raise WeightsError(
                    f"{shortened(address)} sent a file whose sha256 begins with {found[:12]}, not "
                    f"with {sha256[:12]}: it is damaged or the wrong one, and was not kept."
                )
            part.replace(target)
        except KeyboardInterrupt:
            keep = True  # the next start continues from here
            raise
        finally:
            if not keep:
                part.unlink(missing_ok=True)
                label.unlink(missing_ok=True)
    return found


def _get(
    address: str,
    part: Path,
    label: Path,
    sha256: str | None,
    size: int | None,
    patience: Patience | None,
) -> str:
    """Download the whole file to `part`; return its sha256."""
    if urlsplit(address).scheme in ("http", "https"):
        fetch(address, part, label, sha256, size, patience or PATIENCE)
    else:
        _copy(address, part)
    return digest_of(part)


def _copy(address: str, part: Path) -> None:
    """Copy the file at a file address or a path."""
    parts = urlsplit(address)
    if parts.scheme == "file":
        source = Path(url2pathname(parts.path))
    elif "://" not in address:
        source = expanded(address)
    else:
        raise WeightsError(f"Addresses must begin with http, https or file, not '{parts.scheme}'.")
    try:
        reading = open_regular(source)
    except FileError as error:
        raise WeightsError(str(error)) from error
    with reading, part.open("wb") as file:
        shutil.copyfileobj(reading, file, BLOCK)
