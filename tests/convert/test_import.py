"""`lqz convert`: files that torch wrote in both formats, and files for torch."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from server import Served, tree
from torch_files import write

import zoo
from tests.convert.states import FORMATS, MODEL, OLD, as_trained, random_state
from zoo.errors import WeightsError
from zoo.pretrained import cache
from zoo.weights import torch_file, torch_state


@pytest.fixture(scope="module")
def state():
    return random_state(zoo.ReActNet20(weights=None))


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
