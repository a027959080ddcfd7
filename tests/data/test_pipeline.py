"""The pipeline: exact resuming, order, workers, caches and unreadable images."""

from collections import namedtuple
from pathlib import Path

import numpy as np
import psutil
import pytest
import tensorflow as tf

from training.data import (
    FashionMNIST,
    ImageFolder,
    InputPipeline,
    PadCropFlip,
    RandomResizedCropFlip,
    storage,
)
from zoo.errors import DatasetError, InvalidValueError

# A copy on disk is read by the same mechanism as the data set's files, and has separate tests.
CACHES = ("memory", "none", pytest.param("disk", marks=pytest.mark.slow))
# The slowest cases, with the mechanisms that read files, run only in the slow tier.
QUICK_CACHES = ("memory", pytest.param("none", marks=pytest.mark.slow), CACHES[2])


@pytest.fixture(scope="module")
def build(make, tmp_path_factory):
    """Return a pipeline on 500 embedded images with batches of 32."""
    data = make(FashionMNIST, train_split="train[:500]", validation_split="test[:50]")
    prep = make(PadCropFlip, input_shape=(28, 28, 1))
    folder = tmp_path_factory.mktemp("cache")

    def build(cache="memory", **options):
        options = {"batch_size": 32, "seed": 5, "shuffle_buffer": 100, **options}
        if cache == "disk":
            options.setdefault("cache_dir", folder)
        return InputPipeline(data, prep, cache=cache, **options)

    return build


def collected(batches) -> list[dict]:
    # TensorFlow's thread that tunes would let some passes wait up to a minute at their end.
    assert batches.options().autotune.enabled is False
    return list(batches.as_numpy_iterator())


def assert_equal(left: list[dict], right: list[dict]) -> None:
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        for key in ("image", "label", "position"):
            np.testing.assert_array_equal(a[key], b[key])


@pytest.mark.parametrize("cache", QUICK_CACHES)
def test_resuming_anywhere_is_exact(build, cache):
    pipeline = build(cache)
    whole = collected(pipeline.train(3))
    assert len(whole) == 500 // 32 == pipeline.steps_per_epoch
    assert whole[0]["image"].shape == (32, 28, 28, 1)
    dtypes = [whole[0][k].dtype for k in ("image", "label", "position")]
    assert dtypes == [np.float32, np.int32, np.int64]
    positions = np.concatenate([batch["position"] for batch in whole])
    np.testing.assert_array_equal(positions, np.arange(15 * 32))
    continued = build(cache)
    for step in (0, 7, 15) if cache == "memory" else (7,):
        start = int(whole[step - 1]["position"][-1]) + 1 if step else 0
        tf.random.set_seed(step)  # must not matter
        assert_equal(collected(continued.train(3, start)), whole[step:])
    uneven = collected(pipeline.train(3, 45, steps=2))
    np.testing.assert_array_equal(
        uneven[0]["image"], np.concatenate([whole[1]["image"][13:], whole[2]["image"][:13]])
    )


@pytest.mark.parametrize("cache", CACHES)
def test_order_by_seed_and_epoch(build, cache):
    pipeline = build(cache)
    first, again = list(pipeline.order_names(0)), list(build(cache).order_names(0))
    assert first == again and len(set(first)) == 500
    second, other = list(pipeline.order_names(1)), list(build(cache, seed=6).order_names(0))
    assert sorted(first) == sorted(second) == sorted(other)
    assert first != second and first != other and second != other
    left, right = (collected(pipeline.train(e, steps=1))[0] for e in (0, 1))
    assert not np.array_equal(left["image"], right["image"])


@pytest.mark.parametrize("cache", CACHES)
def test_images_keep_their_labels_and_names(make, build, fashion, cache):
    """Without augmentation, every image equals an original with the same label."""
    pipeline = build(cache)
    pipeline.preprocessing = make(
        PadCropFlip, input_shape=(28, 28, 1), padding=0, flip=False, mean=(0.0,), std=(1.0,)
    )
    originals = {}
    for example in fashion.examples("train[:500]"):
        image = tf.io.decode_png(example["image"]).numpy()
        originals[image.tobytes()] = (int(example["label"]), example["name"].numpy())
    order = list(pipeline.order_names(2))
    for batch in collected(pipeline.train(2)):
        pixels = np.rint(batch["image"] * 255).astype(np.uint8)
        for image, label, position in zip(pixels, batch["label"], batch["position"], strict=True):
            assert originals[image.tobytes()] == (label, order[position])


@pytest.mark.parametrize("cache", CACHES)
def test_validation_is_every_image_once_in_order(build, fashion, cache):
    pipeline = build(cache)
    batches = collected(pipeline.validation())
    assert [len(b["label"]) for b in batches] == [32, 18]
    assert pipeline.validation_steps == 2
    want = [int(e["label"]) for e in fashion.examples("test[:50]")]
    assert np.concatenate([b["label"] for b in batches]).tolist() == want
    positions = np.concatenate([b["position"] for b in batches])
    np.testing.assert_array_equal(positions, np.arange(50))
    pipeline.note_validation(positions)
    assert not pipeline.corrupt


