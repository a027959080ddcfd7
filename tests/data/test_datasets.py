"""The data sets: their attributes, and one clear sentence for each possible error."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tools import prepare_fashion_mnist as prepare
from training.data import Cifar10, FashionMNIST, ImageFolder, ImageNet
from training.data.encoded import reading, shuffled
from zoo.errors import DatasetError

EMBEDDED = prepare.EMBEDDED_DIR / prepare.NAME / prepare.VERSION


def names(dataset) -> list[bytes]:
    return list(dataset.map(lambda example: example["name"]).as_numpy_iterator())


def write_shards(root: Path, name: str, images, shards: int, per_shard: int) -> None:
    """A prepared data set of several files, made from real images."""
    labels = np.arange(shards * per_shard) % 10
    pairs = list(zip(images[: len(labels)], labels.tolist(), strict=True))
    folder = prepare.write(root, {"train": iter(pairs), "test": iter(pairs[:10])})
    target = root / name / "1.0.0"
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(target)
    info = json.loads((target / "dataset_info.json").read_text())
    info["name"] = name
    info["splits"][0]["shardLengths"] = [str(per_shard)] * shards
    (target / "dataset_info.json").write_text(json.dumps(info))
    for file in target.glob(f"{prepare.NAME}-*"):
        file.rename(target / file.name.replace(prepare.NAME, name))
    whole = target / f"{name}-train.tfrecord-00000-of-00001"
    records = [r.numpy() for r in tf.data.TFRecordDataset(str(whole))]
    whole.unlink()
    for shard in range(shards):
        path = target / f"{name}-train.tfrecord-{shard:05d}-of-{shards:05d}"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in records[shard * per_shard : (shard + 1) * per_shard]:
                writer.write(record)


def test_fashion_mnist(fashion, make):
    assert fashion.num_classes == 10 and fashion.class_names[9] == "Ankle boot"
    assert (fashion.train_split, fashion.validation_split) == ("train", "test")
    data, count = fashion.train()
    assert count == 10_000 and fashion.validation()[1] == 2000
    example = next(iter(data))
    assert example["image"].dtype == tf.string and example["image"].shape == ()
    assert example["label"].dtype == tf.int64
    assert example["name"] == b"fashion_mnist_small-train.tfrecord-00000-of-00001__0"
    assert names(fashion.examples("test")) == names(fashion.examples("test"))
    part = "train[:25%]"
    assert fashion.num_examples(part) == 2500 == len(names(fashion.examples(part)))
    assert fashion.encoded_bytes(part) == 2500 * 28 * 28
    part = names(fashion.examples("train[10:13]"))
    assert [n.rsplit(b"__")[1] for n in part] == [b"10", b"11", b"12"]
    with pytest.raises(DatasetError, match="no split 'dev'; it has test, train"):
        fashion.num_examples("dev")
    copy = make(FashionMNIST, data_dir=prepare.EMBEDDED_DIR)
    assert copy.num_examples("test") == 2000


def test_home_folder_and_environment(make, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree(EMBEDDED.parent, tmp_path / "sets" / prepare.NAME)
    assert make(FashionMNIST, data_dir="~/sets").num_examples("test") == 2000
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    assert make(Cifar10).root == tmp_path / "tensorflow_datasets"
    monkeypatch.setenv("TFDS_DATA_DIR", "~/sets")
    assert make(Cifar10).root == tmp_path / "sets"


def test_streams_of_many_files(make, tmp_path, images):
    """The class Cifar10 on prepared files: seeded order, skipping, names without reading."""
    write_shards(tmp_path, "cifar10", images, shards=20, per_shard=10)
    data = make(Cifar10, data_dir=tmp_path)
    fixed = names(data.examples("train"))
    assert fixed[0].endswith(b"-00000-of-00020__0") and len(set(fixed)) == 200
    once = names(data.stream("train", 7, 50).take(400))
    assert sorted(once[:200]) == sorted(fixed) and once[:200] == once[200:]
    assert names(data.stream("train", 7, 50, start=130).take(100)) == once[130:230]
    assert names(data.stream("train", 8, 50).take(200)) != once[:200]
    assert [n.numpy() for n in data.stream_names("train", 7, 50)] == once[:200]
    # The buffer mixes files of ten images each.
    assert len({n.split(b"__")[0] for n in once[:20]}) > 5


def test_shuffle_ignores_the_global_seed():
    data = tf.data.Dataset.range(100)
    orders = []
    for seed in (1, 2):
        tf.random.set_seed(seed)
        orders.append(list(shuffled(data, 100, 3).as_numpy_iterator()))
    assert orders[0] == orders[1] != list(range(100))


@pytest.mark.parametrize(
    ("component", "says"),
    [(Cifar10, "dataset=Cifar10 dataset.download=True"), (ImageNet, "lqz prepare imagenet --tars")],
)
def test_missing(make, tmp_path, component, says):
    with pytest.raises(DatasetError, match=says) as caught:
        make(component, data_dir=str(tmp_path)).num_examples("train")
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_imagenet_without_its_archives(make, tmp_path):
    data = make(ImageNet, data_dir=tmp_path, download=True)
    with pytest.raises(
        DatasetError, match=r"could not be prepared .*lqz prepare imagenet"
    ) as caught:
        data.examples("train")
    assert "\n" not in str(caught.value)
    assert data.validation_split == "validation"


@pytest.mark.parametrize("damage", ["truncated", "no shard", "no info", "no features", "bad info"])
def test_damaged(make, tmp_path, damage):
    folder = Path(shutil.copytree(EMBEDDED, tmp_path / prepare.NAME / "1.0.0"))
    records = next(folder.glob("*-train.tfrecord-*"))
    if damage == "truncated":
        records.write_bytes(records.read_bytes()[:-100])
    elif damage == "no shard":
        records.unlink()
    elif damage == "bad info":
        (folder / "dataset_info.json").write_text("{")
    else:
        name = {"no info": "dataset_info.json", "no features": "features.json"}[damage]
        (folder / name).unlink()
    with pytest.raises(DatasetError, match=r"is damaged .*: delete that folder") as caught:
        make(FashionMNIST, data_dir=tmp_path).examples("train")
    assert "\n" not in str(caught.value)


def test_flipped_bits_in_a_record(make, tmp_path):
    """The damage is found during reading, because the file's size is right."""
    folder = Path(shutil.copytree(EMBEDDED, tmp_path / prepare.NAME / "1.0.0"))
    path = next(folder.glob("*-test.tfrecord-*"))
    content = bytearray(path.read_bytes())
    content[5000] ^= 255
    path.write_bytes(content)
    data = make(FashionMNIST, data_dir=tmp_path)
    with pytest.raises(DatasetError, match="damaged"), reading(data):
        names(data.examples("test"))


