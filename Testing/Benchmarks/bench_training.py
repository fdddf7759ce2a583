"""Seconds of a training step: with freed memory kept and without, and of the network for the left main's division in
float32 and bfloat16, with torch's normalisation and with the project's. Each in a process of its own, in the same run.

Run: ``python Testing/Benchmarks/bench_training.py``. Nothing is asserted.
"""

from __future__ import annotations

import subprocess
import sys

STEPS = 4
SLICES = """
import torch
from CACScoringLib.networks.{module} import {network}
from CACScoringLib.training.memory import keep_freed_memory

if {keep}:
    keep_freed_memory()
network = {network}().to(memory_format=torch.channels_last)
inputs = {inputs}

def loss():
    return network(*inputs).abs().mean()
"""
LEFT_MAIN = """
import torch
from CACScoringLib.inference.bifurcation import CROP_SHAPE
from CACScoringLib.networks.bifurcation import BifurcationUNet
from CACScoringLib.training.instance_norm import for_training
from CACScoringLib.training.memory import keep_freed_memory

keep_freed_memory()
network = BifurcationUNet()
if {own}:
    for_training(network)
network.to(memory_format=torch.channels_last_3d)
crops = torch.randn(6, 4, *CROP_SHAPE).contiguous(memory_format=torch.channels_last_3d)

def loss():
    with torch.autocast("cpu", torch.bfloat16, enabled={mixed}):
        logits = network(crops)
    return sum(said.float().square().mean() for said in logits.values())
"""
TIMED = f"""
import time

seconds = []
for _ in range({STEPS}):
    started = time.perf_counter()
    network.zero_grad(set_to_none=True)
    loss().backward()
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


def seconds(step: str) -> float:
    """Return the shortest of a few steps in seconds; ``step`` is code that makes ``network`` and ``loss``."""
    return float(
        subprocess.run([sys.executable, "-c", step + TIMED], check=True, capture_output=True, text=True).stdout
    )


def main() -> None:
    """Measure every case."""
    write = sys.stdout.write
    write("step                          as it is s  memory kept s  ratio\n")
    for name, case in CASES.items():
        before, after = (seconds(SLICES.format(**case, keep=keep)) for keep in (False, True))
        write(f"{name:29} {before:11.2f} {after:14.2f} {after / before:6.2f}\n")
    write("\nleft main, 6 crops            torch's norm s   our norm s  ratio\n")
    for kind, mixed in (("float32", False), ("bfloat16", True)):
        before, after = (seconds(LEFT_MAIN.format(own=own, mixed=mixed)) for own in (False, True))
        write(f"{kind:29} {before:14.2f} {after:12.2f} {after / before:6.2f}\n")


if __name__ == "__main__":
    main()
