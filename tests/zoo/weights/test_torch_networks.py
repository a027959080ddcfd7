"""Networks in PyTorch's files: prefixes of keys, and several sets of weights in one file."""

import pytest
from torch_pickles import Block, refused, tensor, write

from zoo.errors import ZooError
from zoo.weights import torch_file


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.pth"


STATE = ("conv1.weight", "layer1.0.bn.bias")


def state(prefix="", keys=STATE):
    return {f"{prefix}{key}": tensor(Block(2)) for key in keys}


@pytest.mark.parametrize(
    "prefix",
    [
        "module.",
        "_orig_mod.",
        "_orig_mod.module.",
        "module._orig_mod.",
        "module.module.",
        "model.",
        "net.",
        "model.module.",
        "module.model._orig_mod.net.",
    ],
)
def test_prefixes_in_any_order(path, prefix):
    write(path, "zip", state(prefix))
    assert set(torch_file.read(path)) == set(STATE)


def test_an_averaged_models_counter(path):
    averages = {"n_averaged": tensor(Block(2), shape=(), strides=())}
    write(path, "zip", averages | state("module."))
    assert set(torch_file.read(path)) == set(STATE)


def test_a_prefix_of_some_keys_stays(path):
    mixed = state("module.") | state("", ["fc.bias"])
    write(path, "zip", mixed)
    assert set(torch_file.read(path)) == set(mixed)


@pytest.mark.parametrize(
    ("trained", "averaged"),
    [
        ("state_dict", "state_dict_ema"),
        ("model", "model_ema"),
        ("model", "ema"),
        ("net", "averaged_model"),
        ("checkpoint.model.state_dict", "swa.state_dict"),
    ],
)
def test_averages_beside_what_was_trained(path, trained, averaged):
    value = {"epoch": 3, "optimizer": {"exp_avg": state()}}
    for name, key in ((averaged, "of.averages"), (trained, "of.training")):
        place = value
        *outer, last = name.split(".")
        for each in outer:
            place = place.setdefault(each, {})
        place[last] = state("module.", [key])
    write(path, "zip", value)
    found = torch_file.read_entry(path)
    assert (set(found.state), found.entry, found.others) == (
        {"of.training"},
        trained,
        (averaged,),
    )
    assert set(torch_file.read_entry(path, averaged).state) == {"of.averages"}
    with pytest.raises(ZooError, match=f"no entry with weights in .* 'emaa'.*{averaged}"):
        torch_file.read_entry(path, "emaa")


def test_the_same_dictionary_in_many_places(path):
    """Each level refers 100 times to the next: visiting all paths would never end."""
    inner = {"x": 1}
    for _ in range(20):
        inner = {str(number): inner for number in range(100)}
    write(path, "zip", inner)
    refused(path, "holds no weights, only")
