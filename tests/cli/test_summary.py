"""`lqz summary` on a small larq network instead of the zoo's."""

import dataclasses
import json
import sys
import types

import pytest

import zoo
from training import cli


@pytest.fixture(autouse=True)
def toy_zoo(monkeypatch):
    """A zoo with one network, which needs no weights and takes a number of classes."""

    def toy(*, weights="imagenet", num_classes=10, input_shape=(8, 8, 3)):
        import tensorflow as tf
        from larq.layers import QuantConv2D

        assert weights is None
        binary = QuantConv2D(
            4, 3, input_quantizer="ste_sign", kernel_quantizer="ste_sign", use_bias=False
        )
        layers = [tf.keras.layers.Input(input_shape), binary, tf.keras.layers.Flatten()]
        return tf.keras.Sequential([*layers, tf.keras.layers.Dense(num_classes)], name="toy")

    # The catalog names the module of a model's function.
    module = types.ModuleType("toy_models")
    module.Toy = toy
    monkeypatch.setitem(sys.modules, "toy_models", module)
    row = dataclasses.replace(zoo.catalog.row("ReActNetA"), model="Toy", module="toy_models")
    monkeypatch.setattr(zoo.catalog, "_rows", lambda: {"Toy": row})


def test_summary(capfd):
    assert cli.main(["summary", "Toy", "num_classes=5"]) == 0
    out, err = capfd.readouterr()
    assert "toy stats" in out and "toy summary" in out and err == ""
    assert out.splitlines()[-1] == (
        "Toy: 833 parameters, 0.00 MiB, 3,888 binary and 720 float MACs, 781 OPs"
    )


def test_summary_as_json(capfd):
    assert cli.main(["summary", "Toy", "input_shape=(10, 10, 3)", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["arguments"] == {"weights": None, "input_shape": [10, 10, 3]}
    assert found["binary_macs"] == 4 * 3 * 3 * 3 * 8 * 8 and found["float_macs"] == 4 * 64 * 10
    assert found["ops"] == found["binary_macs"] / 64 + found["float_macs"]
    first, *_, last = found["layers"]
    assert first["Layer"].startswith("quant_conv2d") and first["# 1-bit x 1"] == 108
    assert last["Layer"].startswith("dense")


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("num_clases=3", "There is no argument 'num_clases'; did you mean 'num_classes'?"),
        ("--jsn", "There is no argument 'jsn'."),
        ("num_classes", "'num_classes' is not a setting: write key=value."),
    ],
)
def test_wrong_arguments(setting, text, capfd):
    assert cli.main(["summary", "Toy", setting]) == 2
    out, err = capfd.readouterr()
    assert out == "" and text in err and len(err.splitlines()) == 1


def test_an_unknown_model(capfd):
    assert cli.main(["summary", "Tpy"]) == 2
    assert "no model 'Tpy'; did you mean 'Toy'?" in capfd.readouterr().err


def test_a_value_that_larq_zoo_refuses(monkeypatch, capfd):
    monkeypatch.undo()
    assert cli.main(["summary", "QuickNet", "input_shape=3"]) == 2
    out, err = capfd.readouterr()
    assert out == "" and "'input_shape'" in err and "Traceback" not in err