def test_image_folder_with_splits(make, folder, pictures):
    data = make(ImageFolder, data_dir=folder)
    assert data.class_names == ["bags", "coats"] and data.num_classes == 2
    assert (data.num_examples("train"), data.num_examples("validation")) == (40, 10)
    files = [f for f in (folder / "train").rglob("*") if f.is_file()]
    assert data.encoded_bytes("train") == sum(f.stat().st_size for f in files)
    for example in data.examples("train"):
        path = Path(example["name"].numpy().decode())
        assert path.parent.name == data.class_names[int(example["label"])]
        assert example["image"].numpy() == path.read_bytes()
    order = names(data.stream("train", 3, 1).take(60))
    assert order[:20] == order[40:] and len(set(order[:40])) == 40
    assert names(data.stream("train", 3, 1, start=45).take(10)) == order[5:15]
    assert [n.numpy() for n in data.stream_names("train", 3, 1)] == order[:40]


def test_image_folder_laid_out_wrongly(make, tmp_path):
    def message() -> str:
        with pytest.raises(DatasetError) as caught:
            make(ImageFolder, data_dir=tmp_path).num_examples("train")
        assert "train/CLASS/*.jpg" in str(caught.value) and "\n" not in str(caught.value)
        return str(caught.value)

    assert "no training images" in message()
    (tmp_path / "train" / "cats").mkdir(parents=True)
    assert "no validation folder" in message()
    (tmp_path / "val" / "dogs").mkdir(parents=True)
    assert "no training images" in message()
    (tmp_path / "train" / "cats" / "1.png").write_bytes(b"x")
    assert "no validation images" in message()
    (tmp_path / "val" / "dogs" / "1.png").write_bytes(b"x")
    assert "class 'dogs'" in message()
    (tmp_path / "validation").mkdir()
    assert "val and validation" in message()
    with pytest.raises(DatasetError, match="There is no folder"):
        make(ImageFolder, data_dir=tmp_path / "nowhere").num_examples("train")
    with pytest.raises(DatasetError, match=r"needs dataset.data_dir"):
        make(ImageFolder).num_examples("train")


def test_package_import_is_light():
    code = "import sys, training.data; print('tensorflow' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
