"""What the page that classifies images is filled with: the network, its classes, sample images."""

from __future__ import annotations

import base64
import json
from typing import Any

from tools.c_targets.browser import MODEL, MODULE, WEIGHTS
from training.data import CIFAR10_SAMPLE
from zoo.pretrained.records import class_names, find_record

PLACE = "CLASSIFY_DATA"
SAMPLES_PER_CLASS = 2


def data() -> dict[str, Any]:
    """What the script reads: `classes`, `samples` (class and PNG) and the `module`, in base64."""
    record = find_record(MODEL, WEIGHTS)
    assert record is not None
    classes = [name for _, name in class_names(record.classes)]
    samples = [
        {"class": name, "png": _base64(path.read_bytes())}
        for name in classes
        for path in sorted((CIFAR10_SAMPLE / name).glob("*.png"))[:SAMPLES_PER_CLASS]
    ]
    return {"classes": classes, "samples": samples, "module": _base64(MODULE.read_bytes())}


def filled(page: str) -> str:
    """The page's text with the data in it."""
    return page.replace(PLACE, json.dumps(data(), separators=(",", ":")).replace("</", "<\\/"))


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