@pytest.mark.parametrize("cache", QUICK_CACHES)
def test_workers_share_each_batch(build, cache):
    whole = collected(build(cache).train(1))
    workers = [build(cache, shard=(i, 2)) for i in range(2)]
    parts = [collected(worker.train(1)) for worker in workers]
    for step, batch in enumerate(whole):
        union = [part[step] for part in parts]
        joined = {k: np.concatenate([u[k] for u in union]) for k in batch}
        assert_equal([joined], [batch])
    # Each worker continues from its own last position, or from the end of the batch.
    starts = [int(parts[0][3]["position"][-1]) + 1, 4 * 32]
    assert starts[0] == 4 * 32 - 16
    for worker, part, start in zip(workers, parts, starts, strict=True):
        assert_equal(collected(worker.train(1, start)), part[4:])
    seen = [p for w in workers for b in collected(w.validation()) for p in b["position"]]
    assert sorted(seen) == list(range(50))


def test_mechanisms_agree_on_augmentation(make, build):
    """The image at a position may differ between caches, but its augmentation does not."""
    pipeline = build("memory")
    batch = collected(pipeline.train(4, steps=1))[0]
    key = pipeline.order.key(4)
    store = storage.load(pipeline.dataset, "train[:500]")
    names = store.names.tolist()
    for i, name in zip(range(5), pipeline.order_names(4), strict=False):
        example = {
            "image": store.images[names.index(name)],
            "seed": tf.constant([key, i], tf.int32),
        }
        want = pipeline.preprocessing.input(example, training=True)
        np.testing.assert_array_equal(batch["image"][i], want)


def test_choice_of_cache(build, monkeypatch, tmp_path):
    assert build("auto").cache == "memory"
    memory = namedtuple("memory", "available")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory(1_000_000))
    assert build("auto").cache == "none"
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory(200_000))
    with pytest.raises(
        InvalidValueError, match=r"kB while loading .* is available: use cache=none"
    ):
        build("memory")
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda _: usage(1000))
    with pytest.raises(InvalidValueError, match="has 1 kB free"):
        build("disk", cache_dir=tmp_path)
    with pytest.raises(InvalidValueError, match="needs cache_dir"):
        build("disk", cache_dir=None)
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidValueError, match=r"created: .*file is a file"):
        build("disk", cache_dir=tmp_path / "file")


def test_disk_cache_is_written_once_and_repaired(build, tmp_path):
    folder = tmp_path / "cache"
    first = collected(build("disk", cache_dir=str(folder)).train(0))
    files = {f: f.stat().st_mtime_ns for f in folder.glob("Fashion*")}
    assert files
    assert_equal(collected(build("disk", cache_dir=folder).train(0)), first)
    assert {f: f.stat().st_mtime_ns for f in folder.glob("Fashion*")} == files
    next(folder.glob("*.json")).unlink()  # as after a run that was stopped while writing
    assert_equal(collected(build("disk", cache_dir=folder).train(0)), first)


def test_a_damaged_copy_is_named_and_an_incomplete_one_made_anew(make, folder):
    def first():
        pipeline = folder_pipeline(make, folder, "disk")
        with pipeline.reading():
            return collected(pipeline.train(0))

    expected = first()
    (copy,) = (folder / "cache").glob("*.tfrecord")
    content = copy.read_bytes()
    for place in (3, len(content) - 20):
        copy.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(DatasetError, match=f"copy of the images '{copy}' is damaged .*delete"):
            first()
    copy.write_bytes(content[:-1])
    assert_equal(first(), expected)
    assert copy.read_bytes() == content


def test_disk_cache_knows_that_two_images_changed_places(make, folder):
    folder_pipeline(make, folder, "disk").train(0)
    one, other, third = folder / "train/bags/00.jpg", folder / "train/coats/00.jpg", folder / "x"
    one.rename(third), other.rename(one), third.rename(other)
    expected = collected(folder_pipeline(make, folder, "none").train(0))
    found = collected(folder_pipeline(make, folder, "disk").train(0))
    assert len(found) == len(expected) and len(list((folder / "cache").glob("*.tfrecord"))) == 2


