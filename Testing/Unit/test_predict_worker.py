"""The worker process: a job folder in, JSON lines and a prediction out."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from mrml_samples import a_calcified_ct
from worker_samples import ROOT, by_threshold, process_command

from CACScoringLib.batch import predict_worker
from CACScoringLib.batch.predict_worker import run
from CACScoringLib.batch.reporting import CANCELLED, DONE, FAILED, REFUSED
from CACScoringLib.findings import Severity
from CACScoringLib.methods.job_files import (
    JobFileError,
    PredictJob,
    read_job,
    read_prediction,
    write_job,
    write_prediction,
)
from CACScoringLib.methods.prediction import Prediction


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def ran(folder, method="by-threshold", predict=by_threshold, **job):
    """Run a job in this process; return the status and the events."""
    ct, _ = a_calcified_ct("oblique")
    write_job(folder, PredictJob(method, **job), ct)
    out = io.StringIO()
    status = run(folder, out, predict=predict)
    return status, [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_job_comes_back_as_it_was_written(folder):
    ct, _ = a_calcified_ct("oblique")
    job = PredictJob("m", model="other", device="cuda", threads=3, threshold_hu=110.0)
    write_job(folder, job, ct)
    again, same = read_job(folder)
    assert again == job
    assert np.array_equal(same.hu, ct.hu)
    assert same.hu.dtype == np.int16
    assert (same.spacing_mm, same.origin_mm, same.acquisition) == (ct.spacing_mm, ct.origin_mm, ct.acquisition)
    assert same.direction == pytest.approx(ct.direction)


def test_the_result_holds_the_labels_and_what_the_method_said(folder):
    status, events = ran(folder)
    ct, _ = a_calcified_ct()
    assert status == DONE
    assert [event["event"] for event in events] == ["started", *["progress"] * 5, "done"]
    assert [event["fraction"] for event in events if event["event"] == "progress"] == [0.0, 0.0, 0.25, 0.5, 0.75]
    prediction = read_prediction(folder, ct.shape)
    expected = np.where(ct.hu >= 400, 4, np.where(ct.hu >= 130, 2, 0))
    assert np.array_equal(prediction.labels, expected)
    assert prediction.labels.dtype == np.uint8
    assert np.array_equal(prediction.lesion_index > 0, expected > 0)
    assert (prediction.model_id, prediction.model_sha256) == ("m1", "ab12")
    assert [(finding.code, finding.severity) for finding in prediction.findings] == [("unsure", Severity.WARNING)]
    assert prediction.lesion_probability.tolist() == pytest.approx([0.9])


def test_every_field_of_a_prediction_survives(folder):
    structures = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    given = Prediction(
        "m", "id", "sha", structures=structures, structures_spacing_mm=(4, 4, 4), structures_offset_mm=(1, 2, 3),
        slice_scores=np.array([0.5, 2], np.float32), category_probability={"0": 0.25}, timings_s={"heart": 1.5},
    )  # fmt: skip
    write_prediction(folder, given)
    again = read_prediction(folder, (9, 9, 9))
    assert again.labels is None
    assert np.array_equal(again.structures, structures)
    assert (again.structures_spacing_mm, again.structures_offset_mm) == ((4, 4, 4), (1, 2, 3))
    assert again.slice_scores.tolist() == [0.5, 2]
    assert (again.category_probability, again.timings_s) == ({"0": 0.25}, {"heart": 1.5})


def test_a_cancel_file_stops_it_between_windows(folder):
    (folder / "cancel").touch()
    status, events = ran(folder)
    assert status == CANCELLED
    assert events[-1] == {"event": "cancelled"}
    assert not (folder / "prediction.json").exists()


@pytest.mark.parametrize(
    ("method", "status", "event", "code"),
    [("refusing", REFUSED, "refused", "no-heart"), ("broken", FAILED, "failed", "error")],
)
def test_what_goes_wrong_is_said_in_one_line(folder, method, status, event, code, capsys):
    done, events = ran(folder, method)
    assert done == status
    assert (events[-1]["event"], events[-1]["code"]) == (event, code)
    assert "\n" not in events[-1]["message"]
    assert not (folder / "prediction.json").exists()


def test_a_missing_package_says_what_to_do(folder):
    def without_torch(ct, **options):
        raise ImportError("No module named 'torch'")

    status, events = ran(folder, predict=without_torch)
    assert (status, events[-1]["code"]) == (FAILED, "packages-missing")
    assert "torch" in events[-1]["message"]


def test_a_device_out_of_memory_hands_over_to_the_processor(folder, monkeypatch):
    devices = []

    def greedy(ct, method, *, device, **options):
        devices.append(device)
        if device == "cuda":
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return by_threshold(ct, method, **options)

    monkeypatch.setattr("CACScoringLib.methods.predict", greedy)
    monkeypatch.setattr("CACScoringLib.methods.devices.choose_device", lambda name: (name, None))
    status, _ = ran(folder, predict=None, device="cuda")
    assert (status, devices) == (DONE, ["cuda", "cpu"])
    codes = [finding.code for finding in read_prediction(folder, a_calcified_ct()[0].shape).findings]
    assert codes == ["device-out-of-memory", "unsure"]


@pytest.mark.parametrize("damage", ["no file", "not json", "other shape", "outside", "pickle"])
def test_a_damaged_result_is_never_taken(folder, damage):
    ran(folder)
    shape = a_calcified_ct()[0].shape
    result = folder / "prediction.json"
    if damage == "no file":
        result.unlink()
    elif damage == "not json":
        result.write_text("{")
    elif damage == "other shape":
        shape = (1, 2, 3)
    else:
        place = np.array([10**9]) if damage == "outside" else np.array([{}], dtype=object)
        np.savez(folder / "prediction.npz", labels_at=place, labels_value=np.array([2], np.uint8))
    with pytest.raises(JobFileError):
        read_prediction(folder, shape)


@pytest.mark.parametrize("damage", ["no voxels", "floats", "no geometry"])
def test_a_damaged_job_is_said_not_guessed(folder, damage):
    ct, _ = a_calcified_ct()
    write_job(folder, PredictJob("m"), ct)
    if damage == "no voxels":
        (folder / "ct.npy").write_bytes(b"")
    elif damage == "floats":
        np.save(folder / "ct.npy", ct.hu.astype(float))
    else:
        (folder / "job.json").write_text('{"schema": "cacscoring-job/1"}')
    out = io.StringIO()
    assert run(folder, out, predict=by_threshold) == FAILED
    assert json.loads(out.getvalue().splitlines()[-1])["code"] == "job"


def test_as_a_process_its_lines_are_clean_and_it_stops_when_its_input_ends(folder):
    ct, _ = a_calcified_ct()
    write_job(folder, PredictJob("chatty"), ct)
    command = process_command(folder)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        lines = process.stdout.read().decode().splitlines()
        assert process.wait(60) == DONE
        assert "a library prints this" in process.stderr.read().decode()
    assert [json.loads(line)["event"] for line in lines][-1] == "done"

    write_job(folder, PredictJob("slow"), ct)
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as process:
        while json.loads(process.stdout.readline())["event"] != "progress":
            pass
        process.stdin.close()
        events = [json.loads(line)["event"] for line in process.stdout]
        assert process.wait(60) == CANCELLED
    assert events[-1] == "cancelled"


def test_the_worker_never_loads_slicer_nor_anything_heavy_by_itself(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {predict_worker.__name__}, "
        "CACScoringLib.methods.job_files, CACScoringLib.models\n"
        "print(sorted({'slicer', 'vtk', 'qt', 'torch', 'monai', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.strip() == "[]"
