"""A fully binary ReActNet on the embedded images, in minutes: what `make demo` trains.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

from training.data import FashionMNIST, PadCropFlip
from training.recipes._recipe import Recipe
from zoo.adapters.zookeeper import ComponentField, Field, task
from zoo.models.reactnet import ReActNetAFactory
from zoo.models.resnet import RealResNet20Factory


@task
class Demo(Recipe):
    """ReActNet-A, a quarter as wide, on the embedded Fashion-MNIST, in minutes on two cores.

    All of the paper's method: a teacher, which is trained on the spot, then binary activations,
    then everything binary; above 88 %.
    """

    dataset = ComponentField(FashionMNIST)
    # Too few images and epochs for augmentation: a binary network under-fits.
    preprocessing = ComponentField(PadCropFlip, input_shape=(28, 28, 1), padding=0, flip=False)
    model = ComponentField(ReActNetAFactory, width=0.25, stem_strides=1)
    teacher = ComponentField(RealResNet20Factory, width=0.5)
    teacher_epochs = Field(8)
    two_stages = Field(True)
    first_stage_epochs = Field(1)
    epochs = Field(11)
    batch_size = Field(64)
    learning_rate = Field(1e-2)
    schedule = Field("cosine")
    schedule_every = Field("step")
    weight_decay = Field(1e-5)
    decayed = Field("convolutions")
    # The same result on every machine; with so few channels it is not faster.
    bfloat16 = Field(False)

    def introduction(self) -> str:
        """Return the run's first line."""
        images = self.dataset.num_examples(self.dataset.train_split)
        return (
            f"Training on the embedded Fashion-MNIST, {images:,} images. The full recipe: "
            "lqz train ReActNet dataset.data_dir=DIR"
        )
