"""Measure XNOR-Net++'s claim (1909.13863): a learned scale approximates a real convolution better.

A real-valued ResNet-20 is trained on the embedded Fashion-MNIST. Then each of its eighteen 3x3
convolutions, with input x and kernel w, is approximated by `conv(sign(x), sign(w)) * G`. G is

- `alpha`: XNOR-Net's mean |w| of each filter, without a factor for the input;
- `alpha_K`: XNOR-Net's analytic scale, alpha times K, the box-filtered mean |x| of each image;
- `case1` to `case4`: the learned factors of `zoo.layers.LearnedScale`, fitted to minimise the L1
  error on training images.

The result is the L1 error on test images, mean |real - approximated| / mean |real|: 0 is perfect,
and G = 0 has an error of 1.

The network is `XNORNetPlusPlusResNet20` without quantizers: its convolutions read the output of a
batch norm, as in XNOR-Net. The convolutions of `RealResNet20` read a ReLU, whose sign is always +1.

Run from the repository root (7 minutes of processor time; 13 on 2 cores shared with other work):

    python -m benchmarks.xnor_reconstruction --seed 0
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from rich.progress import track

import zoo
from tools.tables import write_table
from zoo.layers import LearnedScale, SymmetricConv2D

METHODS = ("alpha", "alpha_K", *LearnedScale.CASES)
BATCH = 128
PIXEL_MEAN, PIXEL_STD = 0.286, 0.353  # of Fashion-MNIST's training images


def fashion_mnist(split: str, images: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return standardised images (n, 28, 28, 1) and labels (n,) of the embedded data set."""
    from training.data import FashionMNIST
    from zoo.adapters.zookeeper import configure

    dataset = FashionMNIST()
    configure(dataset, {}, interactive=False)
    examples = list(dataset.examples(split if images is None else f"{split}[:{images}]"))
    pixels = np.stack([tf.io.decode_png(example["image"]).numpy() for example in examples])
    labels = np.array([int(example["label"]) for example in examples])
    return (pixels.astype(np.float32) / 255 - PIXEL_MEAN) / PIXEL_STD, labels


