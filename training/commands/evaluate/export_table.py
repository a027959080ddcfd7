"""`results/exports.csv`: comparisons of exports with their Keras networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

EXPORTS = Path("results") / "exports.csv"


@dataclass(frozen=True)
class ExportRow:
    """One export compared with Keras on a data set: a line of `exports.csv`.

    Attributes:
        model: the network's name in the catalog, if it has one.
        weights: the name of the file, or of the set and the file.
        weights_sha256: hash of that file.
        format: format of the export: c, openvino, lce, tflite, onnx or saved_model.
        dataset, split, images: the images that both classified.
        keras_top1, top1: accuracy of Keras and of the export in percent.
        changed: number of images that the export classifies differently from Keras.
        margin: the largest margin of the changed images; None if there are none. The margin is
            Keras's logit for the class it predicts, minus its logit for the export's class.
        changed_images: those images as JSON: a list of [position, Keras's class, export's class,
            margin].
        difference: the largest difference of a single output.
        figures: what the export returns: logits or probabilities.
        keras_images_per_second, images_per_second: measured in this pass, on a machine that may do
            other work; use `lqz benchmark` to measure speed.
        bytes: total size of the export's files.
        runtime: the runtime that ran the export.
        commit: commit of the evaluating code.
        command: the command that the user typed.
        date: date of the evaluation, UTC.
        tensorflow, larq: versions.
    """

    model: str
    weights: str
    weights_sha256: str
    format: str
    dataset: str
    split: str
    images: int
    keras_top1: float
    top1: float
    changed: int
    margin: float | None
    changed_images: str
    difference: float
    figures: str
    keras_images_per_second: float
    images_per_second: float
    bytes: int
    runtime: str
    commit: str
    command: str
    date: str
    tensorflow: str
    larq: str

    @property
    def key(self) -> tuple[str, ...]:
        """Return what was measured: a new row replaces an older row with the same key.

        A new version of a published set ("SET: FILE") replaces the former version.
        """
        published, _, file = self.weights.partition(": ")
        weights = published if file else self.weights_sha256
        return self.model, weights, self.format, self.dataset, self.split
