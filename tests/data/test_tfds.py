"""`dataset=tfds:NAME`: a data set that tensorflow-datasets wrote, with its classes."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from training.cli import main
from training.commands.evaluate.accuracy import EvaluationSettings
from training.data import TFDS, InputPipeline
from training.recipes.one_hour import OneHour
from training.settings.configuration import configure_task, parse_assignments
from zoo.errors import DatasetError, InvalidValueError

CLASSES = ["dark", "grey", "bright"]


class Shades(tfds.core.GeneratorBasedBuilder):
    """Images of 24x24 pixels of three shades."""

    __module__ = "sets"  # tfds takes what is in a package for its own code
    VERSION = tfds.core.Version("1.2.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name="plain", version=VERSION, description="one")]

    def _info(self):
        features = {
            "picture": tfds.features.Image(shape=(24, 24, 3)),
            "shade": tfds.features.ClassLabel(names=CLASSES),
            "source": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("picture", "shade"),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(20), "test": self._generate_examples(6)}

    def _generate_examples(self, count):
        for n in range(count):
            picture = np.full((24, 24, 3), 100 * (n % 3), np.uint8)
            yield n, {"picture": picture, "shade": n % 3, "source": f"{n}"}


class Sounds(tfds.core.GeneratorBasedBuilder):
    """No images."""

    __module__ = "sets"  # tfds takes what is in a package for its own code
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict({"label": tfds.features.ClassLabel(names=CLASSES)})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": ((n, {"label": n}) for n in range(3))}

    def _generate_examples(self):
        raise NotImplementedError


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    Shades(data_dir=folder).download_and_prepare()
    Sounds(data_dir=folder).download_and_prepare()
    return folder


@pytest.mark.parametrize("name", ["shades", "shades/plain"])
def test_a_set_by_its_name(prepared, name):
    conf = parse_assignments([f"dataset=tfds:{name}", f"dataset.data_dir={prepared}"])
    task = configure_task(OneHour, conf)
    dataset, preprocessing = task.dataset, task.preprocessing
    assert dataset.class_names == CLASSES and dataset.num_classes == 3
    assert (dataset.train_split, dataset.validation_split) == ("train", "test")
    assert type(preprocessing).__name__ == "PadCropFlip"
    assert preprocessing.input_shape == (24, 24, 3)
    assert task.config["dataset"] == "TFDS" and task.config["dataset.name"] == name
    pipeline = InputPipeline(dataset, preprocessing, batch_size=6, seed=0)
    (batch,) = pipeline.validation()
    shades = np.round((batch["image"].numpy() * preprocessing.std + preprocessing.mean) * 255)
    assert sorted(batch["label"].numpy()) == [0, 0, 1, 1, 2, 2]
    assert all(np.all(shades[n] == 100 * label) for n, label in enumerate(batch["label"].numpy()))
    evaluated = configure_task(EvaluationSettings, conf)
    assert evaluated.preprocessing.input_shape == (24, 24, 3)
    assert evaluated.dataset_name == f"tfds:{name}"


def test_on_the_command_line(prepared, capsys, tmp_path):
    where = f"dataset.data_dir={prepared}"
    words = ["dataset=tfds:shades", where, "batch_size=8", "crop_epochs=0", "--dry-run"]
    assert main(["train", "OneHour", *words]) == 0
    printed = capsys.readouterr().out
    assert "tfds:shades: 20 training images." in printed
    assert "Each epoch leaves out 4 of the 20 images" in printed
    for settings, says in (
        (["dataset=tfds:sounds", where], "tfds:sounds does not give a class for each image"),
        (["dataset=tfds:sights", where], "dataset=tfds:sights dataset.download=True"),
        (
            ["dataset.name=cifar100"],
            "Cifar10 is the data set 'cifar10': for another data set, give dataset=tfds:cifar100.",
        ),
        (["dataset=tfds:shades", "dataset.name=shades"], "remove dataset.name"),
        (["dataset=tfds:"], "dataset=tfds:NAME"),
    ):
        assert main(["train", "OneHour", *settings, "--dry-run"]) == 2
        assert says in capsys.readouterr().err


def test_a_set_of_training_images_alone_and_other_names(prepared):
    conf = {"name": "sounds", "data_dir": str(prepared)}
    with pytest.raises(DatasetError, match="does not give a class for each image"):
        configure_task(TFDS, conf).train_split  # noqa: B018
    with pytest.raises(InvalidValueError, match="dataset=tfds:cifar100"):
        configure_task(OneHour, {"dataset.name": "cifar100"}).dataset  # noqa: B018