def test_a_label_that_is_no_class_is_an_unreadable_image(make, fashion, monkeypatch):
    real = type(fashion).examples

    def spoiled(self, split):
        def label(example):
            bad = tf.strings.regex_full_match(example["name"], ".*__[37]")
            return example | {"label": tf.where(bad, tf.constant(10, tf.int64), example["label"])}

        return real(self, split).map(label)

    monkeypatch.setattr(type(fashion), "examples", spoiled)
    data = make(FashionMNIST, train_split="train[:100]", validation_split="test[:50]")
    prep = make(PadCropFlip, input_shape=(28, 28, 1))
    pipeline = InputPipeline(data, prep, batch_size=10, seed=0, cache="memory", corrupt_share=0.03)
    batches = collected(pipeline.train(0))
    assert len(batches) == 10 and max(batch["label"].max() for batch in batches) <= 9
    for batch in batches:
        pipeline.note_positions(0, batch["position"])
    assert {name.rpartition("__")[2] for name in pipeline.corrupt} <= {"3", "7"}
    strict = InputPipeline(data, prep, batch_size=10, seed=0, cache="memory", corrupt_share=0.0)
    with pytest.raises(DatasetError, match="an invalid label"):
        strict.note_validation(np.concatenate([b["position"] for b in strict.validation()]))


def test_disk_cache_knows_that_an_image_moved_to_another_class(make, folder):
    def labels():
        batches = collected(folder_pipeline(make, folder, "disk").train(0))
        return np.concatenate([batch["label"] for batch in batches])

    labels()
    one, other = sorted(each for each in (folder / "train").iterdir() if each.is_dir())[:2]
    for file in list(one.iterdir())[1:]:
        file.rename(other / f"from-{file.name}")
    assert np.count_nonzero(labels() == 0) <= 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"seed": -1}, "seed=-1"),
        ({"batch_size": 501}, "larger than the 500 training images"),
        ({"shard": (0, 3)}, "worker 0 of 3"),
        ({"shard": (2, 2)}, "worker 2 of 2"),
        ({"corrupt_share": 1.0}, "corrupt_share"),
        ({"shuffle_buffer": 0}, "shuffle_buffer=0"),
    ],
)
def test_values_that_do_not_fit(build, options, says):
    with pytest.raises(InvalidValueError, match=says):
        build(**options)
    with pytest.raises(InvalidValueError, match="must be 0 or more"):
        build().train(-1)


def test_images_of_another_size(make, fashion):
    prep = make(PadCropFlip, input_shape=(32, 32, 1))
    with pytest.raises(DatasetError, match=r"28x28x1 do not have the size that \w+ needs, 32x32x1"):
        InputPipeline(fashion, prep, batch_size=8, seed=0)


def folder_pipeline(make, folder, cache, **options) -> InputPipeline:
    data = make(ImageFolder, data_dir=folder)
    prep = make(RandomResizedCropFlip, input_shape=(32, 32, 3))
    options = {"batch_size": 8, "seed": 2, "corrupt_share": 0.1, **options}
    return InputPipeline(data, prep, cache=cache, cache_dir=folder / "cache", **options)


def spoil(folder: Path, split: str, count: int) -> set[str]:
    """Cut `count` files short, JPEG and PNG."""
    files = sorted(f for f in (folder / split).rglob("*") if f.is_file())[3 : 3 + count]
    for file in files:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return {str(file) for file in files}


@pytest.mark.parametrize("cache", QUICK_CACHES)
@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_unreadable_images_are_skipped_and_named(make, folder, cache, workers):
    spoiled = spoil(folder, "train", 3) | spoil(folder, "val", 1)
    found = {}
    for worker in range(workers):
        pipeline = folder_pipeline(make, folder, cache, shard=(worker, workers))
        batches = collected(pipeline.train(0))
        assert len(batches) == pipeline.steps_per_epoch == 5  # full: the order wraps around
        assert all(len(b["label"]) == 8 // workers for b in batches)
        names = list(pipeline.order_names(0))
        for batch in batches:
            assert not {names[p % 40].decode() for p in batch["position"]} & spoiled
            pipeline.note_positions(0, batch["position"])
        rest = collected(pipeline.train(0, int(batches[1]["position"][-1]) + 1, steps=3))
        assert_equal(rest, batches[2:])
        positions = [p for b in collected(pipeline.validation()) for p in b["position"]]
        pipeline.note_validation(np.array(positions))
        found.update(pipeline.corrupt)
    assert set(found) == spoiled
    assert sorted(found.values()) == ["train"] * 3 + ["validation"]


@pytest.mark.parametrize("cache", CACHES)
def test_too_many_unreadable_images(make, folder, cache):
    spoil(folder, "train", 8)
    pipeline = folder_pipeline(make, folder, cache)
    with pytest.raises(
        DatasetError, match=r"of 40 images \(train\) are missing, cannot be decoded.*\.(jpg|png)"
    ):
        for batch in collected(pipeline.train(0)):
            pipeline.note_positions(0, batch["position"])


@pytest.mark.parametrize("cache", CACHES)
def test_nothing_is_readable(make, folder, cache):
    """The data set ends with an error instead of searching for ever."""
    spoil(folder, "train", 40)
    for file in sorted((folder / "train").rglob("*.*"))[:3]:
        file.write_bytes(b"not an image")
    pipeline = folder_pipeline(make, folder, cache)
    assert collected(pipeline.train(0)) == []
    with pytest.raises(DatasetError, match="40 of 40"):
        pipeline.note_positions(0, np.array([], np.int64), ended=True)
