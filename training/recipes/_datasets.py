"""Settings that data sets of small images need, shared by the recipes.

A recipe's `presets` name a data set and what it changes; a setting on the command line beats them.
"""

from typing import Any

from training.data.conventions import SMALL_IMAGES

# The embedded images, for networks that train on them in minutes.
EMBEDDED: dict[str, Any] = {
    **SMALL_IMAGES["FashionMNIST"],
    # Too few images and epochs for augmentation: a binary network under-fits.
    "preprocessing.padding": 0,
    "preprocessing.flip": False,
    "epochs": 11,
    "batch_size": 64,
    "schedule_every": "step",
    # The same result on every machine; with so few channels it is not faster.
    "bfloat16": False,
}
# Of an epoch that also looks at the validation images, that look takes a quarter.
CIFAR: dict[str, Any] = {**SMALL_IMAGES["Cifar10"], "validate_every": 5}

# A teacher that is trained on the spot.
EMBEDDED_TEACHER: dict[str, Any] = {
    "teacher": "RealResNet20",
    "teacher.width": 0.5,
    "teacher_epochs": 8,
    "first_stage_epochs": 1,
}

# The teacher of the package; a teacher that is chosen on the command line is trained.
CIFAR_TEACHER: dict[str, Any] = {
    "teacher": "RealResNet20",
    "teacher.weights": "cifar10",
    "teacher_epochs": 60,
}
