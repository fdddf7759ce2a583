"""Keep the memory of one training step for the next, instead of asking the system for new pages each time.

A step frees and takes the same gigabytes again. The C library of Linux gives large blocks back at once, and the system
then clears every page anew: up to half of a step (``Testing/Benchmarks/bench_training.py``). Options of
``mallopt`` (glibc manual, "Malloc Tunable Parameters") make it keep them.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Options of ``mallopt``, from ``malloc.h``."""
NEVER = -1


def keep_freed_memory() -> bool:
    """Have this process keep freed memory until it ends; returns whether the C library can do that."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, NEVER))
