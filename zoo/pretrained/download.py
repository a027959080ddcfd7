"""Downloads one file: with progress bar, resuming and retries; complete or not there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urljoin, urlsplit
from urllib.request import url2pathname

from zoo.errors import FileError, WeightsError, printable
from zoo.files import expanded
from zoo.files import sha256 as digest_of
from zoo.pretrained.cache import writing_to
from zoo.untrusted.opening import open_regular, read_text

if TYPE_CHECKING:
    import requests

MOST_BYTES = 4 * 2**30  # a server that sends without end must not fill the disk
MOST_REDIRECTS = 10
BLOCK = 1 << 16
HTML = (b"<!doctype html", b"<html", b"<?xml", b"<!--")
PROGRESS = 1 << 14  # bytes that make a broken connection no failed try


@dataclass(frozen=True)
class Patience:
    """Seconds to wait for a connection and for the next bytes; tries; seconds between them."""

    connect: float = 15.0
    read: float = 60.0
    tries: int = 5
    pause: float = 2.0


PATIENCE = Patience()


class _Retry(Exception):
    """A temporary fault: a dropped connection, a stall, a server error."""


class _Stall(_Retry):
    """A server that said nothing for long."""


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
        target: where to put it; beside it, target.part while it is fetched.
        sha256, size: expected values; None if unknown.
        patience: how long to wait, by default PATIENCE.

    Returns:
        The file's sha256.

    Raises:
        WeightsError: the download fails, the file is wrong, or the disk is full.
    """
    part = target.with_name(target.name + ".part")
    label = target.with_name(target.name + ".part.json")  # which file `part` is the beginning of
    keep = False
    with writing_to(target.parent):
        try:
            begun = part.exists() and _label_of(label, address) is not None
            found = _get(address, part, label, sha256, size, patience)
            if begun and sha256 and found != sha256:  # what was here before was damaged
                part.unlink()
                found = _get(address, part, label, sha256, size, patience)
            with part.open("rb") as file:
                start = file.read(512).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
            if start.startswith(HTML):
                raise _web_page(address)
            if size is not None and part.stat().st_size != size:
                raise WeightsError(
                    f"{_short(address)} sent {part.stat().st_size:,} bytes, not the {size:,} of "
                    "this set: the file is truncated or the wrong one."
                )
            if sha256 and found != sha256:
                raise WeightsError(
                    f"{_short(address)} sent a file whose sha256 begins with {found[:12]}, not "
                    f"with {sha256[:12]}: it is damaged or the wrong one, and was not kept."
                )
            part.replace(target)
        except KeyboardInterrupt:
            keep = True  # the next start goes on from here
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
    """The whole file at `part`; its sha256."""
    if urlsplit(address).scheme in ("http", "https"):
        _fetch(address, part, label, sha256, size, patience or PATIENCE)
    else:
        _copy(address, part)
    return digest_of(part)


def _fetch(
    address: str, part: Path, label: Path, sha256: str | None, size: int | None, patience: Patience
) -> None:
    import requests

    with _session() as session:
        session.max_redirects = MOST_REDIRECTS
        left, farthest = patience.tries, 0
        while True:
            left -= 1
            before = _size(part)
            try:
                return _try(session, address, part, label, sha256, size, patience)
            except requests.TooManyRedirects:
                raise WeightsError(
                    f"{_short(address)} redirects too often (more than {MOST_REDIRECTS} times)."
                ) from None
            except (
                _Retry,
                requests.ConnectionError,
                requests.Timeout,
                requests.exceptions.ChunkedEncodingError,
            ) as error:
                stalled = isinstance(error, (_Stall, requests.Timeout))
                if _size(part) >= farthest + PROGRESS and not stalled:
                    left = patience.tries  # it gets on, however often it breaks off
                farthest = max(farthest, _size(part))
                if not left:
                    raise WeightsError(
                        f"{_short(address)} cannot be downloaded ({_reason(error)}), after "
                        f"{patience.tries} tries."
                    ) from error
            except requests.RequestException as error:  # an invalid address, and the like
                raise WeightsError(
                    f"{_short(address)} cannot be downloaded ({_reason(error)})."
                ) from error
            if _size(part) <= before:  # else the next try need not wait
                time.sleep(patience.pause)


