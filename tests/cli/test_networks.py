"""Every command accepts the same names of a network (runs, files, models), and all agree."""

import json
import re
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

import zoo
from training import cli
from training.commands.network import resolve
from zoo.card import card_of
from zoo.deploy import compile_openvino
from zoo.errors import RunError, WeightsError
from zoo.preprocessing import luma, preprocess
from zoo.pretrained.records import ImagePreprocessing
from zoo.weights import save_weights
from zoo.weights.files import describe_npz, read_npz

pytestmark = pytest.mark.usefixtures("small_networks")

CLASSES = ["a tall one", "zig zag", "\u00e9toile"]
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
SIZE = 20


@pytest.fixture(scope="module")
def run(tmp_path_factory, small_networks):
    """A finished run on three classes of colour images, with an unusual normalisation."""
    root = tmp_path_factory.mktemp("network")
    draws = np.random.default_rng(0)
    for split in ("train", "val"):
        for label, name in enumerate(CLASSES):
            (root / "photos" / split / name).mkdir(parents=True)
            for number in range(8):
                pixels = draws.integers(0, 80, (SIZE, SIZE, 3)).astype("uint8")
                pixels[..., label] += 150
                Image.fromarray(pixels).save(root / "photos" / split / name / f"{number}.png")
    settings = {
        "dataset": "ImageFolder",
        "dataset.data_dir": root / "photos",
        "batch_size": 8,
        "preprocessing": "PadCropFlip",
        "preprocessing.input_shape": f"({SIZE},{SIZE},3)",
        "preprocessing.mean": MEAN,
        "preprocessing.std": STD,
        "preprocessing.padding": 1,
        "model.width": 0.25,
        "epochs": 2,
        "output_dir": root / "run",
        "tensorboard": False,
    }
    words = [f"{key}={value}" for key, value in settings.items()]
    assert cli.main(["train", "RealResNet20", *words]) == 0
    return root / "run"


@pytest.fixture(scope="module")
def image(run):
    return run.parent / "photos" / "val" / CLASSES[1] / "0.png"


@pytest.fixture(scope="module")
def expected(run, image):
    """The scores of the run's network for the image, computed step by step."""
    model = zoo.load_model(run / "realresnet20.keras", compile=False)
    pixels = np.asarray(Image.open(image), "float32") / 255
    batch = ((pixels - np.array(MEAN)) / np.array(STD))[None].astype("float32")
    return dict(zip(CLASSES, model(batch, training=False).numpy()[0], strict=True))


def shown(out):
    """Return the shares by class name that `lqz predict` printed for one image."""
    lines = [re.fullmatch(r" +([\d.]+) % +(.+)", line) for line in out.splitlines()[1:]]
    return {line[2]: float(line[1]) / 100 for line in lines}


def elsewhere(run, tmp_path, name):
    """Copy a file of the run to a folder without the run."""
    return shutil.copyfile(run / name, tmp_path / name)


@pytest.mark.parametrize(
    "way", ["run", "keras", "keras elsewhere", "npz", "npz elsewhere", "weights=", "stage"]
)
def test_predict_names_the_classes(way, run, image, expected, lqz, tmp_path):
    weights = run / "realresnet20.npz"
    words = {
        "run": lambda: [run],
        "keras": lambda: [run / "realresnet20.keras"],
        "keras elsewhere": lambda: [elsewhere(run, tmp_path, "realresnet20.keras")],
        "npz": lambda: [weights],
        "npz elsewhere": lambda: [elsewhere(run, tmp_path, "realresnet20.npz")],
        "weights=": lambda: [
            "RealResNet20",
            f"weights={weights}",
            "model.width=0.25",
            f"input_shape=({SIZE},{SIZE},3)",
        ],
        "stage": lambda: [run / "1-real" / "realresnet20.npz"],
    }[way]()
    code, out, err = lqz("predict", words[0], image, *words[1:])
    assert (code, err) == (0, ""), err
    found = shown(out)
    assert list(found) == sorted(expected, key=expected.get, reverse=True)
    assert found == pytest.approx(expected, abs=6e-5)


def test_the_library_reads_a_run(run, image, expected, tmp_path):
    for path in (
        run,
        str(run / "realresnet20.keras"),
        elsewhere(run, tmp_path, "realresnet20.keras"),
    ):
        model = zoo.load_model(path, compile=False)
        assert card_of(model).names == CLASSES and card_of(model).dataset == "ImageFolder"
        batch = zoo.preprocess_input(image, model=model)[None]
        (best,) = zoo.decode_predictions(model(batch), model=model, top=3)
        assert {name: score for _, name, score in best} == pytest.approx(expected, abs=1e-5)
    other = zoo.RealResNet20(weights=None)
    for call in (
        lambda: zoo.preprocess_input(image, model=other),
        lambda: zoo.decode_predictions(np.zeros((1, 10)), model=other),
    ):
        with pytest.raises(WeightsError, match="'realresnet20' does not record its class"):
            call()


