"""Networks with one block of each kind, for tests of what does not depend on their depth."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock


@contextmanager
def small_networks() -> Iterator[None]:
    """In its context, networks are built, traced and compiled in a third of the time.

    ResNet-20s have one block per group, and the binary ones only two groups; ReActNet-A to -C have
    one block of each kind.
    """
    from zoo.models._resnet import CifarResNet20
    from zoo.models.reactnet import ReActNetAFactory

    with (
        mock.patch.multiple(CifarResNet20, blocks=1, filters=(16, 32)),
        mock.patch.object(ReActNetAFactory, "channels", (32, 64, 128, 128)),
    ):
        yield