def _session() -> requests.Session:
    """One that never leaves https: what follows would come from anyone on the way."""
    import requests

    class Session(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> str | None:
            target = super().get_redirect_target(resp)
            if target and urlsplit(resp.url).scheme == "https":
                scheme = urlsplit(urljoin(resp.url, target)).scheme
                if scheme != "https":
                    raise WeightsError(
                        f"{_short(resp.url)} redirects from https to {printable(scheme)}, which "
                        "is not encrypted; the redirect was not followed."
                    )
            return target

    return Session()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _try(
    session: requests.Session,
    address: str,
    part: Path,
    label: Path,
    sha256: str | None,
    size: int | None,
    patience: Patience,
) -> None:
    """One request: the whole file, or what is missing of it."""
    have = _size(part)
    version = _label_of(label, address)
    if have and version is None:  # the beginning of another address's file
        part.unlink()
        have = 0
    # Compressed in transit, neither ranges nor lengths would be the file's.
    headers = {"Accept-Encoding": "identity"}
    if have and (version or sha256):  # else nothing would tell two versions of a file apart
        headers["Range"] = f"bytes={have}-"
        if version:
            headers["If-Range"] = version
    wait = (patience.connect, patience.read)
    with session.get(address, headers=headers, stream=True, timeout=wait) as answer:
        status = answer.status_code
        if status == 416:  # what is here is no beginning of what is there
            part.unlink(missing_ok=True)
            raise _Retry("the server's file is smaller than the part already downloaded")
        if status in (408, 429) or status >= 500:
            raise _Retry(f"the server answers {status}")
        if status not in (200, 206):
            raise WeightsError(
                f"{_short(address)} cannot be downloaded: the server answers {status}."
            )
        if answer.headers.get("Content-Type", "").lower().startswith("text/html"):
            raise _web_page(address)
        resumed = status == 206 and _starts_at(answer) == have and "Range" in headers
        if status == 206 and not resumed:
            part.unlink(missing_ok=True)
            raise _Retry("the server sent the wrong part of the file")
        have = have if resumed else 0  # a server that ignores ranges sends all of it
        length = answer.headers.get("Content-Length", "")
        total = have + int(length) if length.isdigit() else size
        if (total or 0) > (size or MOST_BYTES):
            raise WeightsError(
                f"{_short(address)} offers {total:,} bytes, more than this set's "
                f"{size or MOST_BYTES:,}."
            )
        strong = answer.headers.get("ETag", "")
        version = strong if strong and not strong.startswith("W/") else ""
        version = version or answer.headers.get("Last-Modified", "")
        known = {"address": public(address), "version": version}
        label.write_text(json.dumps(known), encoding="utf-8")
        with part.open("ab" if resumed else "wb") as file:
            _receive(answer, file, have, total, size or MOST_BYTES, address)
    if total is not None and part.stat().st_size < total:
        raise _Retry(f"the connection ended after {part.stat().st_size:,} of {total:,} bytes")


def _receive(
    answer: requests.Response,
    file: IO[bytes],
    have: int,
    total: int | None,
    most: int,
    address: str,
) -> None:
    import urllib3
    from tqdm import tqdm

    bar = tqdm(
        total=total,
        initial=have,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        desc=_short(address, 40),
        disable=None,
        leave=False,
    )
    with bar:
        while True:
            try:
                block = answer.raw.read(BLOCK)
            except urllib3.exceptions.ReadTimeoutError as error:
                raise _Stall("the server stalls") from error
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise _Retry(f"the connection broke after {have:,} bytes") from error
            if not block:
                return
            have += len(block)
            if have > most:
                raise WeightsError(f"{_short(address)} sends more than {most:,} bytes.")
            file.write(block)
            bar.update(len(block))


def _copy(address: str, part: Path) -> None:
    """A file address, or a path."""
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


def _web_page(address: str) -> WeightsError:
    """File-sharing sites answer with a page (of consent, of an expired link) and status 200."""
    return WeightsError(
        f"{_short(address)} sent a web page in place of the file: open it in a browser."
    )


def _starts_at(answer: requests.Response) -> int | None:
    unit, _, rest = answer.headers.get("Content-Range", "").partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdigit() else None


def _label_of(label: Path, address: str) -> str | None:
    """The version of the file that was begun; None if it is another address's."""
    with contextlib.suppress(FileError, ValueError, AttributeError):
        found = json.loads(read_text(label))
        if found.get("address") == public(address):
            return str(found.get("version", ""))
    return None


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.Timeout):
        return "the server stalls"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def public(address: str) -> str:
    """The address as it may be written down: a hash for query and user, which may be keys."""
    plain = _short(address, len(address))
    return plain if plain == address else f"{plain}#{hashlib.sha256(address.encode()).hexdigest()}"


def _short(address: str, most: int = 200) -> str:
    """The address without query and user, no longer than `most`."""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    plain = f"{parts.scheme}://{host}{parts.path}" if parts.scheme else address
    return plain if len(plain) <= most else f"...{plain[-most + 3 :]}"


@contextlib.contextmanager
def lock(path: Path, seconds: float = 3600.0) -> Iterator[None]:
    """Hold the lock file `path`; one process at a time, on this machine.

    Raises:
        WeightsError: another process has held it for too long, or it cannot be made.
    """
    from filelock import FileLock, Timeout

    with writing_to(path.parent):
        held = FileLock(path)
        try:
            try:
                held.acquire(timeout=0.5)
            except Timeout:
                print(f"Waiting for another process that holds {path}.", file=sys.stderr)
                held.acquire(timeout=seconds)
        except Timeout:
            raise WeightsError(f"Another process has held {path} for {seconds:.0f} s.") from None
    try:
        yield
    finally:
        held.release()
