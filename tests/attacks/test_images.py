"""Bad entries among the images, data that change under a run, and the copy on disk."""

import os
import shutil
import socket
import struct
import time
import zlib

import pytest

from tests.attacks.command import (
    checkpointed,
    nothing_left,
    picture,
    small_disk,
    wait_until,
    weights_of,
)

LENIENT = {"corrupt_share": 0.9}


def png(width, height, data=b""):
    """Write a small PNG file that declares a large size."""

    def part(kind, content):
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + part(b"IHDR", head)
        + part(b"IDAT", zlib.compress(data))
        + part(b"IEND", b"")
    )


def sparse(path):
    with open(path, "wb") as file:
        file.truncate(3 * 2**30)


def unix_socket(path):
    here = os.getcwd()
    os.chdir(path.parent)  # names of sockets have at most 107 letters
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(here)


ENTRIES = {
    "pipe": os.mkfifo,
    "socket": unix_socket,
    "link to nothing": lambda path: path.symlink_to("nowhere"),
    "link to zeros": lambda path: path.symlink_to("/dev/zero"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to the folder above": lambda path: path.symlink_to(".."),
    "folder": lambda path: path.mkdir(),
    "sparse": sparse,
    "empty": lambda path: path.write_bytes(b""),
    "bomb": lambda path: path.write_bytes(png(60_000, 60_000, bytes(100))),
    "sliver": lambda path: path.write_bytes(png(1, 900_000, bytes(100))),
    "short": lambda path: path.write_bytes(png(16, 16, bytes(100))),
    "text": lambda path: path.write_text("<html>not found</html>"),
}


@pytest.mark.parametrize("cache", ["memory", "none", "disk"])
def test_all_bad_entries_at_once(lqz, cache):
    """One bad file of each kind among the images: the run names it and trains on the others."""
    for number, make in enumerate(ENTRIES.values()):
        make(lqz.folder / "photos/train/bars" / f"1{number:03d}.png")
    (lqz.folder / "photos/train/bars" / "x\x1b[2J\x07.png").write_bytes(b"clears the screen")
    os.close(os.open(os.fsencode(lqz.folder / "photos/train/bars") + b"/\xff\xfe.png", os.O_CREAT))
    done = lqz.train({**LENIENT, "cache": cache, "cache_dir": "copies", "epochs": 1}).held()
    assert "\x1b[2J" not in done.out + done.err and "\\x1b[2J" in done.out
    for number, kind in enumerate(ENTRIES):
        assert f"1{number:03d}.png" in done.out, f"{kind} is not named\n{done}"


@pytest.mark.parametrize("kind", ["bomb", "text", "short"])
def test_a_bad_image_without_a_share(lqz, kind):
    ENTRIES[kind](lqz.folder / "photos/train/bars/0000.png")
    (lqz.folder / "photos/train/bars/0001.png").write_bytes(b"")
    lqz.train({"corrupt_share": 0.02}).refused("00", "corrupt_share")


def test_half_of_the_images(lqz):
    for number in range(0, 24, 2):
        for name in ("bars", "rings"):
            (lqz.folder / "photos/train" / name / f"{number}.png").write_bytes(b"bad")
    done = lqz.train(LENIENT).held()
    assert done.out.count("Skipped an unreadable image") == 24


def test_files_that_may_not_be_read(lqz):
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("another user needs root and setpriv")
    os.chmod(lqz.folder / "photos/train/bars/0.png", 0)
    inner = lqz.folder / "photos/train/rings/inner"
    inner.mkdir(mode=0)
    # Root without the right to read all files; these files belong to another user.
    for path in (lqz.folder / "photos/train/bars/0.png", inner):
        os.chown(path, 54322, 54322)
    prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    done = lqz.train(prefix=prefix).held()
    assert "bars/0.png" in done.out and "rings/inner" in done.out


@pytest.mark.parametrize("cache", ["memory", "none", "disk"])
def test_images_that_vanish_while_it_trains(lqz, cache):
    process = lqz.start_train({**LENIENT, "cache": cache, "cache_dir": "copies", "epochs": 4})
    wait_until(checkpointed(lqz.folder / "run"), process)
    (lqz.folder / "photos/train/bars/3.png").unlink()
    (lqz.folder / "photos/train/rings/3.png").unlink()
    os.mkfifo(lqz.folder / "photos/train/rings/3.png")
    lqz.end_of(process).held()


def test_images_that_change_between_two_starts(lqz):
    process = lqz.start_train()
    wait_until(checkpointed(lqz.folder / "run"), process)
    process.kill()
    process.communicate()
    one, other = (lqz.folder / "photos/train" / name / "3.png" for name in ("bars", "rings"))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    lqz.train().refused("different data")


def test_more_classes_than_fit_into_a_matrix(lqz):
    """60,000 classes would need a confusion matrix of 27 GiB."""
    source = None
    for split, count in (("train", 60_000), ("val", 16)):
        shutil.rmtree(lqz.folder / "photos" / split)
        for number in range(count):
            path = lqz.folder / "photos" / split / f"{number}" / "0.png"
            path.parent.mkdir(parents=True)
            if source is None or number == count // 2:  # a file can have at most 65,000 links
                source = path
                picture(0, 0).save(source)
            else:
                os.link(source, path)
    lqz.train({"epochs": 1, "batch_size": 500, "checkpoint_minutes": 5}).held()


# --- the copy on disk -----------------------------------------------------------------------------

DISK = {"cache": "disk", "cache_dir": "copies"}


@pytest.fixture
def copied(lqz):
    """A finished run that copied its images to `copies`."""
    lqz.train({**DISK, "epochs": 1}).held()
    shutil.rmtree(lqz.folder / "run")
    (copy,) = (lqz.folder / "copies").glob("*.tfrecord")
    return copy


@pytest.mark.parametrize("place", [0, 0.3, 0.99])
def test_a_bit_turned_in_the_copy(lqz, copied, place):
    content = bytearray(copied.read_bytes())
    content[int(place * len(content))] ^= 16
    copied.write_bytes(content)
    lqz.train({**DISK, "epochs": 1}).refused(copied.name, "delete it")
    copied.unlink()
    lqz.train({**DISK, "epochs": 1}).held()


@pytest.mark.parametrize("how", ["cut", "note", "gone"])
def test_a_copy_that_is_not_whole(lqz, copied, how):
    if how == "cut":
        copied.write_bytes(copied.read_bytes()[:-10])
    elif how == "note":
        copied.with_suffix(".json").write_text("[[[")
    else:
        copied.unlink()
    lqz.train({**DISK, "epochs": 1}).held()


def test_images_that_change_places(lqz, copied):
    """Files with the same sizes and times but in another class: they need a new copy."""
    one, other = (lqz.folder / "photos/train" / name / "3.png" for name in ("bars", "rings"))
    third = lqz.folder / "third.png"
    for old, new in ((one, third), (other, one), (third, other)):
        old.rename(new)
    lqz.train({**DISK, "epochs": 1}).held()
    assert len(list((lqz.folder / "copies").glob("*.tfrecord"))) == 2


def test_a_full_disk_of_the_copy(lqz):
    with small_disk(lqz.folder / "disk", "64k") as disk:
        (disk / "others").write_bytes(bytes(50_000))
        lqz.train({**DISK, "cache_dir": disk / "copies", "epochs": 1}).refused(str(disk))
        assert [each for each in disk.rglob("*") if each.stat().st_size > 1000] == [disk / "others"]


def test_a_copy_for_several_processes_one_of_which_is_killed(lqz):
    several = [
        lqz.start_train({**DISK, "epochs": 1, "output_dir": f"run{number}"}) for number in range(4)
    ]
    copies = lqz.folder / "copies"
    wait_until(lambda: copies.exists() and any(copies.iterdir()), several[0])
    time.sleep(0.01)
    several[0].kill()
    ends = [lqz.end_of(process) for process in several[1:]]
    found = [weights_of(lqz.folder / f"run{number}") for number in range(1, 4)]
    assert all(end.held() for end in ends) and found[0] == found[1] == found[2]
    assert len(list(copies.glob("*.tfrecord"))) == 1
    nothing_left(copies)
