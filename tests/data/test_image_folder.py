"""Typical folders of images: every file is used, or named with the reason."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from training.data import ImageFolder, InputPipeline, PadCropFlip
from training.data.service import start
from zoo.errors import DatasetError

FORMATS = {"bmp": {}, "gif": {}, "webp": {"lossless": True}, "tiff": {}, "ppm": {}, "png": {}}


def save(path: Path, pixels: np.ndarray, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


@pytest.fixture
def pixels() -> np.ndarray:
    """Return an image with few colours, which fit a GIF's palette, and without symmetry."""
    return np.random.default_rng(0).integers(0, 2, (8, 6, 3), dtype=np.uint8) * 255


def names_of(data, split):
    return [Path(e["name"].numpy().decode()).name for e in data.examples(split)]


def test_every_format_and_depth(make, tmp_path, pixels):
    for suffix, options in FORMATS.items():
        save(tmp_path / "train" / suffix / "deep" / "er" / f"1.{suffix.upper()}", pixels, **options)
    save(tmp_path / "val" / "bmp" / "1.bmp", pixels)
    data = make(ImageFolder, data_dir=tmp_path)
    assert data.class_names == sorted(FORMATS) and data.num_examples("train") == len(FORMATS)
    decode = make(PadCropFlip, input_shape=(8, 6, 3)).decode
    for example in data.examples("train"):
        np.testing.assert_array_equal(decode(example["image"]), pixels)
    (remark,) = data.remarks
    assert remark == "There are no validation images of class gif, png, ppm, tiff, webp."


def test_further_kinds_of_pixels(make, tmp_path, pixels):
    deep = np.random.default_rng(1).integers(0, 2**16, (8, 6)).astype(np.uint16)
    grey = pixels[..., 0]
    save(tmp_path / "train" / "a" / "1-deep.png", deep)
    save(tmp_path / "train" / "a" / "2-deep.tif", deep)
    save(tmp_path / "train" / "a" / "3-grey.bmp", grey)
    frames = [Image.fromarray(each) for each in (pixels, 255 - pixels)]
    frames[0].save(tmp_path / "train" / "a" / "4.gif", save_all=True, append_images=frames[1:])
    Image.fromarray(pixels).convert("P").save(tmp_path / "train" / "a" / "5-palette.bmp")
    save(tmp_path / "train" / "a" / "6-really-webp.jpg", pixels, format="WEBP", lossless=True)
    shutil.copytree(tmp_path / "train", tmp_path / "val")
    data = make(ImageFolder, data_dir=tmp_path)
    decode = make(PadCropFlip, input_shape=(8, 6, 3)).decode
    found = [decode(example["image"]).numpy() for example in data.examples("train")]
    expected = [*[(deep >> 8)[..., None]] * 2, grey[..., None], *[pixels] * 3]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, np.broadcast_to(other, (8, 6, 3)))


def test_what_is_not_used_is_named_with_the_reason(make, tmp_path, pixels):
    for name in ("cats", "dogs"):
        for number in range(4):
            save(tmp_path / name / f"{number}.png", pixels)
    (tmp_path / "cats" / "notes.txt").write_text("")
    (tmp_path / "cats" / "photo.heic").write_text("")
    (tmp_path / "dogs" / ".DS_Store").write_text("")
    (tmp_path / "dogs" / "README").write_text("")
    (tmp_path / "dogs" / "lost.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "dogs" / "folder.jpg").mkdir()
    (tmp_path / "dogs" / "round").symlink_to(tmp_path / "dogs")
    save(tmp_path / "stray.png", pixels)
    save(tmp_path / "elsewhere" / "linked.png", pixels)
    shutil.move(tmp_path / "elsewhere", tmp_path.parent / f"{tmp_path.name}-elsewhere")
    (tmp_path / "cats" / "linked").symlink_to(tmp_path.parent / f"{tmp_path.name}-elsewhere")
    with open(os.fsencode(tmp_path / "cats") + b"/\xff\xfe.png", "wb") as file:
        file.write(b"x")
    data = make(ImageFolder, data_dir=tmp_path)
    assert data.num_examples("train") + data.num_examples("validation") == 9
    assert set(data.remarks) == {
        "Not used (not a supported image format, '.txt'): cats/notes.txt.",
        "Not used (not a supported image format, '.heic'): cats/photo.heic.",
        "Not used (a name that is not UTF-8): cats/\ufffd\ufffd.png.",
        "Not used (hidden): dogs/.DS_Store.",
        "Not used (no suffix): dogs/README.",
        "Not used (a link to nothing): dogs/lost.jpg.",
        "Not used (a link to a folder above it): dogs/round.",
        "Not used (in no class folder): stray.png.",
        "Not used (an empty folder): dogs/folder.jpg.",
    }


def test_a_class_without_images_is_an_error(make, tmp_path, pixels):
    for number in range(4):
        save(tmp_path / "cats" / f"{number}.png", pixels)
    (tmp_path / "dogs" / "deep").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"folder dogs of .* holds no readable image: rem"):
        make(ImageFolder, data_dir=tmp_path).num_examples("train")
    (tmp_path / "dogs" / "deep" / "1.heic").write_text("")
    with pytest.raises(DatasetError, match=r"but dogs/deep/1.heic \(not a supported image format"):
        make(ImageFolder, data_dir=tmp_path).num_examples("train")


