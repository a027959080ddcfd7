"""Unpack ImageNet's official tar files to folders of images, one folder for each class.

A class's folder appears under its name when all its images are written. So an interruption leaves
only complete classes. Importing this module does not import TensorFlow.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from zoo.errors import DatasetError, FileError, printable
from zoo.files import write_json
from zoo.pretrained.records import class_names
from zoo.untrusted.archives import one_line
from zoo.untrusted.opening import open_regular, read_text, unsafe

MOST_TAR = 2**38  # bytes; the tar file of the training images has 138 GB
MOST_IMAGE = 2**26
CHECKED = ".checked.json"  # lists the files with a checked hash, in the output folder
BLOCK = 2**20
PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)
# tensorflow-datasets has the class of each validation image, in the order of the images' numbers.
LABELS = ("datasets", "imagenet2012", "validation_labels.txt")

Advance = Callable[[int], None]  # called with the number of bytes read since the last call


@dataclass(frozen=True)
class OfficialTar:
    """A file of image-net.org.

    Attributes:
        name: the file's name.
        md5: MD5 of the file, hexadecimal.
        split: the folder for its images.
    """

    name: str
    md5: str
    split: str

    def write(self, source: Path, target: Path, advance: Advance) -> None:
        """Write the classes that `target` does not have yet.

        Raises:
            FileError: the file is damaged, or has unexpected members.
            DatasetError: the disk has too little space.
        """
        writers = {"train": _write_training, "validation": _write_validation}
        target.mkdir(parents=True, exist_ok=True)
        with _opened(source) as (archive, file):
            writers[self.split](archive, file, source, target, advance)


TARS = (
    OfficialTar("ILSVRC2012_img_train.tar", "1d675b47d978889d74fa0da5fadfb00e", "train"),
    OfficialTar("ILSVRC2012_img_val.tar", "29b22e2961454d5413ddabcf34fc5622", "validation"),
)


def find_tars(folder: Path) -> dict[OfficialTar, Path]:
    """Return the official files in `folder`. Raises DatasetError if there are none."""
    found = {tar: folder / tar.name for tar in TARS if (folder / tar.name).is_file()}
    if not found:
        names = " nor ".join(tar.name for tar in TARS)
        raise DatasetError(f"{printable(str(folder))} contains neither {names}.")
    return found


def check_hash(tar: OfficialTar, source: Path, output: Path, advance: Advance) -> None:
    """Compare the file's hash with the official one, once: a note in `output` records it.

    Raises:
        DatasetError: the hash differs.
    """
    status = source.stat()
    this = {"bytes": status.st_size, "changed": status.st_mtime_ns}
    checked = _remembered(output)
    if checked.get(tar.name) == this:
        advance(status.st_size)
        return
    digest = hashlib.md5(usedforsecurity=False)
    with open_regular(source, MOST_TAR) as file:
        while block := file.read(BLOCK):
            digest.update(block)
            advance(len(block))
    if digest.hexdigest() != tar.md5:
        raise DatasetError(
            f"{printable(str(source))} is not the official file: its MD5 is {digest.hexdigest()}, "
            f"not {tar.md5}. Download it again, or give --no-hash to skip this check."
        )
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / CHECKED, {**checked, tar.name: this})


def _remembered(output: Path) -> dict[str, object]:
    try:
        found = json.loads(read_text(output / CHECKED))
    except (FileError, ValueError):
        return {}  # the hash is computed again
    return found if isinstance(found, dict) else {}


def _write_training(
    archive: tarfile.TarFile, file: IO[bytes], source: Path, target: Path, advance: Advance
) -> None:
    """Unpack the training images: the file contains a tar file for each class."""
    classes = {}
    for member in _plain_members(archive, source, MOST_TAR):
        wnid = member.name.removesuffix(".tar")
        if wnid not in _wnids() or wnid in classes or not member.name.endswith(".tar"):
            raise unsafe(source, f"its member '{printable(member.name)}' does not belong there")
        classes[wnid] = member
    left = {wnid: each for wnid, each in classes.items() if not (target / wnid).exists()}
    advance(sum(each.size for each in classes.values()) - sum(each.size for each in left.values()))
    _require_space(target, sum(each.size for each in left.values()))
    for wnid, each in left.items():
        inner = archive.extractfile(each)
        assert inner is not None  # a regular file
        with tarfile.open(fileobj=inner, mode="r:") as images, _new_folder(target / wnid) as folder:
            for image in _plain_members(images, source, MOST_IMAGE):
                if not re.fullmatch(rf"{wnid}_\d+\.JPEG", image.name):
                    name = printable(f"{each.name}/{image.name}")
                    raise unsafe(source, f"its member '{name}' does not belong there")
                _copy(inner, image, folder)
        advance(each.size)


def _write_validation(
    archive: tarfile.TarFile, file: IO[bytes], source: Path, target: Path, advance: Advance
) -> None:
    """Unpack the validation images: the file contains all images, named by their numbers."""
    wnids = validation_wnids()
    classes: dict[str, list[tarfile.TarInfo]] = {}
    for member in _plain_members(archive, source, MOST_IMAGE):
        number = re.fullmatch(r"ILSVRC2012_val_(\d{8})\.JPEG", member.name)
        if not number or not 1 <= int(number[1]) <= len(wnids):
            raise unsafe(source, f"its member '{printable(member.name)}' does not belong there")
        classes.setdefault(wnids[int(number[1]) - 1], []).append(member)
    there = [wnid for wnid in classes if (target / wnid).exists()]
    advance(sum(each.size for wnid in there for each in classes.pop(wnid)))
    _require_space(target, sum(each.size for images in classes.values() for each in images))
    for wnid, images in sorted(classes.items()):
        with _new_folder(target / wnid) as folder:
            for image in images:
                _copy(file, image, folder)
        advance(sum(image.size for image in images))


def validation_wnids() -> list[str]:
    """Return the class of each validation image, by the image's number minus 1."""
    spec = importlib.util.find_spec("tensorflow_datasets")  # importing it takes seconds
    assert spec is not None and spec.submodule_search_locations  # a requirement of this package
    path = Path(spec.submodule_search_locations[0]).joinpath(*LABELS)
    return read_text(path).split()


