"""Time a training step of this project and of plain Keras and Larq, in turns in one process.

Plain means the same network made of larq's QuantConv2D and quantizers and of Keras's layers,
trained by `model.fit`. Weights, batch and optimizer constants are the same; gradients are compared.

Run from the repository root: python -m benchmarks.training_step [--rounds 7] [NETWORK ...]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

import zoo
from tools.tables import TRAINING_STEP, write_table
from training.loop.optimizers import adam, sgd
from training.loop.stage import Stage
from training.loop.step import TrainStep, latent_variables
from zoo.adapters import larq
from zoo.convolution import bfloat16_convolutions, cpu_multiplies_bfloat16

STEPS = 5  # steps that are timed together
# Number of images for comparing gradients. With many images, some activation is so near to zero
# that float32 rounding flips its sign, and then the two networks are not the same.
COMPARED = 4
# Batch and optimizer of each network.
NETWORKS: dict[str, tuple[int, Any]] = {"ReActNetA": (16, adam), "SDBNNResNet20": (128, sgd())}


class PlainConv(larq.QuantConv2D):
    """larq's convolution; padded like larq's but symmetrically, to be the same network."""

    def __init__(self, *args: Any, padding: str = "same", use_bias: bool = False, **kwargs: Any):
        super().__init__(*args, padding=padding, use_bias=use_bias, **kwargs)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        if self.input_quantizer:
            inputs = self.input_quantizer(inputs)
        size = self.kernel_size[0] // 2
        with larq.quantized_scope(True):
            padding = [[0, 0], [size, size], [size, size], [0, 0]]
            return tf.nn.conv2d(tf.pad(inputs, padding), self.kernel, self.strides, "VALID")


class PlainNorm(tf.keras.layers.BatchNormalization):
    """Keras's batch norm with PyTorch's constants."""

    def __init__(self, **kwargs: Any):
        super().__init__(momentum=0.9, epsilon=1e-5, **kwargs)


class PlainRPReLU(tf.keras.layers.Layer):
    """Two shifts around Keras's PReLU."""

    def build(self, shape: tf.TensorShape) -> None:
        self.shift_in = self.add_weight("shift_in", (shape[-1],), initializer="zeros")
        self.prelu = tf.keras.layers.PReLU(tf.keras.initializers.Constant(0.25), shared_axes=(1, 2))
        self.shift_out = self.add_weight("shift_out", (shape[-1],), initializer="zeros")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.prelu(inputs + self.shift_in) + self.shift_out


class PlainShift(tf.keras.layers.Layer):
    """x + b."""

    def build(self, shape: tf.TensorShape) -> None:
        self.shift = self.add_weight("shift", (shape[-1],), initializer="zeros")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs + self.shift