def real_twin(model: tf.keras.Model) -> tf.keras.Model:
    """Return the same network without quantizers and learned scales."""

    def real(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
        if isinstance(layer, LearnedScale):
            return tf.keras.layers.Activation("linear", name=layer.name)
        config = layer.get_config()
        if isinstance(layer, SymmetricConv2D):
            config.update(input_quantizer=None, kernel_quantizer=None, kernel_constraint=None)
        return type(layer).from_config(config)

    return tf.keras.models.clone_model(model, clone_function=real)


def train(epochs: int) -> tuple[tf.keras.Model, float]:
    """Return a trained real-valued network and its accuracy on the test images."""
    images, labels = fashion_mnist("train")
    binary = zoo.get_model("XNORNetPlusPlusResNet20", weights=None, input_shape=(28, 28, 1))
    model = real_twin(binary)
    steps = epochs * -(-len(images) // BATCH)
    optimizer = tf.keras.optimizers.Adam(tf.keras.optimizers.schedules.CosineDecay(3e-3, steps))
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(images, labels, BATCH, epochs, verbose=1 if sys.stdout.isatty() else 2)
    return model, model.evaluate(*fashion_mnist("test"), BATCH, verbose=0)[1]


def sign(x: tf.Tensor) -> tf.Tensor:
    """Return -1 or +1; +1 at 0."""
    return tf.where(x < 0, -tf.ones_like(x), tf.ones_like(x))


def convolve(x: tf.Tensor, kernel: tf.Tensor, strides: int) -> tf.Tensor:
    """Convolve with zero padding `size // 2` on every side."""
    sides = [[size // 2] * 2 for size in kernel.shape[:2]]
    return tf.nn.conv2d(x, kernel, strides, [[0, 0], *sides, [0, 0]])


def analytic_scale(x: tf.Tensor, kernel: tf.Tensor, strides: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return XNOR-Net's alpha, (out,), and K, (batch, h, w, 1) (1603.05279, section 3.2)."""
    alpha = tf.reduce_mean(tf.abs(kernel), axis=[0, 1, 2])
    height, width = kernel.shape[:2]
    box = tf.fill([height, width, 1, 1], tf.constant(1 / (height * width), x.dtype))
    return alpha, convolve(tf.reduce_mean(tf.abs(x), axis=-1, keepdims=True), box, strides)


def learned_scale(case: str, binary: tf.Tensor, real: tf.Tensor, steps: int) -> LearnedScale:
    """Return the factors of one case that minimise mean |real - binary * G|, found by Adam."""
    scale = LearnedScale(case)
    scale.build(binary.shape)
    # Start with least squares per channel; Adam then changes relative factors that start at 1.
    start = tf.reduce_sum(real * binary, [0, 1, 2]) / tf.reduce_sum(binary**2, [0, 1, 2])
    relative = binary * start
    optimizer = tf.keras.optimizers.Adam(tf.keras.optimizers.schedules.CosineDecay(0.02, steps))
    optimizer.build(scale.trainable_weights)

    @tf.function
    def step(first: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            rebuilt = scale(relative[first : first + BATCH])
            loss = tf.reduce_mean(tf.abs(real[first : first + BATCH] - rebuilt))
        gradients = tape.gradient(loss, scale.trainable_weights)
        optimizer.apply_gradients(zip(gradients, scale.trainable_weights, strict=True))

    for number in range(steps):
        step(tf.constant(number * BATCH % len(real)))
    scale.factors[0].assign(scale.factors[0] * start)
    return scale


def errors(
    conv: SymmetricConv2D, fitted: np.ndarray, tested: np.ndarray, steps: int
) -> dict[str, float]:
    """Return the mean absolute error of each method on `tested`; "real" is the mean |output|."""
    kernel, strides = tf.convert_to_tensor(conv.kernel), conv.strides[0]

    def outputs(x: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
        signs = convolve(sign(x), sign(kernel), strides)
        return signs, convolve(x, kernel, strides)

    def error(scale: tf.Tensor) -> float:
        return float(tf.reduce_mean(tf.abs(real - binary * scale)))

    scales = {case: learned_scale(case, *outputs(fitted), steps) for case in LearnedScale.CASES}
    binary, real = outputs(tested)
    alpha, box = analytic_scale(tested, kernel, strides)
    found = {"real": error(tf.zeros(1)), "alpha": error(alpha), "alpha_K": error(alpha * box)}
    return found | {case: error(scale.folded()) for case, scale in scales.items()}


def measure(model: tf.keras.Model, images: int, steps: int) -> dict[str, dict[str, float]]:
    """Return `errors` of every 3x3 convolution except the first, by layer name."""
    convs = [layer for layer in model.layers if isinstance(layer, SymmetricConv2D)][1:]
    fitted, tested = fashion_mnist("train", images)[0], fashion_mnist("test", images)[0]
    found = {}
    for conv in track(convs, "Layers"):
        before = tf.keras.Model(model.input, conv.input)
        inputs = [before.predict(batch, BATCH, verbose=0) for batch in (fitted, tested)]
        found[conv.name] = errors(conv, *inputs, steps)
    return found


def table(found: dict[str, dict[str, float]]) -> str:
    """Return relative errors in Markdown, with their mean over the layers."""
    relative = {
        layer: [row[method] / row["real"] for method in METHODS] for layer, row in found.items()
    }
    relative["**mean**"] = np.mean(list(relative.values()), axis=0).tolist()
    lines = [f"| layer | {' | '.join(METHODS)} |", "| --- " * (len(METHODS) + 1) + "|"]
    lines += [
        f"| {layer} | {' | '.join(f'{value:.3f}' for value in row)} |"
        for layer, row in relative.items()
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8, help="epochs of training [8]")
    parser.add_argument("--images", type=int, default=1024, help="to fit on, and to test on [1024]")
    parser.add_argument("--steps", type=int, default=400, help="steps of each fit [400]")
    parser.add_argument("--output", type=Path, default=Path("results/xnor_reconstruction.csv"))
    arguments = parser.parse_args()

    tf.keras.utils.set_random_seed(arguments.seed)
    model, top1 = train(arguments.epochs)
    found = measure(model, arguments.images, arguments.steps)
    print(f"\nTop-1 of the real network: {100 * top1:.2f} %\n\n{table(found)}")

    command = shlex.join(["python", "-m", "benchmarks.xnor_reconstruction", *sys.argv[1:]])
    rows = [
        {
            "layer": layer,
            "method": method,
            "l1": f"{row[method]:.6f}",
            "relative_l1": f"{row[method] / row['real']:.4f}",
            "top1": f"{top1:.4f}",
            "seed": arguments.seed,
            "command": command,
        }
        for layer, row in found.items()
        for method in METHODS
    ]
    write_table(arguments.output, list(rows[0]), rows)
    print(f"\nWritten to {arguments.output}")


if __name__ == "__main__":
    main()
