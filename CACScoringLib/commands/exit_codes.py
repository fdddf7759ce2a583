"""What the command's exit status means."""

from __future__ import annotations

DONE = 0
FAILURE = 1
USAGE = 2
REFUSED = 3
SOME_FAILED = 4
INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""


class UsageError(ValueError):
    """The command was called in a way that makes no sense; the message says so in one sentence."""
