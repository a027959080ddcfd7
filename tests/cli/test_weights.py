"""`lqz list --weights`, `lqz predict` and `lqz convert`, without PyTorch."""

import json
import sys

import numpy as np
import pytest
import tensorflow as tf

import zoo
from training.commands.list_weights import show_weights
from zoo.pretrained.find import keeping
from zoo.pretrained.records import find_record
from zoo.weights import save_weights

pytestmark = pytest.mark.usefixtures("small_networks")

MODEL = "RealResNet20"


@pytest.fixture(scope="module")
def model(small_networks):
    tf.keras.utils.set_random_seed(1)
    return zoo.RealResNet20(weights=None)


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "weights.npz"
    save_weights(model, path)
    return path


def refused(result, says):
    code, out, err = result
    assert code == 2 and out == "" and says in err, err
    assert err.startswith("Error: ") and len(err.splitlines()) == 1


# --- lqz list --weights ---


def test_every_state_is_shown(lqz, home, tmp_path, monkeypatch):
    with keeping("ReActNet18", "imagenet", ".npz", "test", "digest") as draft:
        draft.write_bytes(b"x")
    with keeping("ReActNet34", "mine", ".npz", "test", "digest") as draft:
        draft.write_bytes(b"x")
    (tmp_path / "shipped" / "SDBNNResNet20").mkdir(parents=True)
    (tmp_path / "shipped" / "SDBNNResNet20" / "cifar10-authors.v1.npz").write_bytes(b"x")
    code, out, _ = lqz("list", "--weights")
    head, *lines = out.splitlines()
    assert code == 0 and head.split()[:3] == ["model", "set", "state"]
    rows = {line.split()[0]: line for line in lines}
    assert list(rows) == zoo.list_models()
    for name, texts in {
        "ReActNetA": ("imagenet", "downloadable", "authors", "69.50", "pytorch", "sharepoint.com"),
        "ReActNet18": ("imagenet", "cached", "65.90"),
        "ReActNet34": ("mine", "cached", "imported"),
        "SDBNNResNet20": ("cifar10-authors", "shipped", "86.90"),
        "SDBNNResNet18": ("manual download", "66.50", "86.70", "a file-sharing drive"),
        "XNORNetPlusPlusResNet18": ("none published",),
        "ReActNetB": ("none published",),
        "BiRealNet": ("downloadable", "larq-zoo", "57.47", "keras", "6e6efac1584f", "Apache-2.0"),
    }.items():
        assert all(text in rows[name] for text in texts), rows[name]


def test_as_json(lqz):
    _, out, _ = lqz("list", "quicknet", "--weights", "--json")
    (found,) = json.loads(out)
    assert found["state"] == "downloadable" and found["address"].endswith("quicknet_weights.h5")
    assert {
        "bytes",
        "sha256",
        "format",
        "preprocessing",
        "classes",
        "published_top1",
        "published_top5",
        "measured_top1",
        "measured_row",
        "recipe",
        "licence",
        "origin",
        "dataset",
    } <= set(found)


# --- lqz predict ---


