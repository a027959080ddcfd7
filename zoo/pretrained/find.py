"""Find a weight set. The search order is:

The package, the cache, the folder of manual downloads, a mirror, the authors' address.
"""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from zoo import catalog
from zoo.errors import WeightsError, printable
from zoo.files import sha256
from zoo.pretrained import cache
from zoo.pretrained.addresses import public
from zoo.pretrained.download import download
from zoo.pretrained.records import Access, Format, WeightSet, all_records, imported_record

MIRROR = "ZOO_WEIGHTS_MIRROR"
OFFLINE = "ZOO_OFFLINE"
State = Access | Literal["cached"]
# The recommended manual download.
SUFFIXES: dict[Format, tuple[str, ...]] = {
    "pytorch": (".pth.tar", ".pth", ".pt", ".tar", ".ckpt", ".bin"),
    "keras": (".h5",),
    "npz": (".npz",),
    "packed": (".npz",),
}

# Checks a downloaded file against its model, and writes the stored set.
Prepare = Callable[[WeightSet, Path, Format, Path], None]


@dataclass(frozen=True)
class Source:
    """A place from which a set can be downloaded, and what is known about the file there."""

    address: str
    format: Format
    sha256: str | None = None
    size: int | None = None


def state_of(record: WeightSet) -> State:
    """Return the state of the set on this machine; makes no requests."""
    if cache.shipped(record.model, record.name):
        return "shipped"
    here = cache.cached(record.model, record.name) or downloaded(record)
    return "cached" if here else record.access


def present(model: str, name: str) -> Path | None:
    """Return the file of a set if it is in the package or the cache, else None.

    Raises:
        WeightsError: the sha256 of the cached file differs from the stored one.
    """
    return cache.shipped(model, name) or cache.verified(model, name)


def places_of(record: WeightSet) -> list[Path]:
    """Return the paths at which a manual download of the set may be; the first is recommended."""
    folder = cache.home() / "downloads"
    names = [f"{record.model}-{record.name}{suffix}" for suffix in SUFFIXES[record.format]]
    if record.file:
        names.insert(0, record.file)
    return [folder / name for name in names]


def downloaded(record: WeightSet) -> Path | None:
    """Return the file of the set that the user downloaded manually, or None."""
    return next((path for path in places_of(record) if path.is_file()), None)


def sources(record: WeightSet) -> list[Source]:
    """Return the set's places for downloads, in order: the mirror, if set; the authors' address."""
    found = []
    if mirror := os.environ.get(MIRROR):
        _check_mirror(mirror)
        address = f"{mirror.rstrip('/')}/{record.model}/{record.name}{record.suffix}"
        if record.format == "keras":  # stored unchanged, so the mirror has the same file
            found.append(Source(address, "keras", record.sha256, record.bytes))
        else:
            found.append(Source(address, "npz"))
    if record.access == "downloadable" and record.address:
        found.append(Source(record.address, record.format, record.sha256, record.bytes))
    if offline():
        found = [e for e in found if urlsplit(e.address).scheme not in ("http", "https")]
    return found


def _check_mirror(mirror: str) -> None:
    """Raise WeightsError unless `mirror` is an address or a folder."""
    try:
        parts = urlsplit(mirror)
        good = (parts.scheme in ("http", "https") and bool(parts.hostname)) or (
            parts.scheme == "file" or "://" not in mirror
        )
        parts.port  # noqa: B018 (raises for a port that is no number)
    except ValueError:
        good = False
    if not good or not mirror.isprintable():
        raise WeightsError(
            f"{MIRROR}='{printable(mirror)}' is not a mirror: give http(s)://HOST/..., "
            "file:///... or a folder."
        )


def offline() -> bool:
    """Return whether the user forbids all requests."""
    return os.environ.get(OFFLINE) == "1"


def obtain(record: WeightSet, prepare: Prepare) -> Path:
    """Return the file of a set from the package or the cache; else import or download it first.

    If several processes call this at the same time, only one downloads the file.

    Raises:
        WeightsError: it is unavailable; the message says where it is and how to import it.
    """
    if path := present(record.model, record.name):
        return path
    reasons = []
    by_hand, places = downloaded(record), sources(record)
    if by_hand or places:
        with cache.lock(cache.home() / "locks" / f"{record.model}-{record.name}.lock"):
            if path := cache.verified(record.model, record.name):
                return path  # another process has imported or downloaded it
            if by_hand:
                return _take(record, by_hand, prepare)
            for source in places:
                try:
                    return _fetch(record, source, prepare)
                except WeightsError as error:
                    reasons.append(str(error).rstrip("."))
    raise WeightsError(_how_to_get(record, reasons))


def find_here(record: WeightSet) -> Path | None:
    """Return the file of a set; None if `obtain` would have to import or download it.

    Raises:
        WeightsError: there is no place from which `obtain` could get it.
    """
    path = present(record.model, record.name)
    if path or downloaded(record) or sources(record):
        return path
    raise WeightsError(_how_to_get(record, []))


