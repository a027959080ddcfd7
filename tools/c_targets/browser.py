"""Make the WebAssembly module of the documentation's page that classifies images.

    python -m tools.c_targets.browser

The module is in the repository, so `make docs` needs no clang. A .json beside it has digests of its
sources: a test fails if weights or kernels have changed since.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tools.c_targets.targets import FLAGS, NAME, SOURCES, WASM, checked, require_tools

MODULE = Path(__file__).parents[2] / "docs" / "scripts" / "reactnet20.wasm"
MODEL, WEIGHTS = "ReActNet20", "cifar10"
MOST_BYTES = 150_000


def build(target: Path) -> None:
    """Write the module.

    Raises:
        DeployError: a tool is missing or fails.
    """
    import zoo
    from zoo.deploy import to_c

    require_tools((WASM.compiler[0], "wasm-ld"), WASM.packages)
    with TemporaryDirectory() as folder:
        model = zoo.get_model(MODEL, weights=WEIGHTS, classifier_activation=None)
        export = to_c(model, folder, name=NAME).directory
        sources = [SOURCES / "web.c", export / f"{NAME}.c", export / "bnn.c"]
        checked(
            [
                *WASM.compiler,
                *FLAGS,
                "-DTAKES_BYTES",
                "-O3",
                f"-I{export}",
                *sources,
                "-o",
                target,
                "-lm",
            ]
        )


def origin() -> dict[str, Any]:
    """Return digests of the module's sources: the weights, and the C code."""
    from zoo.deploy.c.write import SOURCES as KERNELS
    from zoo.pretrained.records import find_record

    record = find_record(MODEL, WEIGHTS)
    assert record is not None
    digest = hashlib.sha256()
    around = (KERNELS / "templates" / "model.c", SOURCES / "web.c")
    for path in (*sorted(KERNELS.glob("bnn*")), *around):
        digest.update(path.read_bytes())
    return {"weights": record.sha256, "sources": digest.hexdigest()}


def main() -> None:
    """Build the module, and store its sources' digests and the compiler's version."""
    build(MODULE)
    compiler = checked(["clang", "--version"]).decode().splitlines()[0]
    made = {**origin(), "compiler": compiler}
    MODULE.with_suffix(".json").write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    print(f"{MODULE}: {MODULE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
