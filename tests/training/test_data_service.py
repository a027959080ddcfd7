"""A data service: the same batches and weights, and one sentence if it does not answer."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from training.data import FashionMNIST, InputPipeline, PadCropFlip
from training.recipes.reactnet import ReActNet
from training.settings.configuration import configure_task
from zoo.errors import DatasetError, InvalidValueError
from zoo.weights.files import read_npz


@pytest.fixture(scope="module")
def data_service():
    """The address of a data service, a real process."""
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-m", "training.data.service", "127.0.0.1:0"],
        cwd=root,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process.stdout.readline().partition("data_service=")[2].strip()
    finally:
        process.kill()
        process.communicate()


def pipeline(cache="memory", **options):
    data = configure_task(FashionMNIST, {"train_split": "train[:300]"})
    prep = configure_task(PadCropFlip, {"input_shape": (28, 28, 1)})
    return InputPipeline(data, prep, batch_size=32, seed=5, cache=cache, **options)


@pytest.mark.parametrize(
    ("cache", "position", "shard"),
    [
        ("memory", 0, (0, 1)),
        pytest.param("none", 64, (1, 2), marks=pytest.mark.slow),
    ],
)
def test_batches_of_a_data_service_are_the_same(data_service, cache, position, shard):
    here = pipeline(cache, shard=shard).train(1, position)
    there = pipeline(cache, shard=shard, data_service=data_service).train(1, position)
    pairs = list(zip(here.as_numpy_iterator(), there.as_numpy_iterator(), strict=True))
    assert len(pairs) == 9 - position // 32
    for one, other in pairs:
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


def test_images_out_of_order_are_noticed(data_service):
    served = pipeline(data_service=data_service)
    served.train(0)
    served.note_positions(0, np.arange(32))
    with pytest.raises(DatasetError, match="must have one worker"):
        served.note_positions(0, np.arange(32))


def test_no_data_service_is_one_sentence_within_seconds(tiny, free_ports, tmp_path):
    settings = {**tiny, "output_dir": str(tmp_path / "run")}
    for address, message in (
        ("localhost:5050", r"must be the address of a dispatcher, grpc://host:port"),
        (f"grpc://127.0.0.1:{free_ports(1)[0]}", "No data service answers at grpc://127"),
    ):
        start = time.monotonic()
        with pytest.raises(InvalidValueError, match=message):
            configure_task(ReActNet, {**settings, "data_service": address}).run()
        assert time.monotonic() - start < 10


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_training_with_a_data_service_gives_the_same_weights(
    small_networks, finished, data_service, tmp_path
):
    """Weights are equal up to float32 rounding: the batches are equal (above), but not their place
    in memory."""
    more = {"output_dir": str(tmp_path / "run"), "data_service": data_service}
    run = configure_task(ReActNet, {**finished.settings, **more}).run()
    assert [r.name for r in run.results] == [r.name for r in finished.run.results]
    teacher = Path("1-teacher") / "realresnet20.npz"
    theirs = read_npz(finished.run.directory / teacher)
    for key, value in read_npz(run.directory / teacher).items():
        np.testing.assert_allclose(value, theirs[key], atol=1e-5)