def _take(record: WeightSet, path: Path, prepare: Prepare) -> Path:
    """Import the file that the user downloaded manually; the file stays where it is."""
    digest = sha256(path)
    if record.sha256 and digest != record.sha256:
        raise WeightsError(
            f"'{path}' is not the file of {record.model}'s '{record.name}': its sha256 begins with "
            f"{digest[:12]}, not with {record.sha256[:12]}; delete it or download it again."
        )
    try:
        with keeping(record.model, record.name, record.suffix, path.name, digest) as draft:
            prepare(record, path, record.format, draft)
    except WeightsError as error:
        raise WeightsError(f"The file '{path}' cannot be imported: {error}") from error
    return _kept(record)


def _kept(record: WeightSet) -> Path:
    path = cache.cached(record.model, record.name)
    assert path is not None
    return path


def _fetch(record: WeightSet, source: Source, prepare: Prepare) -> Path:
    pin = cache.pin_of(record.model, record.name)
    place = public(source.address)
    known = source.sha256 or pin.fetched.get(place) or pin.fetched.get(source.address)
    # Keras recognises the format by the file's name.
    suffix = ".h5" if source.format == "keras" else ""
    fetched = cache.folder(record.model) / f".{record.name}.fetched{suffix}"
    with cache.writing_to(fetched.parent):  # removes a new folder if the download fails
        digest = download(source.address, fetched, sha256=known, size=source.size)
        try:
            with keeping(record.model, record.name, record.suffix, place, digest) as draft:
                prepare(record, fetched, source.format, draft)
        finally:
            fetched.unlink(missing_ok=True)
    return _kept(record)


@contextlib.contextmanager
def keeping(model: str, name: str, suffix: str, source: str, digest: str) -> Iterator[Path]:
    """Give a path to which the block writes a set; then move it to the cache with its pin.

    The caller must hold the set's lock. After any error the cache is unchanged.

    Args:
        model, name: the set.
        suffix: suffix of its file.
        source: address or name of the file from which the set is made.
        digest: sha256 of that file.

    Raises:
        WeightsError: the cache is not writable.
    """
    target = cache.folder(model) / f"{name}{suffix}"
    draft = target.with_name(f".{name}.{os.getpid()}{suffix}")
    with cache.writing_to(target.parent):
        for stale in target.parent.glob(f".{glob.escape(name)}.*"):  # left by a killed process
            if not stale.name.startswith(f".{name}.fetched"):
                stale.unlink(missing_ok=True)
        try:
            yield draft
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            before = cache.pin_of(model, name)
            fetched = {**before.fetched, source: digest}
            pin = cache.Pin(sha256(draft), source, fetched, replaces=before.sha256)
            # Write the pin first; it is also valid for the old set. A set without a pin would not
            # be checked, and this process may be killed between the two steps.
            cache.write_pin(model, name, pin)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)


def _how_to_get(record: WeightSet, reasons: list[str]) -> str:
    what = f"The weights '{record.name}' of {record.model}"
    note = f" {record.note}" if record.note else ""
    if record.access == "none published":
        tried = f" ({'; '.join(reasons)})" if reasons else ""
        recipe = f" Train them: {record.recipe}." if record.recipe else ""
        return f"{what} were never published{tried}.{note}{recipe}"
    by_hand = record.access == "manual download"
    only = "they must be downloaded manually" if by_hand else f"{OFFLINE}=1 forbids the download"
    return (
        f"{what} are not on this machine: {'; '.join(reasons) or only}. They are at {record.where}"
        f"{f' ({record.address})' if record.address else ''}: download the file in a browser, save "
        f"it as '{places_of(record)[0]}' and run the command again, or import it from any folder "
        f"with 'lqz convert {record.model} FILE'. weights=None gives random ones."
    )


def _imported(model: str | None, name: str) -> WeightSet | None:
    """Return the record of a set that `lqz convert` put into the cache under the user's name."""
    for row in catalog.rows():
        if model and row.model.casefold() == model.casefold() and present(row.model, name):
            return imported_record(row.model, name)
    return None


def resolve(weights: str, model: str | None = None) -> WeightSet:
    """Return the record that the user names: "imagenet", or "ReActNetA/imagenet".

    It also finds sets imported under other names, if the model is given.

    Args:
        weights: a set's name, with or without its model in front.
        model: the model's name in upper or lower case, if `weights` does not contain it. If no
            model is given, any record of that name is returned: in this zoo's models, sets of the
            same name agree in the facts that callers need.

    Raises:
        WeightsError: no such set is registered.
    """
    before, slash, name = weights.rpartition("/")
    model = before if slash else model
    for each in all_records():
        same = (
            each.origin != "larq-zoo"
            if model is None
            else each.model.casefold() == (model.casefold())
        )
        if same and each.name == name:
            return each
    if imported := _imported(model, name):
        return imported
    sets = sorted({f"{each.model}/{each.name}" for each in all_records()})
    raise WeightsError(
        f"There is no weight set '{weights}'{f' of {model}' if model and not slash else ''}; "
        f"registered sets: {', '.join(sets)}."
    )
