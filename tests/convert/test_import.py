"""`lqz convert`: files that torch wrote in both formats: valid, hostile and damaged."""

import os
import pickle
import re
import shutil
import subprocess
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from server import Served, tree
from torch_files import write

import zoo
from zoo.errors import WeightsError
from zoo.pretrained import cache
from zoo.weights import torch_file, torch_state

MODEL = "ReActNet20"
OLD, ZIP = {"_use_new_zipfile_serialization": False}, {}
FORMATS = pytest.mark.parametrize("format", [OLD, ZIP], ids=["before 1.6", "zip"])


def random_state(model, seed=0):
    """Return tensors of random numbers under the authors' keys."""
    rng = np.random.default_rng(seed)
    state = OrderedDict()
    for key, value in torch_state(model).items():
        if value.dtype == np.float32:
            value = rng.standard_normal(value.shape).astype("float32")
            value = np.abs(value) if key.endswith("running_var") else value
        elif key.endswith("num_batches_tracked"):
            value = np.array(rng.integers(1, 10**6))  # as after a training
        state[key] = torch.from_numpy(np.array(value))
    return state


@pytest.fixture(scope="module")
def state():
    return random_state(zoo.ReActNet20(weights=None))


def as_trained(state):
    """Return what the authors' scripts write: DataParallel's keys, optimizer and best accuracy."""
    prefixed = OrderedDict((f"module.{key}", value) for key, value in state.items())
    return {
        "epoch": 255,
        "state_dict": prefixed,
        "best_top1_acc": np.float64(69.5),
        "best32": np.float32(69.5),
        "best_tensor": torch.tensor(69.5),
        "optimizer": {"state": {0: {"step": 1, "exp_avg": torch.zeros(3)}}, "param_groups": []},
    }


def assert_same(state, theirs):
    assert list(state) == list(theirs)
    for key, value in state.items():
        other = theirs[key]
        assert value.dtype == other.dtype and value.shape == other.shape
        assert value.numpy().tobytes() == other.numpy().tobytes(), key


@FORMATS
@pytest.mark.parametrize(
    "wrap", [as_trained, dict, lambda s: {"model": s}], ids=["checkpoint", "plain", "model"]
)
def test_import_and_load_by_name(lqz, state, tmp_path, format, wrap):
    torch.save(wrap(state), tmp_path / "model.pth.tar", **format)
    code, out, err = lqz("convert", MODEL, "model.pth.tar")
    assert code == 0 and err == ""
    keys = len(state)
    variables = sum(not key.endswith("num_batches_tracked") for key in state)
    assert f"all {keys} keys used, all {variables} variables set, equal to the bit." in out
    assert re.search(r"20 convolutions and dense layers .* difference \d\.\de-0[67]\.", out)
    assert "Output for a test image: finite." in out
    loaded = torch_state(zoo.ReActNet20(weights="cifar10"))
    for key, value in state.items():
        if not key.endswith("num_batches_tracked"):
            assert loaded[key].tobytes() == value.numpy().tobytes(), key


@pytest.mark.parametrize("model", ["RealResNet20", "SDBNNResNet20", "XNORNetPlusPlusResNet20"])
def test_there_and_back_is_equal_to_the_bit(lqz, tmp_path, model):
    state = random_state(zoo.get_model(model, weights=None), seed=1)
    torch.save(state, tmp_path / "there.pth")
    assert lqz("convert", model, "there.pth")[0] == 0
    code, out, err = lqz("convert", model, "--to", "torch", "-o", "back.pth")
    assert code == 0 and err == "" and f"a state_dict of {len(state)} keys" in out
    assert_same(state, torch.load(tmp_path / "back.pth", weights_only=True))


def test_what_is_trained_here_goes_to_pytorch(lqz, tmp_path):
    """An .npz instead of a set's name; PyTorch's own layer loads the result."""
    from zoo.weights import save_weights

    model = zoo.RealResNet20(weights=None)
    save_weights(model, tmp_path / "mine.npz")
    assert lqz("convert", "RealResNet20", "mine.npz", "--to", "torch", "-o", "mine.pth")[0] == 0
    loaded = torch.load(tmp_path / "mine.pth", weights_only=True)
    layer = torch.nn.Conv2d(3, 16, 3, padding=1, bias=False)
    layer.load_state_dict({"weight": loaded["conv1.weight"]}, strict=True)
    image = np.random.default_rng(0).standard_normal((1, 32, 32, 3)).astype("float32")
    theirs = layer(torch.from_numpy(image.transpose(0, 3, 1, 2))).detach().numpy()
    ours = model.get_layer("conv1")(image).numpy().transpose(0, 3, 1, 2)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_file_without_counters(lqz, tmp_path):
    """PyTorch before 0.4.1 wrote no counters, so torchvision's older files have none."""
    state = random_state(zoo.RealResNet20(weights=None))
    without = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    torch.save(without, tmp_path / "old.pth", **OLD)
    assert lqz("convert", "RealResNet20", "old.pth")[0] == 0


def test_half_precision_is_taken_exactly(lqz, tmp_path):
    state = random_state(zoo.RealResNet20(weights=None))
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    torch.save(half, tmp_path / "half.pth")
    assert lqz("convert", "RealResNet20", "half.pth")[0] == 0
    loaded = torch_state(zoo.RealResNet20(weights="cifar10"))
    expected = half["conv1.weight"].float().numpy()
    np.testing.assert_array_equal(loaded["conv1.weight"], expected)


