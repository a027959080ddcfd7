"""Where a weight set is searched, in this order:

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
    """A place from which a set can be fetched, and what is known of the file there."""

    address: str
    format: Format
    sha256: str | None = None
    size: int | None = None


def state_of(record: WeightSet) -> State:
    """The state of the set on this machine; makes no requests."""
    if cache.shipped(record.model, record.name):
        return "shipped"
    here = cache.cached(record.model, record.name) or downloaded(record)
    return "cached" if here else record.access


def present(model: str, name: str) -> Path | None:
    """The file of a set that is on this machine already.

    Raises:
        WeightsError: the cached file is not what was written.
    """
    return cache.shipped(model, name) or cache.verified(model, name)


def places_of(record: WeightSet) -> list[Path]:
    """Where a file of the set that a person downloaded may lie; the first is recommended."""
    folder = cache.home() / "downloads"
    names = [f"{record.model}-{record.name}{suffix}" for suffix in SUFFIXES[record.format]]
    if record.file:
        names.insert(0, record.file)
    return [folder / name for name in names]


def downloaded(record: WeightSet) -> Path | None:
    """The file of the set that a person downloaded, or None."""
    return next((path for path in places_of(record) if path.is_file()), None)


def sources(record: WeightSet) -> list[Source]:
    """Where the set may be fetched, in order: the mirror, if one is set; the authors' address."""
    found = []
    if mirror := os.environ.get(MIRROR):
        _check_mirror(mirror)
        address = f"{mirror.rstrip('/')}/{record.model}/{record.name}{record.suffix}"
        if record.format == "keras":  # kept as it is, so the mirror's file is the very same
            found.append(Source(address, "keras", record.sha256, record.bytes))
        else:
            found.append(Source(address, "npz"))
    if record.access == "downloadable" and record.address:
        found.append(Source(record.address, record.format, record.sha256, record.bytes))
    if offline():
        found = [e for e in found if urlsplit(e.address).scheme not in ("http", "https")]
    return found


def _check_mirror(mirror: str) -> None:
    """Raise WeightsError unless it is an address or a folder."""
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
    """Whether the user forbids all requests."""
    return os.environ.get(OFFLINE) == "1"


def obtain(record: WeightSet, prepare: Prepare) -> Path:
    """The file of a set: from the package, the cache, or imported or fetched into the cache.

    Several processes that ask at once fetch once.

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
                return path  # another process was first
            if by_hand:
                return _take(record, by_hand, prepare)
            for source in places:
                try:
                    return _fetch(record, source, prepare)
                except WeightsError as error:
                    reasons.append(str(error).rstrip("."))
    raise WeightsError(_how_to_get(record, reasons))


def find_here(record: WeightSet) -> Path | None:
    """The file of a set, if it is on this machine; None where `obtain` would import or fetch it.

    Raises:
        WeightsError: `obtain` would know no place to take it from.
    """
    path = present(record.model, record.name)
    if path or downloaded(record) or sources(record):
        return path
    raise WeightsError(_how_to_get(record, []))


def _take(record: WeightSet, path: Path, prepare: Prepare) -> Path:
    """Import the file that a person downloaded; it stays where it is."""
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
    # Keras tells what a file is by its name.
    suffix = ".h5" if source.format == "keras" else ""
    fetched = cache.folder(record.model) / f".{record.name}.fetched{suffix}"
    with cache.writing_to(fetched.parent):  # goes again if nothing comes of it
        digest = download(source.address, fetched, sha256=known, size=source.size)
        try:
            with keeping(record.model, record.name, record.suffix, place, digest) as draft:
                prepare(record, fetched, source.format, draft)
        finally:
            fetched.unlink(missing_ok=True)
    return _kept(record)


@contextlib.contextmanager
def keeping(model: str, name: str, suffix: str, source: str, digest: str) -> Iterator[Path]:
    """Gives the path at which to write a set; afterwards it stands in the cache with its pin.

    Whoever calls this holds the set's lock.

    Args:
        model, name: the set.
        suffix: of its file.
        source: the address or the name of the file that it was made from.
        digest: that file's sha256.

    Raises:
        WeightsError: the cache cannot be written to. Then, as after any error of the one who
            writes, the cache is as it was.
    """
    target = cache.folder(model) / f"{name}{suffix}"
    draft = target.with_name(f".{name}.{os.getpid()}{suffix}")
    with cache.writing_to(target.parent):
        for stale in target.parent.glob(f".{glob.escape(name)}.*"):  # a killed process left it
            if not stale.name.startswith(f".{name}.fetched"):
                stale.unlink(missing_ok=True)
        try:
            yield draft
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            before = cache.pin_of(model, name)
            fetched = {**before.fetched, source: digest}
            pin = cache.Pin(sha256(draft), source, fetched, replaces=before.sha256)
            # First the pin, which is the old set's as well: were this process killed here, a set
            # without one would pass unchecked.
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
    """The record of a set that `lqz convert` put into the cache under a name of the user's."""
    for row in catalog.rows():
        if model and row.model.casefold() == model.casefold() and present(row.model, name):
            return imported_record(row.model, name)
    return None


def resolve(weights: str, model: str | None = None) -> WeightSet:
    """The record that `weights` names for a user: "imagenet", or "ReActNetA/imagenet".

    It also finds sets imported under other names, if the model is given.

    Args:
        weights: a set's name, with its model in front or without.
        model: the model's name, in any case, where `weights` does not say it. Without either, all
            sets of that name of this zoo's own models agree on what a record is asked for here.

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
