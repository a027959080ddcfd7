"""Tables of the duration of a training step: compared with plain Keras and Larq, and in a run."""

from tools.document_tables.markdown import markdown, optional
from tools.tables import ACCELERATOR, ENGINE_OVERHEAD, TRAINING_STEP, read_table


def training_step() -> str:
    """Compare the duration of a training step with plain Keras and Larq."""
    heads = (
        "network",
        "batch",
        "plain ms",
        "zoo ms",
        "ratio",
        "gradients",
        "difference, float32",
        "difference, bfloat16",
    )
    return markdown(
        heads,
        [
            (
                row["network"],
                row["batch"],
                row["plain_ms"],
                row["zoo_ms"],
                f"{row['ratio']} ({row['lowest_ratio']} to {row['highest_ratio']})",
                row["gradients"],
                row["gradient_difference_float32"],
                row["gradient_difference_bfloat16"],
            )
            for row in read_table(TRAINING_STEP)
        ],
    )


def engine_overhead() -> str:
    """Return how much longer a step takes in the engine than alone."""
    heads = (
        "network",
        "data",
        "batch",
        "steps",
        "bare step ms",
        "loop ms",
        "more wall time %",
        "more CPU time %",
    )
    return markdown(
        heads,
        [
            (
                row["network"],
                row["dataset"],
                row["batch"],
                row["steps"],
                row["bare_ms"],
                row["engine_ms"],
                f"{row['overhead_percent']} ({row['lowest']} to {row['highest']})",
                f"{row['cpu_overhead_percent']} ({row['cpu_lowest']} to {row['cpu_highest']})",
            )
            for row in read_table(ENGINE_OVERHEAD)
        ],
    )


def accelerator() -> str:
    """Return the speed of steps on a GPU: programs, the same in PyTorch, and two CPU cores."""
    rows = read_table(ACCELERATOR)

    def speed(library: str, row: dict[str, str]) -> str:
        for each in rows:
            same = (each["network"], each["precision"]) == (row["network"], row["precision"])
            if same and each["library"].startswith(library):
                return f"{int(each['images_per_second']):,}"
        return ""

    cores = {
        (row["network"], row["gradients"]): 1e3 * int(row["batch"]) / float(row["zoo_ms"])
        for row in read_table(TRAINING_STEP)
    }
    heads = ("network", "batch", "precision", "ms per step", "images/s", "PyTorch", "two cores")
    return markdown(
        heads,
        [
            (
                row["network"],
                row["batch"],
                row["precision"],
                row["ms_per_step"],
                speed("JAX", row),
                speed("PyTorch", row),
                optional(cores.get((row["network"], row["precision"])), ".0f"),
            )
            for row in rows
            if row["library"].startswith("JAX")
        ],
    )
