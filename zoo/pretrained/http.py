"""A file over HTTP: with a progress bar, resumed where it broke off, tried again."""

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
MOST_BYTES = 4 * 2**30  # a server that sends without end must not fill the disk
MOST_REDIRECTS = 10
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
                    left = patience.tries  # it gets on, however often it breaks off
                farthest = max(farthest, _size(part))
                if not left:
                    raise WeightsError(
                        f"{shortened(address)} cannot be downloaded ({_reason(error)}), after "
                        f"{patience.tries} tries."
                    ) from error
            except requests.RequestException as error:  # an invalid address, and the like
                raise WeightsError(
                    f"{shortened(address)} cannot be downloaded ({_reason(error)})."
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
    """One request: the whole file, or what is missing of it."""
    have = _size(part)
    version = begun_version(label, address)
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
                f"{shortened(address)} cannot be downloaded: the server answers {status}."
            )
        if answer.headers.get("Content-Type", "").lower().startswith("text/html"):
            raise web_page(address)
        resumed = status == 206 and _starts_at(answer) == have and "Range" in headers
        if status == 206 and not resumed:
            part.unlink(missing_ok=True)
            raise _Retry("the server sent the wrong part of the file")
        have = have if resumed else 0  # a server that ignores ranges sends all of it
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
    """The version of the file that was begun; None if it is another address's."""
    with contextlib.suppress(FileError, ValueError, AttributeError):
        found = json.loads(read_text(label))
        if found.get("address") == public(address):
            return str(found.get("version", ""))
    return None


def web_page(address: str) -> WeightsError:
    """File-sharing sites answer with a page (of consent, of an expired link) and status 200."""
    return WeightsError(
        f"{shortened(address)} sent a web page in place of the file: open it in a browser."
    )