def _wnids() -> set[str]:
    return {wnid for wnid, _ in class_names("imagenet")}


@contextmanager
def _opened(source: Path) -> Iterator[tuple[tarfile.TarFile, IO[bytes]]]:
    """Open a tar file; give it and its file object. FileError if it is damaged."""
    with open_regular(source, MOST_TAR) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                yield archive, file
        except (tarfile.TarError, EOFError) as error:
            raise FileError(
                f"'{printable(str(source))}' is not a readable tar file: {one_line(error)}."
            ) from error


def _plain_members(
    archive: tarfile.TarFile, source: Path, most_bytes: int
) -> Iterable[tarfile.TarInfo]:
    """Yield the members; FileError unless each is a regular file without a folder."""
    for member in archive:
        name = printable(member.name)
        if member.type not in PLAIN or "/" in member.name or "\\" in member.name:
            raise unsafe(source, f"its member '{name}' is not a file at its top level")
        if member.size > most_bytes:
            raise unsafe(source, f"its member '{name}' has {member.size:,} bytes")
        yield member


@contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder; move it to `path` when its content is complete and on disk."""
    draft = path.with_name(f".{path.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        yield draft
        os.sync()  # one call for many files
        draft.rename(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _copy(file: IO[bytes], member: tarfile.TarInfo, folder: Path) -> None:
    """Write a member's bytes, which are in `file` at the member's offset."""
    file.seek(member.offset_data)
    content = file.read(member.size)
    if len(content) != member.size:
        raise tarfile.ReadError(f"it ends inside its member {printable(member.name)}")
    (folder / member.name).write_bytes(content)


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DatasetError(
            f"The images take {needed / 1e9:.1f} GB more, and {printable(str(folder))} has "
            f"{free / 1e9:.1f} GB of free space: give another folder with -o."
        )
