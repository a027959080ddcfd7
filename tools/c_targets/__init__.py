"""Networks in C for other machines: cross-compiled and run in emulators.

`targets` builds and runs an export on a CPU that qemu's user mode or node stands in for, `cortex_m`
on a microcontroller without an operating system. `python -m tools.c_targets` runs the catalog on
all of them and writes `results/c_targets.csv`.
"""
