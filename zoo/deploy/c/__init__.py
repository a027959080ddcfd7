"""Export a binary network as C source without dependencies.

The steps, one file each:

- `layers` converts each Keras layer to a few kinds of nodes (`graph`), with the rules in
  `convolutions`, `activations` and `shapes`. Rules depend on the layer's class (`rules`); a
  subclass that overrides the computation is refused.
- `rewriting` makes concatenations free; `schedule` joins the nodes into loops. A loop computes 16
  channels of a few pixels in registers (a convolution, a pooling, a load) and runs its steps on
  them: batch norm, shortcut, activation, and the signs that the next convolution reads, written as
  bits. A sign after an affine map is one comparison with a threshold.
- `memory` places every map in one workspace; maps that are not needed at the same time share bytes,
  and a smaller map may overwrite its input.
- `packing` orders the weights as the kernels read them; `emit` writes constants and calls.
- `write` writes the directory, with the files in `sources/`: the kernels for AVX-512, AVX2, NEON,
  WebAssembly SIMD and portable C. `load` compiles it and calls it from NumPy.

Feature maps are channels-last, with channels padded to a multiple of 16. Each of the 16 lanes of a
vector is a filter: a word of 32 signs of a pixel is broadcast to 16 filters, and a convolution is
xor, popcount and add, without sums across lanes. Pixels are grouped by the part of the kernel that
is inside the image, so padding takes no time and is exact.
"""

from __future__ import annotations

from zoo.deploy.c.load import CNetwork, load_c
from zoo.deploy.c.write import Export, to_c

__all__ = ["CNetwork", "Export", "load_c", "to_c"]
