"""Cross-compile networks in C for other machines and run them in emulators.

`targets` builds an export and runs it on a CPU that qemu's user mode or node emulates; `cortex_m`
does this for a microcontroller without an operating system. `python -m tools.c_targets` runs the
catalog on all of them and writes `results/c_targets.csv`.
"""