class PlainClip(tf.keras.layers.Layer):
    """hardtanh."""

    def __init__(self, slope: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(inputs, -1.0, 1.0)


@tf.custom_gradient
def _scaled_sign(kernel: tf.Tensor) -> Any:
    scale = tf.reduce_mean(tf.abs(kernel), axis=[0, 1, 2])
    return scale * larq.sign(kernel), lambda dy: tf.where(tf.abs(kernel) <= 1, dy, 0.0)


class PlainScaledSign(larq.Quantizer):
    """mean(|w|) sign(w), written in the usual way."""

    precision = 1

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return _scaled_sign(inputs)


@tf.custom_gradient
def _ede(x: tf.Tensor) -> Any:
    return larq.sign(x), lambda dy: dy * (1 - tf.square(tf.tanh(x)))


class PlainEDE(larq.Quantizer):
    """The error decay estimator at t = 1, written in the usual way."""

    precision = 1

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return _ede(inputs)


class PlainSelfDistribution(larq.Quantizer):
    """sign(w + sigmoid(alpha) 0.01 mean(w)), written in the usual way."""

    precision = 1

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()

    def build(self, shape: tf.TensorShape) -> None:
        self.alpha = self.add_weight("alpha", (shape[-1],), initializer="zeros")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        mean = tf.stop_gradient(tf.reduce_mean(inputs, axis=[0, 1, 2]))
        return _ede(inputs + tf.sigmoid(self.alpha) * 0.01 * mean)


PLAIN = {
    "zoo.models._factory": {
        "SymmetricConv2D": PlainConv,
        "BatchNorm": PlainNorm,
        "ScaledSign": PlainScaledSign,
        "ApproximateSign": larq.ApproxSign,
    },
    "zoo.models.reactnet": {"RPReLU": PlainRPReLU, "LearnableShift": PlainShift},
    "zoo.models.sdbnn": {
        "LeakyClip": PlainClip,
        "EDESign": PlainEDE,
        "SelfDistributionSign": PlainSelfDistribution,
    },
}


def build(name: str, plain: bool) -> tf.keras.Model:
    """Return the network, with logits as output, from this project's layers or plain ones."""
    for module in PLAIN:
        __import__(module)
    with ExitStack() as patches:
        for module, names in PLAIN.items() if plain else ():
            patches.enter_context(patch.multiple(module, **names))
        return zoo.get_model(name, weights=None, classifier_activation=None)


def by_role(model: tf.keras.Model) -> dict[str, tf.Variable]:
    """Return the trainable (latent) variables by layer and kind; both networks have the same."""
    kinds = {"kernel", "bias", "gamma", "beta", "shift", "shift_in", "shift_out"}
    found = {}
    for layer in model.layers:
        for variable in latent_variables(layer.trainable_variables):
            leaf = variable.name.split(":")[0].rsplit("/", 1)[-1]
            found[f"{layer.name}/{leaf if leaf in kinds else 'slope or alpha'}"] = variable
    return found


def gradients(
    model: tf.keras.Model, images: tf.Tensor, labels: tf.Tensor, bfloat16: bool = False
) -> dict[str, tf.Tensor]:
    """Return the gradients of the mean cross entropy, by role."""
    variables = by_role(model)

    @tf.function
    def compute() -> list[tf.Tensor]:
        with bfloat16_convolutions(bfloat16), tf.GradientTape() as tape:
            logits = model(images, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        return [tf.convert_to_tensor(g) for g in tape.gradient(loss, list(variables.values()))]

    return dict(zip(variables, compute(), strict=True))


def difference(found: dict[str, tf.Tensor], expected: dict[str, tf.Tensor]) -> str:
    """Return the relative L2 norm of the difference of all gradients together."""
    pairs = [(tf.reshape(found[role], g.shape), g) for role, g in expected.items()]
    off, whole = (
        tf.linalg.global_norm(each) for each in ([a - b for a, b in pairs], [b for _, b in pairs])
    )
    return f"{float(off / whole):.1e}"


def measure(name: str, rounds: int) -> dict[str, Any]:
    """Return one row of the results."""
    batch, optimizer = NETWORKS[name]
    tf.keras.utils.set_random_seed(0)
    ours, plain = build(name, plain=False), build(name, plain=True)
    theirs = by_role(plain)
    for role, variable in by_role(ours).items():
        theirs[role].assign(tf.reshape(variable, theirs[role].shape))
    rng = np.random.default_rng(0)
    images = tf.constant(rng.normal(size=(batch, *ours.input_shape[1:])), tf.float32)
    labels = tf.constant(rng.integers(0, ours.output_shape[-1], batch), tf.int32)

    bfloat16 = cpu_multiplies_bfloat16()
    expected = gradients(plain, images[:COMPARED], labels[:COMPARED])
    differences = {
        f"gradient_difference_{dtype}": difference(
            gradients(ours, images[:COMPARED], labels[:COMPARED], dtype == "bfloat16"), expected
        )
        for dtype in ("float32", "bfloat16")
    }

    data = tf.data.Dataset.from_tensors((images, labels)).repeat()
    plain.compile(
        "adam" if optimizer is adam else tf.keras.optimizers.SGD(0.1, momentum=0.9),
        tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        ["accuracy"],
    )
    positions = np.arange(batch)
    batches = iter(data.map(lambda x, y: {"image": x, "label": y, "position": positions}))
    stage = Stage(name, lambda: ours, 1, batch, 1e-3, optimizer, bfloat16=bfloat16)
    step = TrainStep(stage, ours, None)
    rates = np.full(STEPS, 1e-3)

    def fit() -> None:
        plain.fit(data, steps_per_epoch=STEPS, verbose=0)

    def run() -> None:
        step.run(batches, rates, 0)

    times: dict[str, list[float]] = {"plain": [], "zoo": []}
    for turn in range(rounds + 1):
        pair = [("plain", fit), ("zoo", run)]
        for kind, work in pair if turn % 2 else reversed(pair):
            start = time.perf_counter()
            work()
            if turn:  # the first turn compiles
                times[kind].append((time.perf_counter() - start) / STEPS)
    ratios = [a / b for a, b in zip(times["plain"], times["zoo"], strict=True)]
    return {
        "network": name,
        "batch": batch,
        "plain_ms": f"{1e3 * statistics.median(times['plain']):.1f}",
        "zoo_ms": f"{1e3 * statistics.median(times['zoo']):.1f}",
        "ratio": f"{statistics.median(ratios):.2f}",
        "lowest_ratio": f"{min(ratios):.2f}",
        "highest_ratio": f"{max(ratios):.2f}",
        "gradients": "bfloat16" if bfloat16 else "float32",
        **differences,
        "cpus": os.cpu_count(),
        "tensorflow": tf.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), metavar="NETWORK")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    rows = []
    for name in options.networks:
        rows.append(measure(name, options.rounds))
        print(", ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    if set(options.networks) == set(NETWORKS):
        write_table(TRAINING_STEP, list(rows[0]), rows)


if __name__ == "__main__":
    main()
