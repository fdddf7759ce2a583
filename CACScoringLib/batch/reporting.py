"""What worker processes have in common: they report in JSON lines, stop when asked to, and always say how it ended.

Standard output carries one JSON object a line, with ``event`` one of ``started``, ``progress`` (``fraction``,
``text``), and at the end ``done``, ``cancelled``, ``refused`` or ``failed`` (``code``, ``message``).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from CACScoringLib.findings import InputRefusedError

DONE, FAILED, REFUSED, CANCELLED = 0, 1, 3, 130
"""Exit status: those of the command line."""
LONGEST_MESSAGE = 500
Work = Callable[[Callable[[float, str], None], Callable[[], bool]], None]
"""Is given what to call with progress (fraction, text), and what says whether to stop."""


def worker_main(
    run: Callable[..., int],
    program: str,
    description: str,
    arguments: Sequence[str] | None = None,
    predict: Callable[..., Any] | None = None,
) -> int:
    """Be a worker process: read the command line, keep standard output for reports, and return the exit status.

    Parameters
    ----------
    run : callable
        Does the job of a folder: ``run(folder, out, watch_stdin=..., predict=...)``.
    program, description : str
        For ``--help``.
    arguments : sequence of str, optional
        Those of the process when absent.
    predict : callable, optional
        As ``CACScoringLib.methods.predict``, which it defaults to.
    """
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--watch-stdin", action="store_true", help="stop when standard input ends")
    options = parser.parse_args(arguments)
    return run(options.folder, _own_stdout(), watch_stdin=options.watch_stdin, predict=predict)


def reported(work: Work, folder: Path, out: TextIO, *, watch_stdin: bool = False) -> int:
    """Do a piece of work in a job folder, report on ``out``, and return the exit status.

    Parameters
    ----------
    work : callable
    folder : Path
        Asks to stop when a file ``cancel`` appears in it.
    out : text file
    watch_stdin : bool
        Stop when standard input ends, too.
    """
    from CACScoringLib.inference.windows import CancelledError
    from CACScoringLib.methods.job_files import JobFileError
    from CACScoringLib.models import ModelError

    def tell(event: str, **more: Any) -> None:
        out.write(json.dumps({"event": event, **more}) + "\n")
        out.flush()

    def failed(event: str, code: str, message: object) -> None:
        tell(event, code=code, message=" ".join(str(message).split())[:LONGEST_MESSAGE])

    try:
        tell("started", pid=os.getpid())
        work(lambda done, text: tell("progress", fraction=done, text=text), _cancel_check(folder, watch_stdin))
        tell("done")
        return DONE
    except CancelledError:
        tell("cancelled")
        return CANCELLED
    except InputRefusedError as error:
        failed("refused", error.finding.code, error.finding.message)
        return REFUSED
    except (ModelError, JobFileError) as error:
        failed("failed", "model" if isinstance(error, ModelError) else "job", error)
    except ImportError as error:
        failed("failed", "packages-missing", f"A Python package is missing ({error}): install it and score again.")
    except MemoryError:
        failed("failed", "memory", "There is not enough memory: close other programs and score again.")
    except Exception as error:  # whatever a network does, the program that waits must hear of it
        traceback.print_exc()
        failed("failed", "error", f"The network failed ({type(error).__name__}: {error}).")
    return FAILED


def use_models_folder(folder: str | None) -> None:
    """Look for imported models in a folder; where they usually are when None."""
    if folder:
        from CACScoringLib.models import MODELS_VARIABLE

        os.environ[MODELS_VARIABLE] = folder


def limit_threads(threads: int | None) -> None:
    """Use so many processor cores; all when None."""
    if threads is not None:
        import torch

        torch.set_num_threads(max(1, int(threads)))


def _cancel_check(folder: Path, watch_stdin: bool) -> Callable[[], bool]:
    """Return a function that says whether the person, or the end of the other program, asks to stop."""
    from CACScoringLib.methods.job_files import CANCEL

    ended = threading.Event()
    if watch_stdin:

        def wait_for_the_end() -> None:
            try:  # not through sys.stdin, whose lock would be held when the interpreter ends
                while os.read(0, 4096):
                    pass
            finally:
                ended.set()

        threading.Thread(target=wait_for_the_end, daemon=True).start()
    file = folder / CANCEL
    return lambda: ended.is_set() or file.exists()


def _own_stdout() -> TextIO:
    """Return standard output for our lines only; what libraries print there goes to standard error."""
    ours = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return ours
