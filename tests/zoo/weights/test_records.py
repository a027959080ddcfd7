"""The records: complete, for existing models, and equal to larq-zoo's own facts."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest

import zoo
from zoo import catalog
from zoo.errors import UnknownNameError, WeightsError
from zoo.pretrained import records
from zoo.pretrained.find import keeping, resolve

ALL = records.all_records()
# Licences of the weights by origin; one repository of a paper's authors states a licence.
LICENCES = {
    "authors": "none stated",
    "larq-zoo": "Apache-2.0",
    "torchvision": "none stated",
    "zoo": "Apache-2.0",
}
SD_BNN = ("SDBNNResNet18", "MIT")


@pytest.mark.parametrize("record", ALL, ids=lambda each: f"{each.model}-{each.name}")
def test_record(record):
    row = catalog.row(record.model)
    assert record.dataset == record.classes == row.dataset
    assert record.access in ("shipped", "downloadable", "manual download", "none published")
    assert record.format in ("pytorch", "keras", "npz", "packed")
    assert records.preprocessing(record.preprocessing).size in (32, 224)
    assert record.num_classes == {"imagenet": 1000, "cifar10": 10}[record.classes]
    assert (record.address is not None) == (record.access == "downloadable")
    assert (record.where is not None) == (record.access != "none published")
    assert record.version >= 1
    assert record.licence == LICENCES[record.origin] or (record.model, record.licence) == SD_BNN
    assert record.sha256 is None or re.fullmatch("[0-9a-f]{64}", record.sha256)
    assert record.measured_top1 is None or record.measured_row
    # A set's own figure equals the paper's, or is close to it, as after another training.
    if record.published_top1 and row.top1:
        assert abs(record.published_top1 - row.top1) < 0.5
    if row.origin == "larq-zoo":
        assert (record.published_top1, record.published_top5) == (row.top1, row.top5)


def test_every_record_states_licence_and_origin_itself():
    """No default value replaces a fact that nobody has checked."""
    for file in (records.RECORDS, records.SHIPPED_RECORDS):
        data = json.loads(file.read_text(encoding="utf-8"))
        for record in data if isinstance(data, list) else data["sets"]:
            assert record["licence"] and record["origin"], record["model"]


def test_a_set_is_registered_once():
    names = [(each.model, each.name) for each in ALL]
    assert len(names) == len(set(names)) >= 22


def test_larq_zoos_addresses_and_hashes_are_those_of_its_source():
    spec = importlib.util.find_spec("larq_zoo")
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in Path(spec.submodule_search_locations[0]).glob("*/*.py")
    )
    (root,) = re.findall(r'root_url = "(.*)"', source)
    calls = re.findall(
        r'model="(\w+)",\s+version="([\w.]+)",\s+file="(\w+_weights\.h5)",\s+file_hash="(\w+)"',
        source,
    )
    theirs = {(f"{root}{m}-{version}/{file}", digest) for m, version, file, digest in calls}
    ours = [(each.address, each.sha256) for each in ALL if each.origin == "larq-zoo"]
    assert set(ours) == theirs and len(ours) == len(zoo.list_models(origin="larq-zoo")) == 14


def test_classes():
    imagenet = records.class_names("imagenet")
    assert len(imagenet) == len({wnid for wnid, _ in imagenet}) == 1000
    assert [wnid for wnid, _ in imagenet] == sorted(wnid for wnid, _ in imagenet)
    # The numbers of torchvision and Keras.
    for label, name in ((0, "tench"), (281, "tabby"), (291, "lion"), (999, "toilet tissue")):
        assert imagenet[label][1] == name
    cifar = [name for name, _ in records.class_names("cifar10")]
    assert cifar[0] == "airplane" and cifar[9] == "truck" and len(cifar) == 10


def test_classes_of_imagenet_are_in_the_order_of_the_data_set():
    """Weights evaluated on tensorflow-datasets' ImageNet must mean the same classes."""
    spec = importlib.util.find_spec("tensorflow_datasets")
    (folder,) = spec.submodule_search_locations
    labels = Path(folder) / "datasets" / "imagenet2012" / "labels.txt"
    assert [wnid for wnid, _ in records.class_names("imagenet")] == labels.read_text().split()


def test_resolving():
    assert resolve("imagenet").model == "ReActNetA"
    assert resolve("cifar10").dataset == "cifar10"
    assert resolve("QuickNet/imagenet").preprocessing == "larq-zoo"
    assert resolve("imagenet", "quicknet").preprocessing == "larq-zoo"
    with pytest.raises(
        WeightsError, match=r"no weight set 'best'; registered sets: .*ReActNetA/ima"
    ):
        resolve("best")
    with pytest.raises(UnknownNameError, match="did you mean 'imagenet'"):
        records.preprocessing("imagenett")


def test_a_set_imported_under_a_name_of_ones_own_is_prepared_as_its_networks_data(home):
    with keeping("ReActNet20", "mine", ".npz", "test", "digest") as draft:
        draft.write_bytes(b"x")
    for found in (resolve("ReActNet20/mine"), resolve("mine", "reactnet20")):
        assert (found.model, found.name, found.preprocessing) == ("ReActNet20", "mine", "cifar10")
    assert zoo.preprocess_input(np.zeros((32, 32, 3)), "mine", model="ReActNet20").shape[0] == 32
    with pytest.raises(WeightsError, match="no weight set 'mine'"):
        resolve("mine")
