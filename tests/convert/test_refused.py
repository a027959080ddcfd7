"""`lqz convert` refuses damaged and hostile files: one sentence, and nothing changes on disk."""

import os
import pickle
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from server import tree

import zoo
from tests.convert.states import FORMATS, MODEL, as_trained, random_state
from zoo.errors import WeightsError
from zoo.weights import torch_file


@pytest.fixture(scope="module")
def state():
    return random_state(zoo.ReActNet20(weights=None))


class TestRefused:
    """The command prints one sentence, exits with 2 and changes nothing on disk."""

    @pytest.fixture
    def refused(self, lqz, home, tmp_path):
        def check(says, file="file.pth"):
            (tmp_path / "beside").write_text("beside")
            before = tree(tmp_path)
            code, _, err = lqz("convert", MODEL, file)
            assert code == 2 and err.startswith("Error: ") and len(err.splitlines()) == 1, err
            assert re.search(says, err), err
            assert "Traceback" not in err and tree(tmp_path) == before

        return check

    @FORMATS
    @pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
    def test_cut_short(self, refused, state, tmp_path, format, share):
        torch.save(as_trained(state), tmp_path / "file.pth", **format)
        whole = (tmp_path / "file.pth").read_bytes()
        (tmp_path / "file.pth").write_bytes(whole[: int(len(whole) * share)])
        refused("'file.pth' is not a readable PyTorch file")

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (b"", "is empty"),
            (b"\n <!DOCTYPE html><title>Sign in</title>", "is a web page.*open it in a browser"),
            (b"plain text", "not a readable PyTorch file"),
            (b"PK\x03\x04 not really", "not a readable PyTorch file"),
            (np.random.default_rng(0).bytes(5000), "not a readable PyTorch file"),
        ],
        ids=["empty", "web page", "text", "no zip", "noise"],
    )
    def test_no_pytorch_file(self, refused, tmp_path, content, says):
        (tmp_path / "file.pth").write_bytes(content)
        refused(says)

    @FORMATS
    def test_a_pickle_that_runs_code(self, refused, state, tmp_path, format):
        class Harm:
            def __reduce__(self):
                return (os.system, (f"touch {tmp_path}/harmed",))

        torch.save({"state_dict": state, "more": Harm()}, tmp_path / "file.pth", **format)
        refused("holds more than numbers: it contains 'posix.system', which is refused")
        assert not (tmp_path / "harmed").exists()

    def test_a_bare_pickle_that_runs_code(self, refused, tmp_path):
        class Harm:
            def __reduce__(self):
                return (eval, (f"open('{tmp_path}/harmed', 'w')",))

        (tmp_path / "file.pth").write_bytes(pickle.dumps(Harm()))
        refused("it contains 'builtins.eval'")
        assert not (tmp_path / "harmed").exists()

    def test_a_whole_module(self, refused, tmp_path):
        torch.save(torch.nn.Linear(2, 2), tmp_path / "file.pth")
        refused("it contains 'torch.nn.modules.linear.Linear'")

    @pytest.mark.parametrize("member", ["../../outside", "/tmp/zoo-outside"])
    def test_a_zip_that_leads_outside(self, refused, state, tmp_path, member):
        torch.save(state, tmp_path / "file.pth")
        with zipfile.ZipFile(tmp_path / "file.pth", "a") as archive:
            archive.writestr(member, b"harm")
        refused("is unsafe: its member .* points outside")
        assert not Path("/tmp/zoo-outside").exists()

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda s: {**s, "more.weight": torch.zeros(3)}, r"1 left over \(more.weight\)"),
            (lambda s: {k: v for k, v in s.items() if k != "conv1.weight"}, "1 missing .conv1"),
            (lambda s: {**s, "bn1.weight": torch.zeros(17)}, r"bn1.weight is \(17,\), not \(16,\)"),
            (
                lambda s: {**s, "fc.weight": torch.zeros(7, 64), "fc.bias": torch.zeros(7)},
                r"another class count.*fc.weight is \(7, 64\), not \(10, 64\)",
            ),
            (
                lambda s: {**s, "bn1.weight": torch.full((16,), float("nan"))},
                "NaN or infinity: bn1.weight",
            ),
            (
                lambda s: {**s, "bn1.weight": torch.full((16,), 3e38)},
                "failed the parity check and was not stored",
            ),
            (lambda s: {"epoch": 3}, "holds no weights, only epoch"),
            (lambda s: [1, 2], "does not hold weights but a list"),
            (lambda s: {}, "holds no weights, only nothing"),
            (
                lambda s: {**s, "bn1.weight": torch.zeros(16).to_sparse()},
                "contains .*rebuild_sparse",
            ),
            (
                lambda s: {**s, "bn1.weight": torch.zeros(1).expand(10**12)},
                r"unpacks to 4,000,00[\d,]+ bytes, more than the",
            ),
        ],
        ids=[
            "extra",
            "missing",
            "shape",
            "classes",
            "nan",
            "overflows",
            "no weights",
            "list",
            "empty",
            "sparse",
            "huge",
        ],
    )
    def test_content(self, refused, state, tmp_path, change, says):
        torch.save(change(dict(state)), tmp_path / "file.pth")
        refused(says)

    def test_another_models_file(self, refused, tmp_path):
        torch.save(random_state(zoo.SDBNNResNet20(weights=None)), tmp_path / "file.pth")
        refused("do not belong to reactnet20: .* missing .*; .* left over")

    def test_a_cache_that_cannot_be_written_to(self, lqz, state, tmp_path, monkeypatch):
        torch.save(dict(state), tmp_path / "file.pth")
        monkeypatch.setenv("ZOO_HOME", "/sys/zoo")
        code, _, err = lqz("convert", MODEL, "file.pth")
        assert code == 2 and re.search("/sys/zoo/locks cannot be written to: .*set ZOO_HOME", err)

    def test_an_output_that_cannot_be_written(self, lqz, tmp_path):
        for path in ("/sys/x.pth", "none/x.pth", tmp_path):
            with pytest.raises(WeightsError, match=r"cannot be written: .*\.$"):
                torch_file.write({"a": np.zeros(3)}, Path(path))
        assert not list(tmp_path.iterdir())


def test_a_full_disk(lqz, state, tmp_path, home, monkeypatch):
    """A file system of 1 MiB, if the system allows it."""
    small = tmp_path / "small"
    small.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        torch.save(dict(state), tmp_path / "file.pth")
        monkeypatch.setenv("ZOO_HOME", str(small))
        code, _, err = lqz("convert", MODEL, tmp_path / "file.pth")
        assert code == 2 and "No space left on device; set ZOO_HOME" in err
        assert not [path for path in small.rglob("*") if path.is_file() and path.suffix != ".lock"]
        assert shutil.disk_usage(small).free > 900_000
    finally:
        subprocess.run(["umount", str(small)], check=True)
