"""Download a file over HTTP with a progress bar; resume and retry broken downloads."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from zoo.errors import FileError, WeightsError, printable
from zoo.pretrained.addresses import public, shortened
from zoo.untrusted.opening import read_text

if TYPE_CHECKING:
    import requests

BLOCK = 1 << 16
MOST_BYTES = 4 * 2**30  # so that a server that never stops sending cannot fill the disk
MOST_REDIRECTS = 10
PROGRESS = 1 << 14  # a connection that delivered this many bytes does not count as a failed try


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
    """A server that sent nothing for too long."""


def fetch(
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
                    f"{shortened(address)} redirects too often (more than {MOST_REDIRECTS} times)."
                ) from None
            except (
                _Retry,
                requests.ConnectionError,
                requests.Timeout,
                requests.exceptions.ChunkedEncodingError,
            ) as error:
                stalled = isinstance(error, (_Stall, requests.Timeout))
                if _size(part) >= farthest + PROGRESS and not stalled:
                    left = patience.tries  # there was progress, so count the tries anew
                farthest = max(farthest, _size(part))
                if not left:
                    raise WeightsError(
                        f"{shortened(address)} cannot be downloaded ({_reason(error)}), after "
                        f"{patience.tries} tries."
                    ) from error
            except requests.RequestException as error:  # such as an invalid address
                raise WeightsError(
                    f"{shortened(address)} cannot be downloaded ({_reason(error)})."
                ) from error
            if _size(part) <= before:  # wait only if there was no progress
                time.sleep(patience.pause)


def _session() -> requests.Session:
    """Return a session that refuses redirects from https to an unencrypted address."""
    import requests

    class Session(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> str | None:
            target = super().get_redirect_target(resp)
            if target and urlsplit(resp.url).scheme == "https":
                scheme = urlsplit(urljoin(resp.url, target)).scheme
                if scheme != "https":
                    raise WeightsError(
                        f"{shortened(resp.url)} redirects from https to {printable(scheme)}, which "
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
    """Make one request: for the whole file, or for its missing part."""
    have = _size(part)
    version = begun_version(label, address)
    if have and version is None:  # the part belongs to another address
        part.unlink()
        have = 0
    # If the server compressed the file, ranges and lengths would not be those of the file.
    headers = {"Accept-Encoding": "identity"}
    if have and (version or sha256):  # else we could mix two versions of a file
        headers["Range"] = f"bytes={have}-"
        if version:
            headers["If-Range"] = version
    wait = (patience.connect, patience.read)
    with session.get(address, headers=headers, stream=True, timeout=wait) as answer:
        status = answer.status_code
        if status == 416:  # the part is not a beginning of the server's file
            part.unlink(missing_ok=True)
            raise _Retry("the server's file is smaller than the part already downloaded")
        if status in (408, 429) or status >= 500:
            raise _Retry(f"the server answers {status}")
        if status not in (200, 206):
            raise WeightsError(
                f"{shortened(address)} cannot be downloaded: the server answers {status}."
            )
        if answer.headers.get("Content-Type", "").lower().startswith("text/html"):
            raise web_page(address)
        resumed = status == 206 and _starts_at(answer) == have and "Range" in headers
        if status == 206 and not resumed:
            part.unlink(missing_ok=True)
            raise _Retry("the server sent the wrong part of the file")
        have = have if resumed else 0  # a server that ignores ranges sends the whole file
        length = answer.headers.get("Content-Length", "")
        total = have + int(length) if length.isdigit() else size
        if (total or 0) > (size or MOST_BYTES):
            raise WeightsError(
                f"{shortened(address)} offers {total:,} bytes, more than this set's "
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
        desc=shortened(address, 40),
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
                raise WeightsError(f"{shortened(address)} sends more than {most:,} bytes.")
            file.write(block)
            bar.update(len(block))


def _starts_at(answer: requests.Response) -> int | None:
    unit, _, rest = answer.headers.get("Content-Range", "").partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdigit() else None


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.Timeout):
        return "the server stalls"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def begun_version(label: Path, address: str) -> str | None:
    """Return the version of the partly downloaded file; None if it is from another address."""
    with contextlib.suppress(FileError, ValueError, AttributeError):
        found = json.loads(read_text(label))
        if found.get("address") == public(address):
            return str(found.get("version", ""))
    return None


def web_page(address: str) -> WeightsError:
    """Return the error for a web page instead of a file.

    File-sharing sites send such pages (for consent, or if a link has expired) with status 200.
    """
    return WeightsError(
        f"{shortened(address)} sent a web page in place of the file: open it in a browser."
    )
