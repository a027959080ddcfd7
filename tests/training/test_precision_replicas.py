"""The precision of a stage applies to all its replicas, and to nothing after the stage."""

import subprocess
import sys
from pathlib import Path

import pytest

# Logical devices must be made before TensorFlow does anything else: use a separate process.
SCRIPT = """
import numpy as np
import zoo
import tensorflow as tf
from training.loop.optimizers import adam
from training.loop.stage import Stage
from training.loop.step import TrainStep
from zoo import convolution

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["/CPU:0", "/CPU:1"])
with strategy.scope():
    # Batch norm, where replicas wait for each other, comes before and between the convolutions.
    model = zoo.XNORNetPlusPlusResNet20(
        weights=None, input_shape=(8, 8, 3), classifier_activation=None
    )
    step = TrainStep(Stage("s", lambda: model, 1, 4, 0.1, adam, bfloat16=True), model, None)
images = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
batch = {"image": images, "label": np.arange(4), "position": np.arange(4)}
data = tf.data.Dataset.from_tensors(batch).repeat()
batches = strategy.experimental_distribute_datasets_from_function(lambda context: data)
step.run(iter(batches), np.full(1, 0.1), 0)
(traced,) = step._run._list_all_concrete_functions()
nodes = [n for f in traced.graph.as_graph_def().library.function for n in f.node_def]
bfloat16 = tf.bfloat16.as_datatype_enum
rounded = [n for n in nodes if n.op == "Conv2D" and n.attr["T"].type == bfloat16]
print(len(rounded), convolution._bfloat16)
"""


@pytest.mark.slow
def test_all_binary_convolutions_of_both_replicas_are_rounded():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.split() == [str(2 * 18), "False"], done.stderr[-2000:]
