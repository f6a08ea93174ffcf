"""`heavylift worker`: bursts, watched folders, reloading, crashes."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.cli.harness import Project
from tests.waiting import wait_until

JPEG = b"\xff\xd8\xff" + bytes(5000) + b"\xff\xd9"


@pytest.fixture
def folder(project: Project) -> Path:
    """A folder to watch, with one old file in it."""
    made = project.folder / "in"
    made.mkdir()
    put(made / "old.txt")
    return made


def put(path: Path, data: bytes = b"text", age: float = 5.0) -> None:
    path.write_bytes(data)
    os.utime(path, (time.time() - age, time.time() - age))


def copied(project: Project) -> list[str]:
    """The sources that were copied, as often as they were."""
    log = project.folder / "copied"
    return sorted(log.read_text().split()) if log.exists() else []


# --- burst --------------------------------------------------------------------------------------------


def test_a_burst_runs_what_is_there_and_exits_with_0(project: Project) -> None:
    ids = project.run("enqueue", "echo", "one", "two", "three").stdout.split()
    done = project.run("worker", "--burst")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [project.json("job", id)[0]["state"] for id in ids] == ["completed"] * 3


def test_a_burst_with_nothing_to_do_exits_with_0(project: Project) -> None:
    assert project.run("worker", "--burst").returncode == 0


def test_a_burst_waits_for_retries_that_are_soon_due(project: Project) -> None:
    id = project.run("enqueue", "echo", "one", "--delay", "1").stdout.strip()
    project.run("worker", "--burst")
    assert project.json("job", id)[0]["state"] == "completed"


def test_a_burst_takes_what_is_in_the_folder_and_finds_it_done_the_next_time(project: Project, folder: Path) -> None:
    first = project.run("worker", "--burst", "--watch", "in:copy")
    assert first.returncode == 0, first.stdout + first.stderr
    assert copied(project) == ["in/old.txt"]
    assert project.run("worker", "--burst", "--watch", "in:copy").returncode == 0
    assert copied(project) == ["in/old.txt"]


def test_an_output_that_was_deleted_is_made_again(project: Project, folder: Path) -> None:
    project.run("worker", "--burst", "--watch", "in:copy")
    (folder / "out" / "old.txt").unlink()
    project.run("worker", "--burst", "--watch", "in:copy")
    assert copied(project) == ["in/old.txt"] * 2


def test_a_process_above_its_size_is_renewed_and_the_worker_goes_on(project: Project) -> None:
    project.worker("--recycle-rss", "1")
    (project.folder / "one.go").touch()
    assert project.run("enqueue", "hold", "one", "--wait").returncode == 0
    first = int((project.folder / "one.began").read_text())
    wait_until("the process that ran it is gone", lambda: not psutil.pid_exists(first), timeout=30)
    (project.folder / "two.go").touch()
    assert project.run("enqueue", "hold", "two", "--wait").returncode == 0


# --- watching -----------------------------------------------------------------------------------------


def test_a_file_that_is_dropped_is_done(project: Project, folder: Path) -> None:
    project.worker("--watch", "in:copy")
    wait_until("the old file is copied", lambda: project.exists("in/out/old.txt"))
    (folder / ".new.jpg").write_bytes(JPEG)
    (folder / ".new.jpg").rename(folder / "new.jpg")
    wait_until("the new file is copied", lambda: project.exists("in/out/new.jpg"))


def test_what_is_no_finished_image_is_left_alone(project: Project, folder: Path) -> None:
    project.worker("--watch", "in:copy")
    (folder / "half.jpg").write_bytes(JPEG[:3000])
    for name in (".hidden.jpg", "a.jpg.part", "b.txt.tmp", "c.doc"):
        put(folder / name, JPEG)
    put(folder / "last.jpg", JPEG)  # found after the others
    wait_until("the whole ones are copied", lambda: copied(project) == ["in/last.jpg", "in/old.txt"])
    with (folder / "half.jpg").open("ab") as rest:
        rest.write(JPEG[3000:])
    wait_until("the rest has come", lambda: "in/half.jpg" in copied(project))
    assert (folder / "out" / "half.jpg").read_bytes() == JPEG
    assert project.json("failed") == []


def test_a_file_that_is_being_written_slowly_is_taken_once_and_whole(project: Project, folder: Path) -> None:
    project.worker("--watch", "in:copy")
    wait_until("the old file is copied", lambda: project.exists("in/out/old.txt"))
    with (folder / "slow.txt").open("wb", buffering=0) as writer:
        writer.write(b"a" * 1000)
        put(folder / "other.txt")
        wait_until("a later one is copied", lambda: project.exists("in/out/other.txt"))
        assert not project.exists("in/out/slow.txt")
        writer.write(b"b" * 1000)
    wait_until("it is copied", lambda: project.exists("in/out/slow.txt"))
    assert len((folder / "out" / "slow.txt").read_bytes()) == 2000
    assert copied(project).count("in/slow.txt") == 1


def test_two_workers_do_a_file_once(project: Project, folder: Path) -> None:
    for number in range(20):
        put(folder / f"{number}.txt")
    for _ in range(2):
        project.worker("--watch", "in:copy")
    wait_until("all are copied", lambda: len(copied(project)) >= 21)
    assert copied(project) == sorted(set(copied(project)))


# --- what it says and how it ends ---------------------------------------------------------------------


def test_without_a_terminal_every_line_is_json(project: Project) -> None:
    worker = project.worker()
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    lines = [json.loads(line) for line in worker.text.splitlines()]
    assert [line["event"] for line in lines] == ["worker ready", "ending", "ended"]
    assert all({"timestamp", "level"} <= line.keys() for line in lines)


def test_each_attempt_is_a_line_as_grave_as_what_it_came_to(project: Project) -> None:
    worker = project.worker()
    project.run("enqueue", "refuse", "no good", "--correlation-id", "order-1", "--wait")
    (job,) = project.json("enqueue", "echo", "good", "--correlation-id", "order-2", "--wait")
    bad, good = [json.loads(line) for line in worker.text.splitlines() if "attempt ended" in line]
    assert (bad["level"], bad["handler"], bad["outcome"], bad["correlation_id"]) == (
        "error",
        "refuse",
        "rejected",
        "order-1",
    )
    assert 0 <= good.pop("duration_s") < 10
    assert {name: good[name] for name in good if name not in ("timestamp", "event")} == {
        "level": "info",
        "job": job["id"],
        "queue": "default",
        "handler": "echo",
        "attempt": 1,
        "outcome": "completed",
        "becomes": "completed",
        "correlation_id": "order-2",
    }


def test_a_level_above_leaves_the_lines_of_completed_attempts_out(project: Project) -> None:
    worker = project.start("worker", "--log-level", "warning")
    project.run("enqueue", "echo", "good", "--wait")
    project.run("enqueue", "refuse", "no good", "--wait")
    worker.wait_for("attempt ended")
    (line,) = worker.text.splitlines()
    assert json.loads(line)["outcome"] == "rejected"


def test_a_crash_of_the_worker_itself_is_1_with_its_reason(project: Project) -> None:
    (project.folder / "handlers" / "sabotage.py").write_text(
        "from heavylift.worker.janitor import Janitor\n\n"
        "def broken(self):\n    raise RuntimeError('no janitor today')\n\nJanitor.run = broken\n"
    )
    done = project.run("worker", "--slots", "1")
    assert done.returncode == 1
    assert "no janitor today" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_waits_for_redis_until_it_is_told_to_end(project: Project, number: signal.Signals) -> None:
    project.url = "redis://127.0.0.1:1"
    worker = project.start("worker")
    worker.wait_for("lost contact to redis")
    worker.signal(number)
    assert worker.wait(5) == 0


def test_modules_are_loaded_beside_the_folder(project: Project) -> None:
    (project.folder / "more.py").write_text(
        "from heavylift import handler\n\n@handler(lane='cpu')\ndef extra(x: int) -> int:\n    return x + 1\n"
    )
    project.worker("more")
    (record,) = project.json("enqueue", "--module", "more", "extra", "1", "--wait")
    assert record["result"] == 2


def test_only_the_queues_asked_for_are_served(project: Project) -> None:
    project.worker("--queues", "cpu=3")
    (status,) = project.json("status")
    assert status["workers"][0]["queues"] == {"cpu": "cpu"}


def test_code_that_changes_starts_the_worker_anew(project: Project) -> None:
    worker = project.worker("--reload")
    code = project.folder / "handlers" / "work.py"
    code.write_text(code.read_text() + "\n@handler\ndef added() -> int:\n    return 1\n")
    wait_until("it is ready again", lambda: worker.text.count("worker ready") == 2, timeout=20)
    (record,) = project.json("enqueue", "added", "--wait")
    assert record["result"] == 1
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0


def test_a_worker_whose_code_is_half_written_waits_for_the_rest(project: Project) -> None:
    worker = project.worker("--reload")
    code = project.folder / "handlers" / "work.py"
    whole = code.read_text()
    code.write_text(whole + "\n@handler\ndef added(")
    wait_until("it says so", lambda: "waiting for the code to change" in worker.text, timeout=20)
    code.write_text(whole)
    wait_until("it is ready again", lambda: worker.text.count("worker ready") == 2, timeout=20)
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0


def test_a_worker_that_waits_for_its_code_ends_when_it_is_told_to(project: Project) -> None:
    code = project.folder / "handlers" / "work.py"
    code.write_text("def half(")
    worker = project.start("worker", "--reload")
    wait_until("it says so", lambda: "waiting for the code to change" in worker.text, timeout=20)
    worker.signal(signal.SIGTERM)
    assert worker.wait() != 0


def test_a_misspelt_setting_of_the_environment_is_named_and_other_variables_are_not(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {**project.env, "HEAVYLIFT_SLOT": "2", "HEAVYLIFT_OF_MY_OWN": "1"}
    monkeypatch.setattr(Project, "env", env)
    done = project.run("worker", "--burst")
    assert done.returncode == 0
    assert "HEAVYLIFT_SLOT is no setting, and is ignored; did you mean HEAVYLIFT_SLOTS?" in done.stderr
    assert "OF_MY_OWN" not in done.stderr
