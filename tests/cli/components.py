"""Small components with every kind of field."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from zookeeper import ComponentField, Field, PartialComponent, component, factory, task


class Data:
    """What a data set is."""

    # Where the
    # images are.
    data_dir: Path | None = Field(None)


@component
class Small(Data):
    size: int = Field(10)


@component
class Large(Data):
    size: int = Field()
    options: list[int] = Field(lambda: [1, 2])


class Network:
    """What a factory builds."""

    built = 0


@factory
class WideFactory:
    dataset: Data | None = ComponentField(allow_missing=True)
    width: float = Field(1)
    batch_size: int = Field(7)
    epochs: int = Field()

    def build(self) -> Network:
        Network.built += 1
        return Network()


@factory
class DeepFactory:
    depth: int = Field(18)

    def build(self) -> Network:
        return Network()


class Base:
    """A base class."""

    # How often.
    epochs: int = Field(3)
    dataset: Data = ComponentField(Small)


@task
class Train(Base):
    """Trains.

    At length.
    """

    model: Network = ComponentField(PartialComponent(WideFactory, width=0.5))
    teacher: Network | None = ComponentField(allow_missing=True)
    # ---- optimisation ----
    # The rate.
    rate: float = Field(0.1)
    shape: tuple[int, int] = Field((8, 8))
    steps: Sequence[int] = Field((1, 2))
    fast: bool = Field(False)
    mode: Literal["a", "b"] = Field("a")
    label: str = Field("x")
    batch_size: int = Field(32)
    output_dir: str | os.PathLike = Field(lambda: Path("runs"))
    schedule: type(len) | None = Field(lambda: len)
    names: list[str] = Field(lambda: ["p", "q"])
    limit: int | None = Field(None)

    @Field
    def total(self) -> int:
        """Steps in all."""
        return self.epochs * 100

    @Field
    def broken(self) -> int:
        raise ValueError("not to be computed")

    def run(self):
        return self.total
