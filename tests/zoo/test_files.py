"""Files and directories are complete or absent."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.errors import FileError
from zoo.files import drafted, expanded, remove_drafts, require_writable, write_directory


def test_a_draft_takes_the_place_of_the_file(tmp_path):
    path = tmp_path / "model.xml"
    path.write_text("old")
    with pytest.raises(ValueError), drafted(path) as draft:
        draft.write_text("half")
        raise ValueError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["model.xml"]
    with drafted(path) as draft:
        assert draft.name == "model.xml" and draft != path
        draft.write_text("new")
        draft.with_suffix(".bin").write_text("weights")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and (tmp_path / "model.bin").read_text() == "weights"
    assert sorted(os.listdir(tmp_path)) == ["model.bin", "model.xml"]


def test_a_directory_is_replaced_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep/export"

    def fill(folder):
        (folder / "a").write_text("1")

    def fail(folder):
        (folder / "a").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_directory(target, fail)
    assert not (tmp_path / "deep").exists()
    write_directory(target, fill)
    (target / "stale").write_text("of before")
    with pytest.raises(OSError, match="No space"):
        write_directory(target, fail)
    assert (target / "a").read_text() == "1" and (target / "stale").exists()
    write_directory(target, fill)
    assert os.listdir(target) == ["a"] and os.listdir(target.parent) == ["export"]


def test_only_drafts_of_such_names_are_removed(tmp_path):
    kept = (".lock", ".x.npz.part", "x.npz.12", ".x.npz.12x", ".x.txt.12")
    for name in (*kept, ".x.npz.12"):
        (tmp_path / name).write_text("")
    (tmp_path / ".y.keras.7").mkdir()
    (tmp_path / ".y.keras.7/y.keras").write_text("half")
    (tmp_path / ".z.npz.8").symlink_to(tmp_path / ".lock")
    remove_drafts(tmp_path, re.compile(r".+\.(npz|keras)"))
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, ".z.npz.8"])


def test_a_home_that_is_not_known():
    with pytest.raises(FileError, match=r"'~no-such-user/x' begins with ~, .*write the whole path"):
        expanded("~no-such-user/x")


@pytest.mark.skipif(sys.platform != "linux", reason="exchanges directories in one step on Linux")
def test_whoever_looks_finds_a_whole_directory(tmp_path):
    """Another process replaces the directory repeatedly, and is finally killed."""
    target = tmp_path / "export"
    write_directory(target, lambda folder: (folder / "a").write_text("0"))
    code = (
        "import sys, itertools, pathlib; from zoo.files import write_directory\n"
        "for n in itertools.count():\n"
        "    write_directory(pathlib.Path(sys.argv[1]), lambda f: (f / 'a').write_text(str(n)))"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(target)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        seen: set[str] = set()
        while len(seen) < 500:
            descriptor = os.open(target, os.O_RDONLY)  # it always exists
            os.close(descriptor)
            with contextlib.suppress(FileNotFoundError):  # while an old one is removed
                seen.add((target / "a").read_text())
            assert writer.poll() is None
    finally:
        writer.kill()
        writer.wait()
    assert (target / "a").read_text().isdigit()
    write_directory(target, lambda folder: (folder / "a").write_text("end"))
    assert os.listdir(tmp_path) == ["export"]


def test_a_question_whether_a_file_can_be_written_leaves_nothing(tmp_path):
    require_writable(tmp_path / "new" / "folder" / "file")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("mine")
    require_writable(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    with pytest.raises(FileError, match=r"file' cannot be written: File exists"):
        require_writable(tmp_path / "file" / "below")
    with pytest.raises(FileError, match="cannot be written: File name too long"):
        require_writable(tmp_path / "new" / ("x" * 300) / "file")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