def test_one_channel_is_luma(image):
    pixels = np.asarray(Image.open(image))
    expected = np.asarray(Image.open(image).convert("L"))
    np.testing.assert_array_equal(luma(pixels)[..., 0], expected)
    grey = ImagePreprocessing("own", None, SIZE, (0.5,), (0.25,))
    found = preprocess(image, grey)
    np.testing.assert_allclose(found[..., 0], (expected / 255 - 0.5) / 0.25, atol=1e-6)


def test_summary_and_evaluate(run, lqz, tmp_path):
    params = zoo.profile(zoo.load_model(run, compile=False)).params
    for path in (run, run / "realresnet20.npz", elsewhere(run, tmp_path, "realresnet20.keras")):
        code, out, _ = lqz("summary", path, "--json")
        assert code == 0 and json.loads(out)["params"] == params
    code, out, _ = lqz("evaluate", run)
    assert code == 0 and "a tall one" in out and "recorded by the run's stage 'real': within" in out


def test_exports_keep_names_and_normalisation(run, expected, image, lqz, tmp_path):
    code, _, err = lqz("export", run, "--format", "c", "-o", "c")
    assert code == 0, err
    manifest = json.loads((tmp_path / "c" / "model.json").read_text())
    assert manifest["classes"] == CLASSES and manifest["uint8"]
    code, _, err = lqz("export", run, "--format", "openvino", "--preprocess", "-o", "ov")
    assert code == 0, err
    assert "a_tall_one zig_zag \u00e9toile" in (tmp_path / "ov" / "model.xml").read_text()
    compiled = compile_openvino(tmp_path / "ov" / "model.xml")
    (found,) = compiled(np.asarray(Image.open(image))[None]).values()
    assert dict(zip(CLASSES, found[0], strict=True)) == pytest.approx(expected, abs=1e-3)
    # Two commands accept it and name its classes; the others need layers, which it does not have.
    code, out, err = lqz("predict", "ov", image)
    assert (code, err) == (0, "") and shown(out) == pytest.approx(expected, abs=1e-3)
    code, out, _ = lqz("evaluate", "ov", "--against", run)
    assert code == 0 and "0 of 24 images have a different class" in out
    for words in (
        ("summary", "c"),
        ("export", "c", "--format", "c", "-o", "x"),
        ("benchmark", "ov"),
        ("convert", "c", "--to", "packed", "-o", "x.npz"),
    ):
        refused(lqz(*words), "which has no Keras layers: give the run, the file")


def refused(result, says):
    code, out, err = result
    assert code == 2 and says in err and err.startswith("Error: "), err
    assert len(err.splitlines()) == 1 and out == ""


def entries(network, image):
    return (
        ("summary", network),
        ("predict", network, image),
        ("evaluate", network),
        ("export", network, "--format", "c", "-o", "out"),
        ("benchmark", network, "--runtimes", "keras"),
        ("convert", network, "--to", "packed", "-o", "out.npz"),
    )


def test_what_is_no_network(run, image, lqz, tmp_path):
    """Each command prints one sentence and writes nothing."""
    unfinished = tmp_path / "unfinished"
    shutil.copytree(run, unfinished)
    (unfinished / "realresnet20.keras").unlink()
    shutil.copytree(run, tmp_path / "two")
    shutil.copy(tmp_path / "two" / "realresnet20.keras", tmp_path / "two" / "other.keras")
    shutil.copy(image, tmp_path / "photo.png")
    save_weights(zoo.RealResNet20(weights=None), tmp_path / "nameless.npz")
    state = read_npz(tmp_path / "nameless.npz")
    np.savez(tmp_path / "nameless.npz", **state)
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    for network, says in {
        "unfinished": "The run in unfinished is not finished: run the command that started it",
        "folder": "folder is not a run of `lqz train`: it has no config.json.",
        "photo.png": "'photo.png' is not a network: give a model of `lqz list`, a run directory",
        "nameless.npz": "'nameless.npz' holds weights and does not record their model: give a "
        "model of",
        "none/run": "There is no 'none/run': give a model of `lqz list`, a run directory",
        "RealResNet2O": "did you mean 'RealResNet20'?",
        "x" * 5000: "There is no model 'xxx",
        "~nobody/run": "There is no '~nobody/run': give a model",
    }.items():
        for words in entries(network, image):
            refused(lqz(*words), says)
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(RunError, match="is not finished"):
        zoo.load_model(unfinished)
    with pytest.raises(RunError, match=r"several networks: give one of other\.keras, realresnet20"):
        zoo.load_model(tmp_path / "two")


