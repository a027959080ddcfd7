"""The feature maps of a network at each stride, for detection and segmentation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoo.errors import InvalidValueError
from zoo.keras2 import require_keras2

if TYPE_CHECKING:
    import tensorflow as tf

TRIED_SIZE = 224  # image size in pixels for networks that take images of any size


@dataclass(frozen=True)
class FeatureMap:
    """The last feature map of a network at one stride.

    Attributes:
        stride: image size divided by the size of the map, in each direction.
        channels: number of channels.
        layer: name of the layer that computes it.
        output: the Keras tensor, (batch, height, width, channels), to build a new model with.
    """

    stride: int
    channels: int
    layer: str
    output: Any


@dataclass(frozen=True)
class _Call:
    """A call of a layer. Tensors are given by number.

    Attributes:
        inputs: the input tensors.
        passed: the tensors on every path from the image to its output.
        needed: the tensors that its output depends on.
    """

    layer: Any
    inputs: list[int]
    output: Any
    passed: frozenset[int]
    needed: frozenset[int]


def features(model: tf.keras.Model) -> list[FeatureMap]:
    """Return the feature maps of a network, one for each stride, the finest first.

    A map is the last tensor at its stride on which all later layers depend: the end of a stage, not
    a branch of a block. If several tensors leave a stage, as in Bi-Real Net 50, the map is the last
    sum of the widest one. This works for all models of the catalog and for other models of one
    image, with or without classifier.

        maps = zoo.features(model)
        backbone = tf.keras.Model(model.input, [each.output for each in maps if each.stride >= 8])

    Args:
        model: a functional model of one image, (batch, height, width, channels).

    Raises:
        InvalidValueError: `model` is not functional, or no convolution lies on every path.
    """
    require_keras2()
    if not hasattr(model, "_nodes_by_depth") or [x.shape.rank for x in model.inputs] != [4]:
        raise InvalidValueError(
            "Only a functional model of one image, (batch, height, width, channels), has feature "
            "maps at each stride."
        )
    calls = _calls(model)
    sizes = _sizes(model, calls)
    trunk = [number for number in sorted(calls[max(calls)].passed) if number]
    backbone = list(_backbone(trunk, calls, sizes))
    convolved = next((n for n in backbone if _convolves(calls[n].layer)), None)
    if convolved is None:
        raise InvalidValueError(
            f"'{model.name}' has no feature maps at each stride: none of its convolutions "
            "lies on every path from input to output."
        )
    strides = _strides(calls, sizes)
    ends = {strides[number]: number for number in backbone if number >= convolved}
    last = backbone[-1]
    for stride in {strides[number] for number in _sums(last, calls, sizes)}:
        later = [
            number
            for number in _sums(last, calls, sizes)
            if strides[number] == stride and number > ends.get(stride, convolved)
        ]
        if later:
            ends[stride] = max(later, key=lambda number: (calls[number].output.shape[-1], number))
    return [
        FeatureMap(stride, int(each.output.shape[-1]), each.layer.name, each.output)
        for stride, each in ((stride, calls[number]) for stride, number in sorted(ends.items()))
    ]


def _calls(model: tf.keras.Model) -> dict[int, _Call]:
    """Return the calls up to the (first) output in order of computation; number 0 is the image."""
    numbers = {id(model.inputs[0]): 0}
    calls: dict[int, _Call] = {}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            inputs = [numbers[id(each)] for each in node.keras_inputs if id(each) in numbers]
            if node.is_input or not inputs:
                continue
            outputs = node.outputs if isinstance(node.outputs, list | tuple) else [node.outputs]
            for output in outputs:
                number = numbers[id(output)] = len(numbers)
                before = [calls[each] for each in inputs if each]
                passed = frozenset.intersection(
                    *(calls[each].passed if each else frozenset([0]) for each in inputs)
                )
                needed = frozenset(inputs).union(*(each.needed for each in before))
                calls[number] = _Call(node.layer, inputs, output, passed | {number}, needed)
    last = numbers[id(model.outputs[0])]
    return {n: call for n, call in calls.items() if n == last or n in calls[last].needed}


def _convolves(layer: Any) -> bool:
    kernel = getattr(layer, "kernel", getattr(layer, "depthwise_kernel", None))
    return kernel is not None and kernel.shape.rank == 4


Sizes = dict[int, tuple[int, int] | None]


def _backbone(trunk: list[int], calls: dict[int, _Call], sizes: Sizes) -> Iterator[int]:
    """Yield the trunk up to the classifier, where maps are pooled, flattened or permuted."""
    for number in trunk:
        call = calls[number]
        kind = type(call.layer).__name__
        if sizes[number] is None or kind.startswith("Global") or kind in ("Permute", "Reshape"):
            return
        window = getattr(call.layer, "pool_size", getattr(call.layer, "kernel_size", None))
        covered = sizes[call.inputs[0]]
        if window and tuple(window) == covered != (1, 1) == sizes[number]:
            return
        yield number


def _strides(calls: dict[int, _Call], sizes: Sizes) -> dict[int, int]:
    """Return the stride of each map: by what factor it is smaller than the image.

    The quotients of sizes are rounded: they are not exact if a map loses its border or has an odd
    size.
    """
    strides = {0: 1}
    for number, call in calls.items():
        before, after = sizes[call.inputs[0]], sizes[number]
        strides[number] = strides[call.inputs[0]]
        if before and after:
            strides[number] *= max(1, *(round(a / b) for a, b in zip(before, after, strict=True)))
    return strides


def _sums(last: int, calls: dict[int, _Call], sizes: Sizes) -> list[int]:
    """Return the calls before the last that join maps of one size."""
    return [
        number
        for number, call in calls.items()
        if number in calls[last].needed
        and sizes[number]
        and len(call.inputs) > 1
        and all(sizes[each] == sizes[number] for each in call.inputs)
    ]


def _sizes(model: tf.keras.Model, calls: dict[int, _Call]) -> Sizes:
    """Return height and width of each map; if they are variable, for an example image size."""
    shapes = {0: model.inputs[0].shape, **{n: call.output.shape for n, call in calls.items()}}
    if any(shape.rank == 4 and None in shape[1:3] for shape in shapes.values()):
        import tensorflow as tf

        image = model.inputs[0]
        size = [each or TRIED_SIZE for each in image.shape[1:]]
        probe = tf.keras.Model(image, [call.output for call in calls.values()])
        zeros = tf.zeros([1, *size], image.dtype)  # computing is faster than tracing
        outputs = tf.nest.flatten(probe(zeros, training=False))
        shapes = {0: zeros.shape, **{n: x.shape for n, x in zip(calls, outputs, strict=True)}}
    return {n: tuple(s[1:3]) if s.rank == 4 else None for n, s in shapes.items()}