def test_train_val_and_test(make, tmp_path, pixels):
    for split in ("train", "val", "test"):
        save(tmp_path / split / "cats" / f"{split}.png", pixels)
    data = make(ImageFolder, data_dir=tmp_path)
    assert names_of(data, "train") == ["train.png"] and names_of(data, "validation") == ["val.png"]
    assert data.remarks == [
        "Not used (it is outside train/ and val/; to evaluate on it: "
        "dataset.validation_split=test): test.",
        "There is only one class, cats: every prediction will be correct.",
    ]
    assert names_of(data, "test") == ["test.png"]
    assert sorted(names_of(data, "all")) == ["test.png", "train.png", "val.png"]
    same = make(ImageFolder, data_dir=tmp_path, validation_split="train")
    assert names_of(same, "train") == ["train.png"] and same.num_examples("validation") == 1
    with pytest.raises(DatasetError, match="no split 'nonsense'; it has all, test, train, valid"):
        data.num_examples("nonsense")


def test_a_split_named_twice_is_the_same(make, tmp_path):
    for number in range(54):
        path = tmp_path / ("cats", "dogs")[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    data = make(ImageFolder, data_dir=tmp_path, validation_split="train")
    counts = [data.num_examples(data.train_split), data.num_examples(data.validation_split)]
    assert counts == [48, 48] and data.num_examples("validation") == 6
    assert data.num_examples("all") == 54


def test_numbered_classes_are_numbered_so(make, tmp_path):
    for number in range(12):
        for name in ("a", "b"):
            path = tmp_path / "numbers" / str(number) / f"{name}.png"
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_bytes(b"")
    data = make(ImageFolder, data_dir=tmp_path / "numbers")
    assert data.class_names == [str(number) for number in range(12)]
    (remark,) = data.remarks
    assert "0 is label 0, 1 is label 1" in remark and "and 7 more" in remark
    (tmp_path / "numbers/11").rename(tmp_path / "numbers/eleven")
    assert make(ImageFolder, data_dir=tmp_path / "numbers").class_names[:3] == ["0", "1", "10"]


@pytest.mark.parametrize("parts", [(), ("test",), ("train", "val", "test"), ("validation",)])
def test_a_folder_that_was_held_out_is_taken_whole(make, tmp_path, parts):
    for part in parts or (".",):
        for name in ("cats", "dogs"):
            for number in range(5):
                path = tmp_path / part / name / f"{number}.png"
                path.parent.mkdir(exist_ok=True, parents=True)
                path.write_bytes(b"")
    data = make(ImageFolder, data_dir=tmp_path)
    data.take_whole()
    assert data.class_names == ["cats", "dogs"]
    assert data.num_examples(data.validation_split) == 10 * max(len(parts), 1)


def test_bad_files_are_unreadable_images_and_say_why(make, tmp_path, pixels):
    for split, count in (("train", 6), ("val", 1)):
        for number in range(count):
            save(tmp_path / split / "cats" / f"{number}.png", pixels)
    cats = tmp_path / "train" / "cats"
    data = make(ImageFolder, data_dir=tmp_path)
    assert data.num_examples("train") == 6
    (cats / "0.png").unlink()  # all after they were listed
    (cats / "1.png").unlink()
    os.mkfifo(cats / "1.png")
    os.truncate(cats / "2.png", 2**30)
    Image.new("1", (30_000, 30_000)).save(cats / "3.png")  # 110 kB that decode to 2.7 GB
    (cats / "4.png").unlink()
    (cats / "4.png").symlink_to("/dev/zero")
    contents = [example["image"].numpy() for example in data.examples("train")]
    assert contents[:5] == [b""] * 5 and contents[5]
    reasons = [data.why_unusable(str(cats / f"{number}.png")) for number in range(6)]
    for reason, word in zip(reasons, ("No such", "pipe", "more than", "pixels", "device")):  # noqa: B905
        assert word in reason, reasons
    assert not reasons[5] and data.encoded_bytes("train") < 10_000
    assert data.content("train")["cats"]["images"] == 6


@pytest.mark.parametrize(
    ("count", "held_out"), [(1, 0), (2, 1), (4, 1), (10, 1), (14, 1), (15, 2), (60, 6)]
)
def test_every_class_gives_its_share(make, tmp_path, count, held_out):
    for name, more in (("cats", 0), ("dogs", 40)):
        (tmp_path / name).mkdir()
        for number in range(count + more):
            (tmp_path / name / f"{number + 1}.jpg").write_bytes(b"")
    data = make(ImageFolder, data_dir=tmp_path)
    content = data.content("validation")
    assert content["cats"]["images"] == held_out
    assert content["dogs"]["images"] == int((count + 40) * 0.1 + 0.5)
    train, validation = names_of(data, "train"), names_of(data, "validation")
    assert len(train) + len(validation) == 2 * count + 40
    again, other = (
        make(ImageFolder, data_dir=tmp_path),
        make(ImageFolder, data_dir=tmp_path, split_seed=1),
    )
    assert names_of(again, "validation") == validation
    assert names_of(other, "validation") != validation or count == 1


def test_runs_of_before_find_the_images_they_had(make, tmp_path, pixels):
    """Flat folders of .jpg and .png; the hash of a name decides what is held out."""
    for number in range(40):
        save(tmp_path / "cats" / f"{number}.png", pixels)
    save(tmp_path / "cats" / "1.bmp", pixels)
    save(tmp_path / "cats" / "deep" / "1.png", pixels)
    save(tmp_path / "bitmaps" / "1.bmp", pixels)
    data = make(ImageFolder, data_dir=tmp_path)
    assert data.class_names == ["bitmaps", "cats"]
    data.find_as_before()
    assert data.class_names == ["cats"] and data.remarks == []
    assert data.num_examples("train") + data.num_examples("validation") == 40
    # Recorded by the code of that time.
    assert names_of(data, "validation") == ["0.png", "33.png", "6.png", "8.png"]


def test_a_data_service_reads_what_takes_no_python(make, tmp_path, pixels):
    for split in ("train", "val"):
        for number in range(4):
            save(tmp_path / split / "cats" / f"{number}.png", pixels)
    dispatcher, _worker = start("localhost", 0)
    address = f"grpc://localhost:{dispatcher.target.rpartition(':')[2]}"

    def pipeline(cache):
        data = make(ImageFolder, data_dir=tmp_path)
        shape = make(PadCropFlip, input_shape=(8, 6, 3))
        return InputPipeline(data, shape, batch_size=2, seed=0, cache=cache, data_service=address)

    batch = next(iter(pipeline("none").train(0)))
    assert batch["image"].shape == (2, 8, 6, 3)
    save(tmp_path / "train" / "cats" / "5.bmp", pixels)
    with pytest.raises(DatasetError, match=r"only JPEG and PNG files, not .*5\.bmp"):
        pipeline("none")
    assert next(iter(pipeline("memory").train(0)))["image"].shape == (2, 8, 6, 3)
    assert tf.executing_eagerly()