def test_a_saved_network_takes_no_arguments(run, image, lqz):
    for words, says in (
        (("summary", run, "width=0.5"), "A saved network takes no arguments, such as 'width'."),
        (("predict", run, image, "weights=x.npz"), "already contains weights: remove weights=."),
        (("export", run, "weights=none", "--format", "c", "-o", "x"), "already contains weights"),
        (("summary", run / "realresnet20.npz", "widht=1"), "did you mean 'width'?"),
        (
            ("convert", run, "--to", "packed", "-o", "x.npz", "--entry", "ema"),
            "--entry is for importing a PyTorch FILE, not for --to.",
        ),
    ):
        refused(lqz(*words), says)


def test_features_are_no_classes(run, image, lqz, tmp_path):
    zoo.RealResNet20(weights=None, include_top=False).save(tmp_path / "features.keras")
    refused(lqz("predict", "features.keras", image), "RealResNet20 is not an image classifier.")


def test_a_file_has_random_weights_only_by_that_word(lqz, tmp_path):
    """BiRealNet18's weights were never published; RealResNet20's set is not on this machine."""
    for model in ("BiRealNet18", "RealResNet20"):
        small = ("input_shape=(32,32,3)", "num_classes=10")
        command = ("export", model, *small, "--format", "tflite", "-o", "out.tflite")
        code, out, err = lqz(*command)
        assert code == 2 and out == "" and re.search("weights=none|weights=None", err), err
        assert not (tmp_path / "out.tflite").exists()
    code, _, err = lqz("export", "RealResNet20", "weights=none", "--format", "c", "-o", "c")
    assert (code, err) == (0, "")
    assert json.loads((tmp_path / "c" / "model.json").read_text())["classes"] is None


def test_the_default_set_is_the_librarys(three_blocks, capfd, tmp_path):
    """The package's own weights: the exported file computes the same as `zoo.ReActNet20()`."""
    target = tmp_path / "new" / "out"
    assert cli.main(["export", "ReActNet20", "--format", "openvino", "-o", str(target)]) == 0
    batch = np.random.default_rng(0).standard_normal((1, 32, 32, 3)).astype("float32")
    (found,) = compile_openvino(target / "model.xml")(batch).values()
    np.testing.assert_allclose(found, zoo.ReActNet20()(batch), atol=1e-4)
    shutil.rmtree(target.parent)
    capfd.readouterr()
    # A classifier for other classes would also be random.
    words = ["export", "ReActNet20", "num_classes=7", "--format", "openvino", "-o", str(target)]
    assert cli.main(words) == 2 and not target.parent.exists()
    assert "'cifar10' have 10 classes, not 7: give weights=FILE, or weights=none" in (
        capfd.readouterr().err
    )
    (one, other) = (resolve(name, {}) for name in ("ReActNet20", "ReActNet20/cifar10"))
    assert one.file == other.file and one.sha256 == other.sha256


def test_a_packed_run_knows_its_classes(run, lqz, tmp_path):
    """RealResNet20 has no binary weights, so its values do not change."""
    code, _, err = lqz("convert", run, "--to", "packed", "-o", "small.npz")
    assert code == 0, err
    name, card = describe_npz(tmp_path / "small.npz")
    assert name == "realresnet20" and card.names == CLASSES and card.arguments["width"] == 0.25


@pytest.mark.parametrize(
    "card",
    [
        "{",
        '{"dataset": 3}',
        '{"classes": [1]}',
        '{"preprocessing": {"name": "x"}}',
        '{"arguments": 3}',
        "[]",
    ],
)
def test_a_damaged_card(card, run, image, lqz, tmp_path):
    arrays = dict(np.load(run / "realresnet20.npz"))
    np.savez(tmp_path / "x.npz", **arrays | {"zoo.card": np.frombuffer(card.encode(), "uint8")})
    target = tmp_path / "x.keras"
    with zipfile.ZipFile(run / "realresnet20.keras") as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            text = f'{{"zoo": {card}}}' if name == "metadata.json" else old.read(name)
            new.writestr(name, text)
    for file in ("x.npz", "x.keras"):
        refused(lqz("predict", file, image), "damaged")


def test_a_card_cannot_ask_for_more_than_its_file_holds(run, image, lqz, tmp_path):
    arrays = dict(np.load(run / "realresnet20.npz"))
    card = json.loads(arrays["zoo.card"].tobytes())
    card["arguments"]["width"] = 1000.0
    arrays["zoo.card"] = np.frombuffer(json.dumps(card).encode(), "uint8")
    np.savez(tmp_path / "x.npz", **arrays)
    refused(lqz("predict", "x.npz", image), "its network has more weights than the")
