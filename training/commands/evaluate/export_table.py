"""`results/exports.csv`: how exports compare with the networks that they were made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

EXPORTS = Path("results") / "exports.csv"


@dataclass(frozen=True)
class ExportRow:
    """One export beside Keras on a data set: a line of `exports.csv`.

    Attributes:
        model: its name in the catalog where it has one.
        weights: the file's name, or the set's and the file's.
        weights_sha256: of that file.
        format: of the export: c, openvino, lce, tflite, onnx or saved_model.
        dataset, split, images: what both were given.
        keras_top1, top1: of Keras and of the export, percent.
        changed: images whose class is another one than Keras's.
        margin: the largest of Keras's logit of its own class minus that of the export's, over the
            changed images; None where there are none.
        changed_images: those images: [position, Keras's class, the export's, margin] each, as JSON.
        difference: the largest of one figure of one image.
        figures: what the export gives: logits or probabilities.
        keras_images_per_second, images_per_second: measured in the same pass, with all that the
            machine did besides; `lqz benchmark` measures speed.
        bytes: of the export's files.
        runtime: what ran it.
        commit: of the code that evaluated.
        command: what was typed.
        date: of the evaluation, UTC.
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
        """Rows of the same key are measurements of the same thing: the later one stays."""
        return self.model, self.weights_sha256, self.format, self.dataset, self.split
