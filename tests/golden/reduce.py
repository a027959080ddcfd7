"""Make the small golden files of this folder from the full ones.

Run from the repository root: python tests/golden/reduce.py SOURCE
SOURCE is the folder with the full data: `listings/NAME.json`, `NAME.npz`, `NAME_grads.npz` and
`NAME_small.npz` (see README.md).
"""

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
MOST = 4000


def thin(values: np.ndarray) -> np.ndarray:
    """Every n-th value in row-major order, n the smallest that leaves at most MOST of them."""
    flat = np.ravel(values)
    return flat[:: -(-flat.size // MOST)]


def reduced(source: Path, name: str) -> dict[str, np.ndarray]:
    """What NAME.npz here holds: the eval run, the training run, and both of the small case."""
    full = dict(np.load(source / f"{name}.npz"))
    small = dict(np.load(source / f"{name}_small.npz"))
    arrays = {key: full.pop(key) for key in ("logits_f64", "train_logits_f64")}
    full.pop("logits_f32")
    arrays |= {f"intermediate:{key}": thin(value) for key, value in full.items()}
    gradients = np.load(source / f"{name}_grads.npz")
    arrays |= {f"grad:{key}": thin(value) for key, value in gradients.items()}
    for key, value in small.items():
        arrays[f"small:{key}"] = thin(value) if key.startswith("grad:") else value
    return arrays


def main(source: Path) -> None:
    (HERE / "listings").mkdir(exist_ok=True)
    for listing in sorted((source / "listings").glob("*.json")):
        content = json.loads(listing.read_text(encoding="utf-8"))
        text = json.dumps(content, separators=(",", ":"))
        (HERE / "listings" / listing.name).write_text(text + "\n", encoding="utf-8")
        if (source / f"{listing.stem}.npz").exists():
            np.savez_compressed(HERE / f"{listing.stem}.npz", **reduced(source, listing.stem))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
