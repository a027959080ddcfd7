"""`lqz train FineTune`: the settings that it chooses from the images, up to a prediction."""

import json

import pytest

import zoo
from training.cli import main
from training.recipes.fine_tune import FineTune, by_number, by_size
from training.settings.configuration import configure_task, parse_assignments


@pytest.mark.parametrize(
    ("images", "batch", "epochs", "rate"),
    [
        (1, 1, 60, 0.0011),
        (3, 3, 60, 0.0019),
        (30, 6, 52, 0.0027),
        (186, 14, 21, 0.0042),  # each epoch leaves out 4 images
        (200, 20, 20, 0.005),
        (5000, 50, 5, 0.0079),
        (1_281_167, 58, 5, 0.0085),
    ],
)
def test_chosen_by_the_number_of_images(images, batch, epochs, rate):
    chosen = {key: choice.value for key, choice in by_number(images).items()}
    assert chosen == {"batch_size": batch, "epochs": epochs, "learning_rate": rate}


def test_hardly_an_image_is_left_out_of_an_epoch():
    for images in [*range(1, 400), 1009, 7919]:
        batch = by_number(images)["batch_size"].value
        assert 1 <= batch <= images
        assert images % batch <= (0.1 if images < 64 else 0.06) * images
        assert images < 12 or images // batch > 1


@pytest.mark.parametrize(
    ("shorter", "size", "low"),
    [
        (28, 32, 0.8),
        (32, 32, 0.8),
        (40, 32, 0.64),
        (3000, 32, 0.35),
        (256, 224, 0.77),
    ],
)
def test_chosen_by_the_size_of_the_images(shorter, size, low):
    assert by_size(shorter, size)["preprocessing.scale"].value == (low, 1.0)


def settings(folder, *words):
    conf = parse_assignments([f"dataset.data_dir={folder}", *words])
    return configure_task(FineTune, conf).config


def test_a_setting_beats_what_would_be_chosen(image_folder):
    chosen = settings(image_folder)
    assert (chosen["batch_size"], chosen["epochs"]) == (8, 32)
    assert chosen["initialize_from"] == "cifar10" and chosen["teacher_epochs"] == 0
    own = settings(image_folder, "batch_size=40", "epochs=2", "initialize_from=None")
    assert (own["batch_size"], own["epochs"], own["initialize_from"]) == (40, 2, None)
    assert own["learning_rate"] == 0.0071  # for this batch
    large = settings(image_folder, "model=ReActNetA")
    assert large["initialize_from"] == "imagenet"
    assert large["preprocessing.input_shape"] == [224, 224, 3]


@pytest.mark.slow
def test_from_a_folder_to_predictions_by_name(image_folder, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    words = [f"dataset.data_dir={image_folder}", "output_dir=mine", "epochs=1", "batch_size=32"]
    assert main(["train", "FineTune", *words]) == 0
    out = capfd.readouterr().out
    lines = [line.split(maxsplit=2) for line in out.splitlines()]
    assert ["initialize_from", "cifar10", "the trained set of ReActNet20"] in lines
    assert ["learning_rate", "0.0063", "for batches of 32"] in lines
    assert "images in total" not in out  # epochs was set
    assert "Each epoch leaves out 16 of the 80 images" in out
    assert json.loads((tmp_path / "mine/config.json").read_text())["learning_rate"] == 0.0063

    picture = min((image_folder / "validation" / "trouser").iterdir())
    assert main(["predict", "mine", str(picture)]) == 0
    printed = capfd.readouterr().out
    assert " %  shirt" in printed and " %  trouser" in printed
    model = zoo.load_model("mine")
    scores = model(zoo.preprocess_input(picture, model=model)[None])
    (best,) = zoo.decode_predictions(scores, model=model)
    assert f"{100 * best[0][2]:.2f} %  {best[0][1]}" in printed

    assert main(["summary", "mine"]) == 0
    assert main(["export", "mine", "--format", "c", "-o", "c"]) == 0
    assert main(["evaluate", "mine"]) == 0
    own = (tmp_path / "mine/confusion-ReActNet20.png").read_bytes()
    assert main(["evaluate", "mine", "dataset.validation_split=train"]) == 0
    assert "of 80 images" in capfd.readouterr().out
    assert (tmp_path / "mine/confusion-ReActNet20.png").read_bytes() == own
