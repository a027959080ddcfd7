"""The figures of the site, each for light and for dark, from the zoo's own layers and results."""

from __future__ import annotations

import os
import re
from pathlib import Path

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import speed
import tensorflow as tf
from matplotlib.axes import Axes

from tools.keep_run import CURVES
from tools.tables import read_table
from zoo.layers import LearnableShift, RPReLU
from zoo.quantizers import ApproximateSign, EDESign, StraightThroughSign

BLUE, ORANGE, GREY = "C0", "C1", "C5"
X = np.linspace(-2, 2, 801, dtype=np.float32)


def value_and_gradient(quantizer: tf.keras.layers.Layer) -> tuple[np.ndarray, np.ndarray]:
    """What a quantizer gives for `X`, and the gradient it passes on for ones."""
    x = tf.constant(X[:, None])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = quantizer(x)
    return y.numpy()[:, 0], tape.gradient(y, x).numpy()[:, 0]


def axis(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.axhline(0, color=GREY, linewidth=0.8, alpha=0.6, zorder=0)
    axes.axvline(0, color=GREY, linewidth=0.8, alpha=0.6, zorder=0)


def estimator(axes: Axes, quantizer: tf.keras.layers.Layer, title: str, label: str = "") -> None:
    """A sign and the gradient of its estimator."""
    value, gradient = value_and_gradient(quantizer)
    axis(axes, title)
    axes.plot(X, value, color=GREY, linewidth=1, label="sign")
    axes.plot(X, gradient, linewidth=2, label=label or "gradient")


def reactnet() -> plt.Figure:
    """RSign and RPReLU."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
    axis(left, "RSign: the sign, at a learned place")
    image = tf.constant(X[None, :, None, None])
    for shift, color in ((0.0, GREY), (-0.7, BLUE), (0.9, ORANGE)):
        layer = LearnableShift()
        layer.build(image.shape)
        layer.shift.assign([shift])
        y = StraightThroughSign()(layer(image)).numpy().ravel()
        left.plot(X, y, color=color, label=f"shift {shift:+.1f}")
    left.legend(loc="lower right")
    axis(right, "RPReLU: slope, and where it bends, learned")
    for before, slope, after, color in (
        (0, 0.25, 0, GREY),
        (0.6, 0.5, -0.3, BLUE),
        (-0.7, -0.2, 0.4, ORANGE),
    ):
        layer = RPReLU()
        layer(image)
        for variable, number in zip(layer.trainable_variables, (before, slope, after), strict=True):
            variable.assign(np.full(variable.shape, number, np.float32))
        y = layer(image).numpy().ravel()
        right.plot(X, y, color=color, label=f"{before:+.1f}, slope {slope}, {after:+.1f}")
    right.legend()
    return figure


def bireal_net() -> plt.Figure:
    """The estimator, and what the shortcut keeps."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.4))
    estimator(left, StraightThroughSign(), "straight-through")
    estimator(middle, ApproximateSign(), "Bi-Real Net's, closer to the sign's")
    left.legend(loc="lower right")
    axis(right, "after a binary 3x3, 2 channels")
    signs = np.random.default_rng(0).choice([-1, 1], (20_000, 18)).sum(1)
    real = np.random.default_rng(1).normal(0, 3, 20_000)
    right.hist(signs, np.arange(-19, 20, 1), color=GREY, label="signs alone", density=True)
    right.hist(signs + real, 80, color=BLUE, alpha=0.6, label="+ shortcut", density=True)
    right.legend()
    return figure


def xnornet_plus_plus() -> plt.Figure:
    """The four shapes of the learned factor."""
    figure, all_axes = plt.subplots(1, 4, figsize=(11, 3))
    rng = np.random.default_rng(0)
    a, b, c = rng.uniform(0.4, 1, 4), rng.uniform(0.3, 1, 7), rng.uniform(0.3, 1, 7)
    grid = rng.uniform(0.2, 1, (4, 7, 7))
    factors = (
        ("case 1: per channel", np.broadcast_to(a[:, None, None], (4, 7, 7))),
        ("case 2: every value", grid),
        ("case 3: channel x pixel", a[:, None, None] * grid[0]),
        ("case 4: channel x row x column", a[:, None, None] * np.outer(b, c)),
    )
    for axes, (title, factor) in zip(all_axes, factors, strict=True):
        axes.set_title(title)
        rows = [
            np.hstack([np.pad(each, 1, constant_values=np.nan) for each in factor[i : i + 2]])
            for i in (0, 2)
        ]
        axes.imshow(np.vstack(rows), vmin=0, vmax=1, cmap="Blues")
        axes.axis("off")
    return figure


def sdbnn() -> plt.Figure:
    """Self-distribution of activations, and the estimator that sharpens."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
    axis(left, "ASD: a gate moves each channel before the sign")
    activations = np.random.default_rng(0).normal(-0.5, 0.6, 50_000)
    for moved, color in ((0.0, GREY), (0.5, BLUE), (0.9, ORANGE)):
        share = 100 * np.mean(activations + moved >= 0)
        label = f"moved by {moved:g}: {share:.0f} % are +1"
        left.hist(activations + moved, 120, histtype="step", color=color, density=True, label=label)
    left.set_ylim(0, 1.1)
    left.legend()
    axis(right, "EDE: the gradient while training goes on")
    for sharpness, color in ((0.1, "#9ecae1"), (1.0, BLUE), (10.0, "#08306b")):
        _, gradient = value_and_gradient(EDESign(sharpness))
        right.plot(X, gradient, color=color, label=f"t = {sharpness:g}")
    right.set_yscale("symlog")
    right.legend()
    return figure


def learning_curves() -> plt.Figure:
    """Top-1 on the test images by epoch, of every kept run on CIFAR-10; dashed in training."""
    figure, axes = plt.subplots(figsize=(9, 6))
    colors = plt.get_cmap("tab20").colors  # more runs than the style's six; dark ones first
    axes.set_prop_cycle(color=[*colors[::2], *colors[1::2]])
    runs: dict[str, list[dict[str, str]]] = {}
    for line in read_table(CURVES):
        runs.setdefault(f"{line['model']}, {line['run']}", []).append(line)
    for name, lines in sorted(runs.items()):
        seen, validated = (
            [(epoch, float(line[key])) for epoch, line in enumerate(lines, start=1) if line[key]]
            for key in ("top1", "validation_top1")
        )
        # A training program has only the figure at its end, which is a dot.
        (drawn,) = axes.plot(*zip(*validated, strict=True), "o-", markevery=[-1], label=name)
        axes.plot(*zip(*seen, strict=True), "--", linewidth=0.8, color=drawn.get_color())
    # Runs of 26 to 500 epochs share the axis.
    axes.set(xlabel="epoch, over all stages", ylabel="top-1, %", xscale="log", xlim=(1, None))
    ticks = [1, 2, 5, 10, 20, 50, 100, 200, 500]
    axes.set_xticks(ticks, labels=map(str, ticks))
    if runs:
        figure.legend(loc="outside lower center", ncols=2)
    return figure


PAPERS = {each.__name__: each for each in (reactnet, bireal_net, xnornet_plus_plus, sdbnn)}
STYLES = {  # by the ending of the file's name
    "": ["training.figures"],
    "-dark": ["training.figures", str(Path(__file__).with_name("dark.mplstyle"))],
}
FIGURES = {
    "accuracy_latency.svg": speed.front,
    "results/latency.svg": speed.latency,
    "results/learning_curves.svg": learning_curves,
    **{f"papers/{name}.svg": draw for name, draw in PAPERS.items()},
}

KEPT = {"accuracy_latency.svg"}  # in the repository, for README


def draw_all(docs: Path) -> None:
    """Write every figure into the folder of the page that shows it, the same bytes each time."""
    for ending, style in STYLES.items():
        with plt.style.context(style):
            plt.rcParams["svg.hashsalt"] = "zoo"
            for name, draw in FIGURES.items():
                path = (docs / name).with_stem(Path(name).stem + ending)
                if name in KEPT and speed.drawn_from(path) == speed.digest():
                    continue  # another version of matplotlib would change the kept file
                figure = draw()
                about = {"Date": None, "Creator": None}
                if name in KEPT:
                    about["Description"] = f"drawn from {speed.digest()}"
                figure.savefig(path, metadata=about)
                plt.close(figure)
    dark_architecture(docs / "architecture.svg")


def dark_architecture(path: Path) -> None:
    """The hand-written figure with the other colours: those are one line of its style."""
    text = path.read_text(encoding="utf-8")
    light = re.search(r"^svg \{.*\}$", text, re.MULTILINE)
    assert light
    dark = (
        "svg { --ink: #d5d8df; --soft: #a5abb6; --edge: #8a8f98; --code: #24405f; "
        "--data: #5c3c1f; --paper: none }"
    )
    path.with_stem(path.stem + "-dark").write_text(text.replace(light[0], dark), encoding="utf-8")
