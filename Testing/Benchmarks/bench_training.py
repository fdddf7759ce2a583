"""Seconds of a training step with freed memory kept and without, each in a process of its own, in the same run.

Run: ``python Testing/Benchmarks/bench_training.py``. Nothing is asserted.
"""

from __future__ import annotations

import subprocess
import sys

STEPS = 4
CODE = """
import time
import torch
from CACScoringLib.networks.{module} import {network}
from CACScoringLib.training.memory import keep_freed_memory

if {keep}:
    keep_freed_memory()
network = {network}().to(memory_format=torch.channels_last)
inputs = {inputs}
seconds = []
for _ in range({steps}):
    started = time.perf_counter()
    network.zero_grad(set_to_none=True)
    network(*inputs).abs().mean().backward()
    seconds.append(time.perf_counter() - started)
print(min(seconds))
"""
CASES = {
    "slice-regression, 48 slices": {
        "module": "slice_regression",
        "network": "SliceRegressionNet",
        "inputs": "(torch.randn(48, 1, 256, 256), torch.rand(48, 3))",
    },
    "six-class, 32 slices": {
        "module": "six_class",
        "network": "SixClassNet",
        "inputs": "(torch.randn(32, 1, 192, 192),)",
    },
}


def seconds(case: dict[str, str], keep: bool) -> float:
    """Return the shortest of a few steps in seconds."""
    code = CODE.format(**case, keep=keep, steps=STEPS)
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Measure every case."""
    write = sys.stdout.write
    write("step                          as it is s  memory kept s  ratio\n")
    for name, case in CASES.items():
        before, after = seconds(case, keep=False), seconds(case, keep=True)
        write(f"{name:29} {before:11.2f} {after:14.2f} {after / before:6.2f}\n")


if __name__ == "__main__":
    main()
