"""A child process that runs the network on one scan: job folder in, JSON lines out, result as files.

    python -m CACScoringLib.batch.predict_worker FOLDER [--watch-stdin]

It knows nothing of 3D Slicer. Standard output carries one JSON object a line, with ``event`` one of ``started``,
``progress`` (``fraction``, ``text``), and at the end ``done``, ``cancelled``, ``refused`` or ``failed`` (``code``,
``message``). It stops between windows when a file ``cancel`` appears in the folder or, with ``--watch-stdin``, when
standard input ends, as it does when the program that started it is gone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from CACScoringLib.batch.reporting import limit_threads, reported, use_models_folder, worker_main

if TYPE_CHECKING:
    from CACScoringLib.ct.volume import CTVolume
    from CACScoringLib.methods.job_files import PredictJob
    from CACScoringLib.methods.prediction import Prediction


def main(arguments: Sequence[str] | None = None, predict: Callable[..., Prediction] | None = None) -> int:
    """Run one job and return the exit status; arguments as of ``worker_main``."""
    return worker_main(run, "predict_worker", "Run the network on one scan.", arguments, predict)


def run(
    folder: Path, out: TextIO, *, watch_stdin: bool = False, predict: Callable[..., Prediction] | None = None
) -> int:
    """Run the job of a folder, report on ``out``, and return the exit status."""

    def work(progress: Callable[[float, str], None], cancelled: Callable[[], bool]) -> None:
        from CACScoringLib.inference.windows import CancelledError
        from CACScoringLib.methods.job_files import read_job, write_prediction

        job, ct = read_job(folder)
        prediction = _predict(job, ct, predict, progress, cancelled)
        if cancelled():
            raise CancelledError
        write_prediction(folder, prediction)

    return reported(work, folder, out, watch_stdin=watch_stdin)


def _predict(
    job: PredictJob,
    ct: CTVolume,
    predict: Callable[..., Prediction] | None,
    progress: Callable[[float, str], None],
    cancelled: Callable[[], bool],
) -> Prediction:
    """Run the method on the device of the job; on the processor where that has not enough memory."""
    use_models_folder(job.models_folder)
    from CACScoringLib.methods.devices import choose_device, on_device

    progress(0.0, "Loading the network")
    findings = []
    device = "cpu"
    if predict is None:
        from CACScoringLib.methods import predict

        limit_threads(job.threads)
        device, finding = choose_device(job.device)
        findings = [finding] if finding else []
    options = {"model": job.model, "threshold_hu": job.threshold_hu, "progress": progress, "cancelled": cancelled}
    prediction = on_device(lambda device: predict(ct, method=job.method, device=device, **options), device)
    return replace(prediction, findings=(*findings, *prediction.findings))


if __name__ == "__main__":
    sys.exit(main())