def test_arguments_of_the_model(lqz, tmp_path):
    model = zoo.RealResNet20(weights=None, width=0.25, num_classes=3)
    torch.save(random_state(model), tmp_path / "small.pth")
    arguments = ("width=0.25", "num_classes=3", "--name", "small")
    assert lqz("convert", "RealResNet20", "small.pth", *arguments)[0] == 0
    zoo.RealResNet20(weights="small", width=0.25, num_classes=3)


class TestOnTheFly:
    """A file at the authors' address is fetched, converted, pinned and stored."""

    @pytest.fixture
    def address(self, register, server, home, state, tmp_path):
        torch.save(as_trained(state), tmp_path / "model.pth.tar", **OLD)
        server.files["/model"] = Served((tmp_path / "model.pth.tar").read_bytes())
        register(MODEL, "cifar10", address=f"{server.url}/model", format="pytorch")
        return f"{server.url}/model"

    def test_once_and_then_offline(self, address, state, server, home, monkeypatch):
        first = zoo.ReActNet20(weights="cifar10")
        monkeypatch.setenv("ZOO_OFFLINE", "1")
        again = zoo.ReActNet20(weights="cifar10")
        assert len(server.requests) == 1
        for model in (first, again):
            ours = torch_state(model)["conv1.weight"]
            assert ours.tobytes() == state["conv1.weight"].numpy().tobytes()
        names = sorted(path.name for path in (home / "weights" / MODEL).iterdir())
        assert names == ["cifar10.json", "cifar10.npz"]
        assert list(cache.pin_of(MODEL, "cifar10").fetched) == [address]

    def test_another_file_at_the_same_address_is_refused(self, address, state, server, home):
        zoo.ReActNet20(weights="cifar10")
        (home / "weights" / MODEL / "cifar10.npz").unlink()
        before = tree(home)
        server.files["/model"].body += b"x"
        with pytest.raises(WeightsError, match="damaged or the wrong one"):
            zoo.ReActNet20(weights="cifar10")
        assert tree(home) == before

    def test_what_is_not_the_models_is_refused(self, address, server, home, tmp_path, unchanged):
        torch.save(random_state(zoo.RealResNet20(weights=None)), tmp_path / "other.pth")
        server.files["/model"].body = (tmp_path / "other.pth").read_bytes()
        with pytest.raises(WeightsError, match=r"do not belong to reactnet20.*lqz convert ReAct"):
            zoo.ReActNet20(weights="cifar10")


def test_what_was_downloaded_by_hand(home, tmp_path, server, register):
    """The server sends a page instead of the file: the error says what to do, which then works."""
    server.files["/download"] = Served(b"<!doctype html><title>Sign in</title>")
    register("ReActNet18", "imagenet", address=f"{server.url}/download")
    with pytest.raises(WeightsError, match="a web page") as caught:
        zoo.ReActNet18()
    (place,) = re.findall(
        "README of https://github.com/liuzechun/ReActNet.* save it as '(.*?)'", str(caught.value)
    )
    Path(place).parent.mkdir()
    state = random_state(zoo.ReActNet18(weights=None))
    torch.save(as_trained(state), place, **OLD)
    loaded = torch_state(zoo.ReActNet18())
    assert loaded["conv1.weight"].tobytes() == state["conv1.weight"].numpy().tobytes()


@pytest.mark.parametrize("model", ["ReActNetA", "ReActNet18"])
def test_the_authors_checkpoint_by_its_registered_name(register, server, home, tmp_path, model):
    """The sentence of the README: the network loads all its weights from the file that the authors'
    script writes, at the address of its record."""
    state = random_state(zoo.get_model(model, weights=None))
    torch.save(as_trained(state), tmp_path / "model.pth.tar", **OLD)
    server.files["/download"] = Served((tmp_path / "model.pth.tar").read_bytes())
    register(model, "imagenet", address=f"{server.url}/download?e=oebyWy")
    loaded = torch_state(zoo.get_model(model))  # weights="imagenet" is its default
    for key, value in state.items():
        if not key.endswith("num_batches_tracked"):
            assert loaded[key].tobytes() == value.numpy().tobytes(), key


@pytest.mark.parametrize("format", list(write.FORMATS))
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("content", [write.state, write.checkpoint])
def test_reading_is_torchs(tmp_path, format, protocol, content):
    path = tmp_path / "file.pth"
    torch.save(content(), path, pickle_protocol=protocol, **write.FORMATS[format])
    found, theirs = torch_file.read(path), torch.load(path, weights_only=False)
    theirs = write.as_read(theirs.get("state_dict", theirs))
    assert list(found) == list(theirs)
    for key, value in theirs.items():
        assert found[key].dtype == value.dtype and found[key].shape == value.shape, key
        assert found[key].tobytes() == value.tobytes(), key


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2"])
def test_types_without_a_storage_of_their_own(tmp_path, dtype):
    """Written as bytes, because torch cannot read its own legacy files of this kind."""
    numbers = torch.tensor([1, 2, 250]).to(getattr(torch, dtype))
    torch.save({"a": numbers, "b": numbers[1:]}, tmp_path / "file.pth")
    found = torch_file.read(tmp_path / "file.pth")
    assert found["a"].tolist() == numbers.to(torch.float64).tolist()
    assert found["b"].tolist() == found["a"].tolist()[1:]


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
            (os.urandom(5000), "not a readable PyTorch file"),
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
