"""A child process that runs the network on one scan: job folder in, JSON lines out, result as files.

    python -m CACScoringLib.batch.predict_worker FOLDER [--watch-stdin]

It knows nothing of 3D Slicer. Standard output carries one JSON object a line, with ``event`` one of ``started``,
``progress`` (``fraction``, ``text``), and at the end ``done``, ``cancelled``, ``refused`` or ``failed`` (``code``,
``message``). It stops between windows when a file ``cancel`` appears in the folder or, with ``--watch-stdin``, when
standard input ends, as it does when the program that started it is gone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from CACScoringLib.findings import InputRefusedError

if TYPE_CHECKING:
    from CACScoringLib.ct.volume import CTVolume
    from CACScoringLib.methods.job_files import PredictJob
    from CACScoringLib.methods.prediction import Prediction

DONE, FAILED, REFUSED, CANCELLED = 0, 1, 3, 130
"""Exit status: those of the command line."""
LONGEST_MESSAGE = 500


def main(arguments: Sequence[str] | None = None, predict: Callable[..., Prediction] | None = None) -> int:
    """Run one job and return the exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process when absent.
    predict : callable, optional
        As ``CACScoringLib.methods.predict``, which it defaults to.
    """
    parser = argparse.ArgumentParser(prog="predict_worker", description="Run the network on one scan.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--watch-stdin", action="store_true", help="stop when standard input ends")
    options = parser.parse_args(arguments)
    return run(options.folder, _own_stdout(), watch_stdin=options.watch_stdin, predict=predict)


def run(
    folder: Path, out: TextIO, *, watch_stdin: bool = False, predict: Callable[..., Prediction] | None = None
) -> int:
    """Run the job of a folder, report on ``out``, and return the exit status."""
    from CACScoringLib.inference.windows import CancelledError
    from CACScoringLib.methods.job_files import JobFileError, read_job, write_prediction
    from CACScoringLib.models import ModelError

    def tell(event: str, **more: Any) -> None:
        out.write(json.dumps({"event": event, **more}) + "\n")
        out.flush()

    def failed(event: str, code: str, message: object) -> None:
        tell(event, code=code, message=" ".join(str(message).split())[:LONGEST_MESSAGE])

    try:
        tell("started", pid=os.getpid())
        job, ct = read_job(folder)
        cancelled = _cancel_check(folder, watch_stdin)
        prediction = _predict(
            job, ct, predict, lambda done, text: tell("progress", fraction=done, text=text), cancelled
        )
        if cancelled():
            raise CancelledError
        write_prediction(folder, prediction)
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


def _predict(
    job: PredictJob,
    ct: CTVolume,
    predict: Callable[..., Prediction] | None,
    progress: Callable[[float, str], None],
    cancelled: Callable[[], bool],
) -> Prediction:
    """Run the method on the device of the job; on the processor where that has not enough memory."""
    if job.models_folder:
        from CACScoringLib.models import MODELS_VARIABLE

        os.environ[MODELS_VARIABLE] = job.models_folder
    progress(0.0, "Loading the network")
    findings = []
    device = "cpu"
    if predict is None:
        from CACScoringLib.methods import predict
        from CACScoringLib.methods.devices import choose_device

        _limit_threads(job.threads)
        device, finding = choose_device(job.device)
        findings = [finding] if finding else []
    options = {"model": job.model, "threshold_hu": job.threshold_hu, "progress": progress, "cancelled": cancelled}
    try:
        prediction = predict(ct, method=job.method, device=device, **options)
    except RuntimeError as error:
        from CACScoringLib.methods.devices import memory_finding, out_of_memory

        if device == "cpu" or not out_of_memory(error):
            raise
        findings.append(memory_finding(device))
        prediction = predict(ct, method=job.method, device="cpu", **options)
    return replace(prediction, findings=(*findings, *prediction.findings))


def _limit_threads(threads: int | None) -> None:
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


if __name__ == "__main__":
    sys.exit(main())
