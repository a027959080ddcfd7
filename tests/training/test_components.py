"""The choices for data set, network and teacher are exactly the declared components."""

import importlib

import pytest
import tensorflow as tf

from tools.import_layers import modules
from training.data.conventions import DATASETS, PREPROCESSING
from training.loop.component_table import MODELS, TEACHERS
from training.recipes.one_hour import OneHour
from training.settings.components import choices, component_name, components
from training.settings.configuration import configure_task, fields
from zoo.adapters.zookeeper import Field, component
from zoo.adapters.zookeeper_tf import Dataset, Preprocessing
from zoo.errors import UnknownNameError

KINDS = {
    Dataset: DATASETS,
    Preprocessing: PREPROCESSING,
    tf.keras.Model: TEACHERS,  # and networks; all of them can be teachers
}
ROOMS = ("training.data", "training.recipes", "zoo.models")


@pytest.mark.parametrize(("kind", "declared"), KINDS.items())
def test_every_component_of_the_package_is_declared(kind, declared):
    for name in modules():
        if name.startswith(ROOMS):
            importlib.import_module(name)
    choices(kind, declared)  # larq-zoo's networks are adapted on first use
    defined = {
        component_name(cls): f"{cls.__module__}:{cls.__name__}"
        for cls in components(kind)
        if cls.__module__.startswith(ROOMS)
    }
    assert defined == declared


def test_a_network_of_keras_is_a_teacher_alone():
    assert set(TEACHERS) - set(MODELS) == {"KerasApplication"}
    infos = {info.key: info for info in fields(OneHour)}
    assert "KerasApplication" in infos["teacher"].choice_names
    with pytest.raises(UnknownNameError, match="There is no model 'KerasApplication'"):
        configure_task(OneHour, {"model": "KerasApplication"})


def test_a_data_set_of_ones_own_is_a_choice_once_it_is_defined():
    @component
    class Mine(Dataset):
        num_classes: int = Field(2)

        def train(self):
            raise NotImplementedError

    (info,) = [info for info in fields(OneHour, {"dataset": "mine"}) if info.key == "dataset"]
    assert info.chosen is Mine and set(info.choice_names) == {*DATASETS, "Mine"}
