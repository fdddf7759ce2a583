"""Freed memory is kept from step to step where the C library can do it, and training does without elsewhere."""

from __future__ import annotations

import subprocess
import sys

from CACScoringLib.training import memory

PROBE = """
import resource
import numpy as np
from CACScoringLib.training.memory import keep_freed_memory

if {keep}:
    assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(2**24)  # 128 MiB: taken once, then freed
before = faults()
for _ in range(8):
    np.ones(2**24)
print(faults() - before)
"""


def page_faults(keep: bool) -> int:
    code = PROBE.format(keep=keep)
    return int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def test_pages_are_taken_once_and_not_at_every_step():
    if not memory.keep_freed_memory():
        assert not sys.platform.startswith("linux") or "musl" in sys.version.lower()
        return
    assert page_faults(keep=True) < page_faults(keep=False) / 10


def test_another_system_or_c_library_is_no_error(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "win32")
    assert not memory.keep_freed_memory()
    monkeypatch.setattr(memory.sys, "platform", "linux")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    assert not memory.keep_freed_memory()
