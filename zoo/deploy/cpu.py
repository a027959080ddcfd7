"""This machine's processor and its instruction sets."""

from __future__ import annotations

import platform
from pathlib import Path

# Instruction sets that the runtimes' kernels need, with Linux's names.
SETS = (
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_vpopcntdq",
    "amx_tile",
    "neon",
    "asimd",
    "asimddp",
)
CPUINFO = Path("/proc/cpuinfo")


def cpu_name() -> str:
    """Return the processor's name, as it reports it."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def instruction_sets() -> list[str] | None:
    """Return those of `SETS` that the processor has; None if the system does not report them."""
    flags = _cpuinfo("flags") or _cpuinfo("Features")
    return None if flags is None else [name for name in SETS if name in flags.split()]


def without_avx2() -> str | None:
    """Return a warning if OpenVINO's binary kernels are slow or missing on this processor."""
    if platform.machine().lower() not in ("x86_64", "amd64", "i386", "i686"):
        return (
            f"this processor ({platform.machine()}) is not x86, and OpenVINO has no binary kernels "
            "for others: expect a binary convolution to be slower than a float one, and use "
            "Larq Compute Engine (zoo.deploy.to_lce) on 64-bit ARM"
        )
    sets = instruction_sets()
    if sets is None or "avx2" in sets:
        return None
    return (
        f"this processor ({cpu_name()}) has no AVX2: OpenVINO then takes SSE4.2 or reference "
        "kernels, so expect a fraction of the documented speed, with the same results"
    )


def _cpuinfo(key: str) -> str | None:
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None
