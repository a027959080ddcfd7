"""Write a schedule as C: constants, one struct per layer, and the calls."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from zoo.deploy.c.graph import (
    LANES,
    LARGEST,
    Affine,
    Clip,
    Combine,
    Function,
    Kind,
    PRelu,
    Reorder,
    Scale,
    Softmax,
    Value,
    Window,
    filled,
)
from zoo.deploy.c.memory import Memory
from zoo.deploy.c.operations import Copy, Loop, Step, Store, StorePool, StoreSigns, merged
from zoo.deploy.c.packing import pack_depthwise, pack_real, pack_signs
from zoo.deploy.c.schedule import Schedule

TYPES = {"float32": "float", "uint32": "uint32_t", "uint16": "uint16_t"}


class Source:
    """The text of NAME.c's constants, layers and calls.

    Attributes:
        constants, layers, calls: lines of C.
        binary: the names of the binary convolutions, in order.
        bytes: size of the constants in bytes.
    """

    def __init__(self, schedule: Schedule, memory: Memory):
        self.constants: list[str] = []
        self.layers: list[str] = []
        self.calls: list[str] = []
        self.binary: list[str] = []
        self.bytes = 0
        self._memory = memory
        self._image = schedule.image
        self._names: dict[tuple[str, bytes], str] = {}
        paired = False
        for operation in schedule.operations:
            if isinstance(operation, Loop):
                self._loop(operation)
                index = len(self.layers) - 1
                if paired:
                    self.calls[-2:] = [
                        f"bnn_run_pair(&layer_{index - 1}, &layer_{index}, image, ws);"
                    ]
                paired = operation in memory.pairs
            elif not memory.is_view(operation):
                self._copy(operation)
        output = schedule.output
        place = memory.of(output)
        self.calls.append(
            f"bnn_output(ws + {place.offset}, {output.pixels}, {output.channels}, {place.stride}, "
            "logits);"
        )

    # --- constants --------------------------------------------------------------------------------

    def constant(self, values: np.ndarray) -> str:
        """Return the name of an array with these values; equal arrays are written only once."""
        key = (values.dtype.name, values.tobytes())
        if key not in self._names:
            name = self._names[key] = f"c{len(self._names)}"
            self.bytes += values.nbytes
            kind = TYPES[values.dtype.name]
            lines = "\n".join(_lines(values))
            self.constants.append(f"static const {kind} {name}[{values.size}] = {{\n{lines}\n}};")
        return self._names[key]

    def _channels(self, values: np.ndarray | None, rest: float = 0.0) -> str:
        """Return a constant of values per channel, padded to whole vectors."""
        if values is None:
            return "0"
        missing = filled(len(values)) - len(values)
        return self.constant(np.pad(values.astype(np.float32), (0, missing), constant_values=rest))

    # --- loops ------------------------------------------------------------------------------------

    def _loop(self, loop: Loop) -> None:
        index = len(self.layers)
        window, output = loop.window, loop.window.output
        steps = merged(loop.steps)
        rows = ",\n    ".join(self._step(step, output) for step in steps)
        (height, width, channels), (out_h, out_w, out_c) = self._input_shape(window), output.shape
        if (
            window.geometry.pointwise and not loop.quads
        ):  # treat all pixels as one row, as no border is special
            height, width, out_h, out_w = 1, height * width, 1, out_h * out_w
        where = window.geometry
        if window.signs is not None:
            place = self._memory.of(window.signs)
            offset, stride = str(place.offset), place.stride
        elif window.inputs[0] is self._image:
            offset, stride = "BNN_IMAGE", 4 * channels
        else:
            place = self._memory.of(window.inputs[0])
            offset, stride = str(place.offset), place.stride
        group_in, group_out = channels // window.groups, filled(out_c) // window.groups
        numbers = ", ".join(
            str(number)
            for number in (
                height,
                width,
                channels,
                stride,
                out_h,
                out_w,
                out_c,
                *where.kernel,
                *where.strides,
                *where.pads,
                *where.dilations,
                group_in,
                group_out,
                window.fill,
                window.channel,
                int(loop.quads),
                self._memory.at_once(loop),
            )
        )
        weights = self._weights(window)
        if window.kind is Kind.BINARY:
            self.binary.append(window.name)
        comment = window.name.replace("*/", "* /")
        self.layers.append(
            f"/* {comment} */\n"
            f"static const bnn_step steps_{index}[{len(steps)}] = {{\n    {rows}\n}};\n"
            f"static const bnn_layer layer_{index} = {{\n    {window.kind.value}, {numbers},\n"
            f"    {offset}, {weights}, steps_{index}, {len(steps)}\n}};"
        )
        self.calls.append(f"bnn_run(&layer_{index}, image, ws);")

    def _input_shape(self, window: Window) -> tuple[int, int, int]:
        return window.signs.root.shape if window.signs is not None else window.inputs[0].shape

    def _weights(self, window: Window) -> str:
        if window.weights is None:
            return "0"
        if window.kind is Kind.BINARY:
            assert window.signs is not None
            return self.constant(pack_signs(window.weights, window.signs.stride))
        if window.kind is Kind.REAL:
            return self.constant(pack_real(window.weights))
        return self.constant(pack_depthwise(window.weights))

    def _step(self, step: Step, output: Value) -> str:
        """Return one element of a layer's array of steps."""

        def row(
            kind: str,
            offset: object = 0,
            stride: object = 0,
            a: str = "0",
            b: str = "0",
            flip: str = "0",
        ) -> str:
            return f"{{{kind}, {offset}, {stride}, {a}, {b}, {flip}}}"

        match step:
            case Affine():
                kind = (
                    "SHIFT" if step.scale is None else "SCALE" if step.shift is None else "AFFINE"
                )
                return row(
                    f"BNN_{kind}", a=self._channels(step.scale), b=self._channels(step.shift)
                )
            case Scale():
                return self._scale(step, row)
            case PRelu():
                return row("BNN_PRELU", a=self._channels(step.slope))
            case Clip():
                limits = np.array([step.low, step.high, step.slope], np.float32)
                return row("BNN_CLIP", a=self.constant(limits))
            case Function():
                return row("BNN_FUNCTION", stride=step.function)
            case Combine():
                other = step.inputs[1]
                place = self._memory.of(other)
                stride = 0 if other.pixels == 1 and output.pixels > 1 else place.stride
                kind = "BNN_MULTIPLY" if step.multiply else "BNN_ADD"
                return row(kind, place.offset, stride)
            case Store():
                place = self._memory.of(step.value)
                return row("BNN_STORE", place.offset, place.stride)
            case StorePool():
                place = self._memory.of(step.value)
                return row("BNN_POOL", place.offset + 4 * step.channel, place.stride)
            case StoreSigns():
                place = self._memory.of(step.signs)
                here = slice(step.channel, step.channel + output.channels)
                flip = np.packbits(step.signs.flip[here], bitorder="little")
                words = np.pad(flip, (0, filled(output.channels) // 8 - len(flip))).view("<u2")
                signs = step.signs
                # If a word's last 16 channels do not exist, write zeros in their place.
                ends = step.channel + output.channels == signs.root.channels
                half = signs.stride > 2 and filled(signs.root.channels) % 32
                return row(
                    "BNN_LAST_SIGN" if ends and half else "BNN_SIGN",
                    place.offset + step.channel // 8,
                    place.stride,
                    self._channels(step.signs.threshold[here], LARGEST),
                    flip=self.constant(words) if flip.any() else "0",
                )
        raise AssertionError(step)

    def _scale(self, step: Scale, row: object) -> str:
        assert callable(row)
        if step.full is not None:
            channels = step.full.shape[2]
            missing = filled(channels) - channels
            values = np.pad(step.full, [(0, 0), (0, 0), (0, missing)]).astype(np.float32)
            return row("BNN_CONSTANT", stride=filled(channels), a=self.constant(values))
        if step.pixel is not None:
            return row("BNN_PIXEL", a=self.constant(step.pixel.astype(np.float32)))
        assert step.row is not None and step.column is not None
        return row(
            "BNN_ROW",
            stride=len(step.column),
            a=self.constant(step.row.astype(np.float32)),
            b=self.constant(step.column.astype(np.float32)),
        )

    # --- copies -----------------------------------------------------------------------------------

    def _copy(self, copy: Copy) -> None:
        node = copy.node
        source, target = node.inputs[0], node.output
        here, there = self._memory.of(source), self._memory.of(target)
        if isinstance(node, Reorder) and node.axes is not None:
            index = len(self.calls)
            _, width, _ = source.shape
            steps = (width * here.stride, here.stride, 4)
            shape = ", ".join(map(str, target.shape))
            moves = ", ".join(str(steps[axis]) for axis in node.axes)
            self.layers.append(
                f"static const int32_t shape_{index}[3] = {{{shape}}};\n"
                f"static const int32_t moves_{index}[3] = {{{moves}}};"
            )
            self.calls.append(
                f"bnn_gather(ws + {here.offset}, ws + {there.offset}, shape_{index}, "
                f"moves_{index}, {there.stride});"
            )
            return
        count = source.pixels * source.channels
        self.calls.append(
            f"bnn_reshape(ws + {here.offset}, {source.channels}, {here.stride}, "
            f"ws + {there.offset}, {target.channels}, {there.stride}, {count});"
        )
        if isinstance(node, Softmax):
            self.calls.append(
                f"bnn_softmax(ws + {there.offset}, {target.pixels}, {target.channels}, "
                f"{there.stride});"
            )


def _lines(values: np.ndarray) -> Iterable[str]:
    """Yield lines of initialisers. Nine digits represent every float32 exactly."""
    flat = values.reshape(-1)
    if values.dtype == np.float32:
        texts = [_float(number) for number in flat.tolist()]
        for start in range(0, len(texts), LANES):
            yield ", ".join(texts[start : start + LANES]) + ","
        return
    digits = 2 * flat.itemsize  # format them as one array: there may be millions
    text = np.frombuffer(flat.astype(flat.dtype.newbyteorder(">")).tobytes().hex().encode(), "u1")
    text = np.pad(text.reshape(-1, digits), [(0, 0), (2, 2)])
    text[:, :2], text[:, -2:] = np.frombuffer(b"0x", "u1"), np.frombuffer(b"u,", "u1")
    for start in range(0, len(text), LANES):
        yield text[start : start + LANES].tobytes().decode()


def _float(number: float) -> str:
    text = f"{number:.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"
