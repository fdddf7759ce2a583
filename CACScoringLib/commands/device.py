"""Where networks run, as the command line names it."""

from __future__ import annotations

from CACScoringLib.commands.exit_codes import UsageError

NUMBERED = ("cuda",)
"""Devices of which a machine may have several: ``cuda:1``."""


def check_device(name: str) -> None:
    """Refuse a device that no machine has.

    Raises
    ------
    UsageError
    """
    from CACScoringLib.methods.devices import DEVICES

    kind, colon, number = name.partition(":")
    if kind not in DEVICES or (colon and not (kind in NUMBERED and number.isdecimal() and number.isascii())):
        raise UsageError(f"There is no device '{name}': choose one of {', '.join(DEVICES)}.")


def usable_device(name: str) -> str:
    """Return the device to use, refused where this machine or its torch has none such.

    Raises
    ------
    UsageError
    """
    from CACScoringLib.methods.devices import CPU, DEVICES, choose_device

    check_device(name)
    chosen, missing = choose_device(name)
    if missing is None:
        return chosen
    usable = [CPU, *(other for other in DEVICES if other != CPU and choose_device(other) == (other, None))]
    raise UsageError(f"The device '{name}' is not available here: leave --device out or choose {' or '.join(usable)}.")
