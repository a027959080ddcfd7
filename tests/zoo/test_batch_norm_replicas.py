"""Batch norm on two replicas of one machine gives the same result as on the whole batch."""

import subprocess
import sys
from pathlib import Path

import pytest

# Logical devices must be made before TensorFlow does anything else: use a separate process.
SCRIPT = """
import numpy as np
import zoo
import tensorflow as tf
from zoo.layers import BatchNorm

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["/CPU:0", "/CPU:1"])
assert strategy.num_replicas_in_sync == 2


def trained(strategy, dtype, x, weight, in_graph):
    "Output, gradients by x, gamma and beta, and running statistics of one step on a batch."
    with strategy.scope():
        layer = BatchNorm(dtype=dtype)
        layer.build((None, 5, 6, 3))
        layer.gamma.assign([2, -1, 0.5])
        layer.beta.assign([0.3, 0, -2])

    def step(x, weight):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(weight * tf.sin(y))
        return y, *tape.gradient(loss, [x, layer.gamma, layer.beta])

    def run():
        replicas = strategy.num_replicas_in_sync
        share = len(x) // replicas

        def mine(array):
            slices = [array[i * share : (i + 1) * share] for i in range(replicas)]
            return strategy.experimental_distribute_values_from_function(
                lambda context: tf.constant(slices[context.replica_id_in_sync_group])
            )

        args = mine(x), mine(weight)
        each = (tf.function(strategy.run) if in_graph else strategy.run)(step, args=args)
        y, dx, dgamma, dbeta = (strategy.experimental_local_results(value) for value in each)
        whole = [np.concatenate(y), np.concatenate(dx), sum(dgamma), sum(dbeta)]
        for average in (layer.moving_mean, layer.moving_variance):
            copies = strategy.experimental_local_results(average)
            assert all((copies[0].numpy() == copy.numpy()).all() for copy in copies)
            whole.append(copies[0])
        return [np.asarray(value) for value in whole]

    return run()


rng = np.random.default_rng(0)
for dtype, atol in (("float64", 1e-13), ("float32", 3e-6)):
    # The halves have different means and deviations: a share's own statistics would show.
    x = rng.normal(size=(8, 5, 6, 3)) * np.repeat([1, 3], 4).reshape(8, 1, 1, 1) + 0.5
    x[:4] += 2
    x, weight = x.astype(dtype), rng.normal(size=x.shape).astype(dtype)
    expected = trained(tf.distribute.OneDeviceStrategy("/CPU:0"), dtype, x, weight, True)
    for in_graph in (True, False):
        got = trained(strategy, dtype, x, weight, in_graph)
        for one, other in zip(expected, got, strict=True):
            assert one.dtype == other.dtype == dtype
            np.testing.assert_allclose(other, one, rtol=0, atol=atol * max(1, abs(one).max()))
print("equal")
"""


@pytest.mark.slow
def test_two_replicas_give_what_the_whole_batch_gives():
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=root, capture_output=True, text=True, timeout=200
    )
    assert done.stdout.strip() == "equal", done.stderr[-3000:]