def test_top_five(lqz, model, file, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    for name, image in zip("ab", images, strict=True):
        tf.io.write_file(str(tmp_path / f"{name}.png"), tf.io.encode_png(image))
    code, out, err = lqz("predict", MODEL, "a.png", "b.png", f"weights={file}")
    assert code == 0 and err == ""
    lines = out.splitlines()
    assert [lines[0], lines[6]] == ["a.png", "b.png"] and len(lines) == 12
    scores = model(zoo.preprocess_input(images, "cifar10-authors"), training=False)
    expected = zoo.decode_predictions(scores, weights="cifar10-authors")
    shown = [line.split() for line in lines[1:6] + lines[7:]]
    for (percent, _, name), (_, known, score) in zip(
        shown, [*expected[0], *expected[1]], strict=True
    ):
        assert name == known and float(percent) == pytest.approx(100 * score, abs=0.006)


def test_the_set_of_the_data_sets_name_is_meant():
    """The default is not a less accurate set that is registered earlier, such as OneHour's."""
    from zoo.pretrained.records import all_records, default_record

    names = {row.model: [] for row in zoo.catalog.rows()}
    for record in all_records():
        names[record.model].append(record.name)
    assert names["ReActNet20"][0] != "cifar10"
    for row in zoo.catalog.rows():
        found = default_record(row.model)
        assert (found and found.name) == (row.dataset if names[row.model] else None), row.model
    assert default_record("SDBNNResNet20", importable=True).name == "cifar10-authors"


def test_a_file_does_not_hide_the_set_of_its_name(lqz, file, tmp_path):
    (tmp_path / "a.png").write_bytes(tf.io.encode_png(np.zeros((32, 32, 3), "uint8")).numpy())
    (tmp_path / "mine").write_bytes(file.read_bytes())
    says = f"{MODEL} has no weight set 'mine'; to load the file with that name, give './mine'."
    refused(lqz("predict", MODEL, "a.png", "weights=mine"), says)
    refused(lqz("summary", MODEL, "weights=mine"), says)
    says = "'mine' cannot be read as weights (.npz, .h5 or .keras): its name does not end in"
    refused(lqz("predict", MODEL, "a.png", "weights=./mine"), says)
    with keeping(MODEL, "mine", ".npz", "test", "digest") as draft:
        draft.write_bytes(file.read_bytes())
    (tmp_path / "mine").write_bytes(b"another file")
    assert lqz("predict", MODEL, "a.png", "weights=mine")[0] == 0


def test_what_predict_refuses(lqz, file, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    refused(lqz("predict", MODEL, "none.png"), "There is no image file 'none.png'.")
    refused(lqz("predict", MODEL, "weights=x"), "Give an image: lqz predict MODEL IMAGE.")
    says = "'text.png' is not a readable JPEG, PNG, BMP, GIF (first frame), WebP, TIFF or PNM."
    refused(lqz("predict", MODEL, "text.png", f"weights={file}"), says)
    tf.io.write_file(str(tmp_path / "a.png"), tf.io.encode_png(np.zeros((32, 32, 3), "uint8")))
    says = "'text.png' cannot be read as weights (.npz, .h5 or .keras)"
    refused(lqz("predict", MODEL, "a.png", "weights=text.png"), says)
    refused(lqz("predict", "SDBNNResNet20", "a.png"), "lqz convert SDBNNResNet20 FILE")
    refused(lqz("predict", MODEL, "a.png", "weights=None"), "Random weights cannot classify")
    refused(lqz("predict", "RealResNett20", "a.png"), "did you mean 'RealResNet20'?")
    # With another number of classes the classifier would be random.
    says = "another class count"
    refused(lqz("predict", MODEL, "a.png", f"weights={file}", "num_classes=3"), says)


def test_names_are_not_those_of_other_data(lqz, model, tmp_path):
    tf.io.write_file(str(tmp_path / "a.png"), tf.io.encode_png(np.zeros((32, 32, 3), "uint8")))
    run = tmp_path / "run"
    run.mkdir()
    save_weights(model, run / "w.npz")
    for dataset, named in (("Cifar10", True), ("ImageFolder", False)):
        (run / "config.json").write_text(json.dumps({"dataset": dataset}))
        code, out, _ = lqz("predict", MODEL, "a.png", f"weights={run / 'w.npz'}")
        assert code == 0 and len(out.splitlines()) == 6
        assert ("class " not in out) == named
    (run / "config.json").write_text("{")
    refused(lqz("predict", MODEL, "a.png", f"weights={run / 'w.npz'}"), "config.json is damaged")
    grey = zoo.RealResNet20(weights=None, input_shape=(28, 28, 1))
    save_weights(grey, tmp_path / "grey.npz")
    settings = ("weights=grey.npz", "input_shape=(28,28,1)")
    says = "RealResNet20 takes images of 1 channels, and its preprocessing 'cifar10' makes 3."
    refused(lqz("predict", MODEL, "a.png", *settings), says)


# --- lqz convert ---


def test_our_own_format_is_kept_under_a_name(lqz, model, file, home):
    code, out, err = lqz("convert", MODEL, file, "--name", "mine")
    assert code == 0 and err == ""
    assert f'{MODEL}(weights="mine") loads it.' in out
    loaded = zoo.RealResNet20(weights="mine")
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    refused(lqz("convert", MODEL, file, "--name", "mine"), "already has a set 'mine'")
    assert lqz("convert", MODEL, file, "--name", "mine", "--force")[0] == 0


def test_packed_weights(lqz, home, tmp_path):
    """A packed file from latent weights stays packed, and its outputs are bit-identical."""
    latent = zoo.ReActNet20(weights=None)
    save_weights(latent, tmp_path / "latent.npz")
    code, out, err = lqz("convert", "ReActNet20", "latent.npz", "--to", "packed", "-o", "small.npz")
    small, large = ((tmp_path / name).stat().st_size for name in ("small.npz", "latent.npz"))
    assert code == 0 and err == "" and small < large / 10
    assert out == f"small.npz: {small:,} bytes (latent.npz: {large:,}).\n"
    code, out, err = lqz("convert", "ReActNet20", "small.npz", "--name", "mine")
    assert code == 0 and err == ""
    kept = home / "weights" / "ReActNet20" / "mine.npz"
    assert kept.read_bytes() == (tmp_path / "small.npz").read_bytes()
    images = np.random.default_rng(0).standard_normal((2, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(zoo.ReActNet20(weights="mine")(images), latent(images))


def test_what_is_packed_is_listed_as_such(capsys):
    """The package's own weights; the other tests here do not use them."""
    show_weights(["ReActNet20"], as_json=True)
    sets = json.loads(capsys.readouterr().out)
    found = {each["name"]: (each["state"], each["format"], each["version"]) for each in sets}
    version = find_record("ReActNet20", "cifar10").version
    assert found["cifar10"] == ("shipped", "packed", version)
    assert version > 1  # the second replaced the first


def test_larq_zoos_file_under_a_name(short_quicknet, lqz, home, tmp_path):
    theirs = zoo.get_model("QuickNetSmall", weights=None)
    theirs.save_weights(tmp_path / "theirs.h5")
    code, out, err = lqz("convert", "QuickNetSmall", "theirs.h5", "--name", "mine")
    assert code == 0 and err == ""
    assert 'zoo.get_model("QuickNetSmall", weights="mine") loads it.' in out
    loaded = zoo.get_model("QuickNetSmall", weights="mine")
    for one, other in zip(loaded.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_convert_refuses(lqz, file, home, tmp_path):
    for args, says in (
        ((MODEL,), "Give a file: lqz convert RealResNet20 FILE."),
        ((MODEL, "none.npz"), "There is no file 'none.npz'."),
        ((MODEL, file, "more.npz"), "Give one file at a time"),
        ((MODEL, file, "--name", "../x"), "A set's name may have letters"),
        ((MODEL, file, "weights=x"), "without weights="),
        ((MODEL, "--to", "torch"), "Give the output file: "),
        (("BiRealNet20", file), "weights of realresnet20, which do not belong to birealnet20"),
        (
            (MODEL, file, "num_classes=3"),
            "With num_classes=3 these are not the weights of 'cifar10",
        ),
        ((MODEL, file, "num_classes=3", "--name", "mine"), "another class count"),
        (
            (MODEL, file, "--name", "v1.0"),
            "A set's name may have letters, digits, '-' and '_', not 'v1.0'",
        ),
        (("RealResNet34", file), "b627a593bcbe; keep this file under another --name."),
        (("QuickNet", "--to", "torch", "-o", "x.pth"), "PyTorch does not have"),
        (("QuickNet", "--to", "packed", "-o", "x.npz"), ".h5 files and cannot be packed"),
        ((MODEL, "--to", "packed", "-o", "x.pth"), "written as .npz, not 'x.pth'"),
        ((MODEL, file, "--to", "packed", "-o", "none/x.npz"), "'none/x.npz' cannot be written"),
    ):
        refused(lqz("convert", *args), says)
    assert not (home / "weights").exists()


def test_only_writing_needs_pytorch(lqz, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)  # None in sys.modules makes imports fail
    (tmp_path / "file.pth.tar").write_bytes(b"PK")
    refused(lqz("convert", MODEL, "file.pth.tar"), "'file.pth.tar' is not a readable PyTorch file")
    says = "'file.pth.tar' needs PyTorch: run pip install '.[convert]'"
    refused(lqz("convert", MODEL, "--to", "torch", "-o", "file.pth.tar"), f"Writing {says}")
