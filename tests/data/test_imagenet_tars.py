"""`lqz prepare imagenet`: tar files of the official form, as folders of images."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training import cli
from training.data import ImageFolder
from training.data.imagenet_tars import TARS, OfficialTar, check_hash, validation_wnids
from training.settings.configuration import configure_task
from zoo.errors import DatasetError

TRAIN, VALIDATION = (tar.name for tar in TARS)
# The classes of the first validation images, from the devkit's ground truth.
FIRST = ["n01751748", "n09193705", "n02105855", "n04263257", "n03125729"]
CLASSES = sorted(FIRST[:4])
KILLED = """
import os, signal, sys
from pathlib import Path
from training import cli
written, write = [], Path.write_bytes

def killed_at_the_fifth(path, content):
    written.append(path)
    if len(written) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return write(path, content)

Path.write_bytes = killed_at_the_fifth
cli.main(sys.argv[1:])
"""


def jpeg(shade: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), shade, np.uint8)).save(file, "JPEG")
    return file.getvalue()


def tar(members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, "../elsewhere"
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


@pytest.fixture
def tars(tmp_path) -> Path:
    """Three training images of each of four classes, and the first five validation images."""
    folder = tmp_path / "tars"
    folder.mkdir()
    classes = {
        f"{wnid}.tar": tar({f"{wnid}_{n}.JPEG": jpeg(40 * n) for n in range(3)}) for wnid in CLASSES
    }
    (folder / TRAIN).write_bytes(tar(classes))
    images = {f"ILSVRC2012_val_{n:08}.JPEG": jpeg(n) for n in (2, 1, 4, 3)}
    (folder / VALIDATION).write_bytes(tar(images))
    return folder


def prepare(tars: Path, output: Path, *options: str) -> int:
    return cli.main(["prepare", "imagenet", "--tars", str(tars), "-o", str(output), *options])


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_folders_that_a_training_reads(tars, tmp_path, capsys):
    output = tmp_path / "imagenet"
    assert prepare(tars, output, "--no-hash") == 0
    printed = capsys.readouterr().out
    assert f"{output}/train: 12 images of 4 classes." in printed
    assert f"dataset=ImageFolder dataset.data_dir={output}" in printed
    written = files(output)
    assert written["train/n01751748/n01751748_2.JPEG"] == jpeg(80)
    for number, wnid in enumerate(FIRST[:4], start=1):
        assert written[f"validation/{wnid}/ILSVRC2012_val_{number:08}.JPEG"] == jpeg(number)
    assert len(written) == 16
    dataset = configure_task(ImageFolder, {"data_dir": str(output)})
    assert dataset.class_names == CLASSES
    assert dataset.num_examples("validation") == 4


def test_the_labels_are_the_devkits():
    wnids = validation_wnids()
    assert wnids[:5] == FIRST
    assert len(wnids) == 50_000
    assert all(count == 50 for count in np.unique(wnids, return_counts=True)[1])


def test_killed_in_a_class_and_continued(tars, tmp_path):
    output, whole = tmp_path / "killed", tmp_path / "whole"
    assert prepare(tars, whole, "--no-hash") == 0
    words = ["prepare", "imagenet", "--tars", str(tars), "-o", str(output), "--no-hash"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.run([sys.executable, "-c", KILLED, *words], env=environment)
    assert process.returncode == -signal.SIGKILL
    left = {path.name for path in (output / "train").iterdir()}
    assert left == {CLASSES[0], f".{CLASSES[1]}.part"}
    first = output / "train" / CLASSES[0] / f"{CLASSES[0]}_0.JPEG"
    before = first.stat().st_mtime_ns
    assert prepare(tars, output, "--no-hash") == 0
    assert files(output) == files(whole)
    assert first.stat().st_mtime_ns == before


def test_another_file_is_refused_by_its_hash(tars, tmp_path, capsys):
    assert prepare(tars, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert f"{TRAIN} is not the official file: its MD5 is" in error and "--no-hash" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            TRAIN,
            tar({"../n01751748.tar": b""}),
            "'../n01751748.tar' is not a file at its top level",
        ),
        (TRAIN, tar({"n01751748.tar": b""}, tarfile.SYMTYPE), "is not a file at its top level"),
        (TRAIN, tar({"n00000000.tar": b""}), "'n00000000.tar' does not belong there"),
        (
            TRAIN,
            tar({"n01751748.tar": tar({"../../up.JPEG": b"x"})}),
            "'../../up.JPEG' is not a file",
        ),
        (TRAIN, tar({"n01751748.tar": tar({"n09193705_1.JPEG": b"x"})}), "does not belong there"),
        (TRAIN, tar({"n01751748.tar": b"no tar" * 200}), "is not a readable tar file"),
        (TRAIN, b"no tar", "is not a readable tar file"),
        (VALIDATION, tar({"ILSVRC2012_val_00050001.JPEG": b"x"}), "does not belong there"),
        (
            VALIDATION,
            tar({"ILSVRC2012_val_00000001.JPEG": bytes(9000)})[:4000],
            "not a readable tar",
        ),
    ],
)
def test_what_does_not_belong_there(name, content, says, tmp_path, capsys):
    (tmp_path / name).write_bytes(content)
    assert prepare(tmp_path, tmp_path / "deep" / "out", "--no-hash") == 2
    assert says in capsys.readouterr().err
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != name]


def test_no_files_and_other_data_sets(tmp_path, capsys):
    assert prepare(tmp_path, tmp_path / "out") == 2
    assert f"contains neither {TRAIN} nor {VALIDATION}" in capsys.readouterr().err
    assert cli.main(["prepare", "cifar10", "--tars", ".", "-o", "x"]) == 2
    assert "no data set to prepare 'cifar10'" in capsys.readouterr().err


def test_a_hash_is_computed_once(tars, tmp_path):
    source, read = tars / VALIDATION, []
    right = OfficialTar(VALIDATION, hashlib.md5(source.read_bytes()).hexdigest(), "validation")
    check_hash(right, source, tmp_path / "out", read.append)
    wrong = OfficialTar(VALIDATION, "0", "validation")
    check_hash(wrong, source, tmp_path / "out", read.append)  # the hash is remembered
    assert read == 2 * [source.stat().st_size]
    os.utime(source, (0, 0))
    with pytest.raises(DatasetError, match="not the official file"):
        check_hash(wrong, source, tmp_path / "out", read.append)
