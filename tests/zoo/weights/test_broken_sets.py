"""Wrong files in a set's place: one sentence each, and the cache is unchanged."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from server import tree

import zoo
from zoo.errors import WeightsError
from zoo.weights import save_weights, torch_state
from zoo.weights.load import find_weights

MODEL, NAME = "RealResNet20", "cifar10"


class TestBroken:
    """Wrong files from a mirror: one sentence for each, and the cache is unchanged."""

    @pytest.fixture(scope="class")
    def states(self, trained):
        state = torch_state(trained)
        first = next(iter(state))
        nan = state["layer1.0.bn1.weight"].copy()
        nan[3] = np.nan
        return {
            "extra": ({**state, "more.weight": np.zeros(3)}, r"1 left over \(more.weight\)"),
            "missing": ({k: v for k, v in state.items() if k != first}, f"1 missing .{first}"),
            "shape": ({**state, "bn1.weight": np.zeros(17, "f4")}, r"bn1.weight is \(17,\)"),
            "nan": ({**state, "layer1.0.bn1.weight": nan}, "NaN or infinity: layer1.0.bn1.weight"),
            "classes": (
                {**state, "fc.weight": np.zeros((7, 64), "f4"), "fc.bias": np.zeros(7)},
                "another class count",
            ),
            "another": (torch_state(zoo.ReActNet20(weights=None)), "not belong to realresnet20"),
            "words": ({**state, first: np.array(["a", "b"])}, f"not plain numbers: {first}"),
            "complex": ({**state, first: state[first] * 1j}, f"{first}.npy' holds the type comp"),
            "too large": (
                {**state, "bn1.bias": np.full(16, 1e300)},
                "NaN or infinity: bn1.bias",
            ),
            "control characters": (
                {**state, "a\nb\x1b[2J": np.zeros(3)},
                r"1 left over \(a\?b\?\[2J\)",
            ),
            "two names": ({**state, "zoo.model": np.array(["a", "b"])}, "do not belong to real"),
            "objects": ({**state, first: np.array([{}], dtype=object)}, "not a readable .npz"),
        }

    def refused(self, mirror, contents, says):
        (mirror / MODEL / f"{NAME}.npz").write_bytes(contents)
        with pytest.raises(WeightsError, match=says) as caught:
            find_weights(NAME, MODEL)  # the function that the constructor calls
        assert "\n" not in str(caught.value)
        assert "lqz convert RealResNet20 FILE" in str(caught.value)

    @pytest.mark.parametrize(
        "kind",
        [
            "extra",
            "missing",
            "shape",
            "nan",
            "classes",
            "another",
            "words",
            "complex",
            "too large",
            "control characters",
            "two names",
            "objects",
        ],
    )
    def test_content(self, states, mirror, tmp_path, unchanged, kind):
        state, says = states[kind]
        np.savez(tmp_path / "broken.npz", **state)
        self.refused(mirror, (tmp_path / "broken.npz").read_bytes(), says)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda whole: whole[: len(whole) // 2], "not a readable .npz"),
            (lambda whole: whole[:50_000] + bytes(100) + whole[50_100:], "not a readable .npz"),
            (lambda whole: b"", "not a readable .npz"),
            (lambda whole: b"<!doctype html><title>Sign in</title>", "a web page"),
        ],
        ids=["cut short", "bitten", "empty", "web page"],
    )
    def test_bytes(self, file, mirror, unchanged, change, says):
        self.refused(mirror, change(file.read_bytes()), says)

    @pytest.mark.parametrize("member", ["../../outside.npy", "/tmp/outside.npy", "C:\\x.npy"])
    def test_a_zip_that_leads_outside(self, file, mirror, tmp_path, unchanged, member):
        outside = tree(tmp_path)
        path = tmp_path / "slip.npz"
        path.write_bytes(file.read_bytes())
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(member, b"harm")
        self.refused(mirror, path.read_bytes(), "is unsafe: its member .* points outside")
        assert not Path("/tmp/outside.npy").exists()
        assert set(outside) <= set(tree(tmp_path)) and "outside.npy" not in tree(tmp_path)

    def test_a_zip_that_unpacks_to_more_than_there_is(self, mirror, tmp_path, unchanged):
        path = tmp_path / "bomb.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.npy", bytes(1000))
        # The zip's directory declares 2 GiB for each of three members.
        content = path.read_bytes()
        at = content.index(b"PK\x01\x02") + 24
        claimed = content[:at] + (2**31).to_bytes(4, "little") + content[at + 4 :]
        entry = claimed[claimed.index(b"PK\x01\x02") : claimed.index(b"PK\x05\x06")]
        end = bytearray(claimed[claimed.index(b"PK\x05\x06") :])
        end[8:12] = (3).to_bytes(2, "little") * 2
        end[12:16] = (3 * len(entry)).to_bytes(4, "little")
        bomb = claimed[: claimed.index(b"PK\x01\x02")] + 3 * entry + bytes(end)
        self.refused(mirror, bomb, "declares more than it can hold")

    def test_a_twin(self, mirror, tmp_path, unchanged):
        """BiRealNet20 has the same keys and shapes as RealResNet20."""
        save_weights(zoo.BiRealNet20(weights=None), tmp_path / "twin.npz")
        twin = (tmp_path / "twin.npz").read_bytes()
        self.refused(mirror, twin, "weights of birealnet20, which do not belong to realresnet20")

    def test_a_folder_of_a_sets_name_does_not_hide_it(self, file, mirror, tmp_path, monkeypatch):
        (mirror / MODEL / f"{NAME}.npz").write_bytes(file.read_bytes())
        monkeypatch.chdir(tmp_path)
        for name in (NAME, "other"):
            (tmp_path / name).mkdir()
        assert find_weights(NAME, MODEL).name == f"{NAME}.npz"
        with pytest.raises(WeightsError, match="'other' is a folder, not a weights file"):
            find_weights("other", MODEL)

    def test_pytorchs_file_is_sent_to_convert(self, tmp_path):
        (tmp_path / "model.pth.tar").write_bytes(b"PK")
        with pytest.raises(WeightsError, match=r"'lqz convert RealResNet20 model.pth.tar' imports"):
            zoo.RealResNet20(weights=tmp_path / "model.pth.tar")
