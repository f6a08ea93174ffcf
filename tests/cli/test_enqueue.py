"""`heavylift enqueue`, from outside."""

from __future__ import annotations

from typing import Any

import pytest

from heavylift.states import ENDED
from tests.cli.harness import Project
from tests.waiting import wait_until


def args_of(project: Project, id: str) -> Any:
    (record,) = project.json("job", id)
    return record["args"]


def test_each_value_is_a_job_and_its_id_is_printed(project: Project) -> None:
    done = project.run("enqueue", "echo", "one", "two", "--times", "2")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.split()
    assert args_of(project, first) == {"text": "one", "times": 2}
    assert args_of(project, second) == {"text": "two", "times": 2}


def test_what_is_not_said_is_left_to_the_function(project: Project) -> None:
    (job,) = project.json("enqueue", "echo", "one")
    assert args_of(project, job["id"]) == {"text": "one"}


def test_an_option_of_the_job_wins_over_a_parameter_of_its_name(project: Project) -> None:
    (job,) = project.json("enqueue", "echo", "one", "--timeout", "7", "--arg", "timeout=5")
    (record,) = project.json("job", job["id"])
    assert record["args"] == {"text": "one", "timeout": "5"}
    assert record["options"]["timeout"] == 7


def test_flags_choices_lists_and_json(project: Project) -> None:
    (echo,) = project.json("enqueue", "echo", "one", "--shout", "--mode", "b")
    (add,) = project.json("enqueue", "add", "1", "2", "--extra", '{"x": 3}')
    assert args_of(project, echo["id"]) == {"text": "one", "shout": True, "mode": "b"}
    assert args_of(project, add["id"]) == {"numbers": [1, 2], "extra": {"x": 3}}


def test_options_of_the_job_are_kept_with_it(project: Project) -> None:
    options = ["--delay", "60", "--priority", "3", "--id", "mine", "--tag", "a", "--tag", "b", "--retries", "9"]
    (job,) = project.json("enqueue", "echo", "one", *options, "--correlation-id", "order-1")
    assert job["id"] == "mine"
    (record,) = project.json("job", "mine")
    assert (record["state"], record["priority"]) == ("delayed", 3)
    said = record["options"]
    assert (said["tags"], said["retries"], said["correlation_id"]) == (["a", "b"], 9, "order-1")


def test_how_it_is_tried_again_stopped_and_kept_goes_with_the_job(project: Project) -> None:
    said = ["--backoff", "1,5,30", "--grace", "2", "--keep", "60", "--keep-failed", "90"]
    (job,) = project.json("enqueue", "echo", "one", *said)
    options = project.json("job", job["id"])[0]["options"]
    assert (options["backoff"]["delays"], options["grace"]) == ([1.0, 5.0, 30.0], 2.0)
    assert (options["keep"], options["keep_failed"]) == (60.0, 90.0)


@pytest.mark.parametrize("waits", ["soon", "1,", "-1", "nan"])
def test_a_backoff_that_cannot_be_meant_is_refused_by_name(project: Project, waits: str) -> None:
    done = project.run("enqueue", "echo", "one", "--backoff", waits)
    assert (done.returncode, "--backoff" in done.stderr) == (2, True), done.stderr


def test_a_job_waits_for_those_it_is_put_after(project: Project) -> None:
    (first,) = project.json("enqueue", "refuse", "no good")
    (second,) = project.json("enqueue", "echo", "one")
    waits = ["--after", first["id"], "--after", second["id"], "--on-parent-failure", "run", "--flow", "mine"]
    (last,) = project.json("enqueue", "echo", "last", *waits)
    (record,) = project.json("job", last["id"])
    assert (record["state"], record["flow"]) == ("blocked", "mine")
    project.worker()
    wait_until("it has run, whatever became of its parents", lambda: _ended(project, last["id"]))
    assert project.json("job", last["id"])[0]["state"] == "completed"


def test_a_job_after_one_that_is_not_there_is_refused(project: Project) -> None:
    done = project.run("enqueue", "echo", "one", "--after", "nobody")
    assert (done.returncode, "nobody" in done.stderr) == (1, True), done.stderr
    assert project.json("status")[0]["queues"] == []


def _ended(project: Project, id: str) -> bool:
    return project.json("job", id)[0]["state"] in ENDED


def test_the_same_id_again_is_a_duplicate(project: Project) -> None:
    (first,) = project.json("enqueue", "echo", "one", "--id", "mine")
    (second,) = project.json("enqueue", "echo", "two", "--id", "mine")
    assert (first["duplicate"], second["duplicate"]) == (False, True)


def test_of_a_duplicate_it_is_said_beside_its_id(project: Project) -> None:
    assert "already" not in project.run("enqueue", "echo", "one", "--id", "mine").stderr
    again = project.run("enqueue", "echo", "two", "--id", "mine")
    assert again.stdout == "mine\n", "programs read it"
    assert "mine was there already" in again.stderr


def test_who_waits_is_told_of_duplicates_too(project: Project) -> None:
    project.worker()
    first = project.run("enqueue", "echo", "one", "--id", "mine", "--wait")
    again = project.run("enqueue", "echo", "two", "--id", "mine", "--wait")
    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert "already" not in first.stderr
    assert "mine was there already" in again.stderr
    told = project.json("enqueue", "echo", "three", "three", "--unique", "arguments", "--wait")
    told += project.json("enqueue", "echo", "two", "--id", "mine", "--wait")
    assert [(job["state"], job["duplicate"]) for job in told] == [("completed", True)] * 2
    (fresh,) = project.json("enqueue", "echo", "four", "--wait")
    assert not fresh["duplicate"]


def test_a_job_that_could_never_start_in_time_is_refused(project: Project) -> None:
    done = project.run("enqueue", "echo", "one", "--delay", "7200", "--expires", "60")
    assert done.returncode == 2
    assert "delay=7200" in done.stderr


def test_one_id_is_not_for_two_jobs(project: Project) -> None:
    done = project.run("enqueue", "echo", "one", "two", "--id", "mine")
    assert done.returncode == 2
    assert "is for one job" in done.stderr


def test_a_handler_without_code_here_is_enqueued_by_name(project: Project) -> None:
    (job,) = project.json("enqueue", "elsewhere", "--args", '{"x": [1]}', "--queue", "far")
    (record,) = project.json("job", job["id"])
    assert (record["handler"], record["queue"], record["args"]) == ("elsewhere", "far", {"x": [1]})


def test_an_unknown_handler_names_the_known_ones(project: Project) -> None:
    done = project.run("enqueue", "ecko", "one")
    assert done.returncode == 2
    assert "ecko" in done.stderr
    assert "echo" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_of_a_handler_shows_its_parameters_and_their_words(project: Project) -> None:
    shown = " ".join(project.run("enqueue", "echo", "--help").stdout.replace("│", " ").split())
    for text in ("--times", "how often", "Say it again", "--shout", "--delay", "what to say"):
        assert text in shown


def test_an_argument_that_does_not_fit_is_refused_by_name(project: Project) -> None:
    done = project.run("enqueue", "add", "1", "--extra", '{"x": "y"}')
    assert done.returncode == 2
    assert "extra" in done.stderr
    assert project.json("status")[0]["queues"] == []


def test_files_are_named_from_the_root_wherever_one_stands(project: Project) -> None:
    (project.folder / "sub").mkdir()
    (project.folder / "sub" / "a.txt").touch()
    done = project.run("enqueue", "copy", "a.txt", cwd=project.folder / "sub")
    assert args_of(project, done.stdout.strip()) == {"source": "sub/a.txt"}


def test_options_of_every_command_may_stand_before_it_or_after_it(project: Project) -> None:
    url, project.url = project.url or "", "redis://127.0.0.1:1"
    before = project.run("--redis", url, "--prefix", "other", "enqueue", "echo", "one")
    after = project.run("enqueue", "--redis", url, "echo", "one", "--prefix", "other")
    assert (before.returncode, after.returncode) == (0, 0), before.stderr + after.stderr
    (status,) = project.json("status", "--redis", url, "--prefix", "other")
    assert status["queues"][0]["counts"]["waiting"] == 2


# --- waiting ------------------------------------------------------------------------------------------


def test_waiting_shows_the_results(project: Project) -> None:
    project.worker()
    done = project.run("enqueue", "echo", "one", "two", "--wait")
    assert done.returncode == 0, done.stderr
    assert "said: one" in done.stdout
    assert "said: two" in done.stdout
    assert "completed" in done.stdout


def test_waiting_for_json_gives_each_job_as_it_ends(project: Project) -> None:
    project.worker()
    records = project.json("enqueue", "echo", "one", "two", "--wait")
    assert [record["state"] for record in records] == ["completed"] * 2
    assert {record["result"]["said"] for record in records} == {"one", "two"}


def test_a_failed_job_fails_the_command_and_says_why(project: Project) -> None:
    project.worker()
    done = project.run("enqueue", "refuse", "no good", "--wait")
    assert done.returncode == 1
    assert "rejected" in done.stdout
    assert "no good" in done.stdout


def test_a_job_that_nobody_takes_is_enqueued_and_that_is_said(project: Project) -> None:
    done = project.run("enqueue", "echo", "one")
    assert (done.returncode, len(done.stdout.split())) == (0, 1)
    assert "no worker serves the queue default now; to start one:" in done.stderr
    assert "did you mean default?" in project.run("enqueue", "echo", "one", "--queue", "defualt").stderr


def test_waiting_for_nobody_is_said(project: Project) -> None:
    waiting = project.terminal("enqueue", "echo", "one", "--wait", width=200)
    waiting.wait_for("no worker serves the queue default now")
    project.worker()
    assert waiting.wait() == 0


def test_many_jobs_are_summed_up(project: Project) -> None:
    project.worker()
    done = project.run("enqueue", "echo", *map(str, range(150)), "--wait")
    assert done.returncode == 0, done.stderr
    assert "all 150 completed" in done.stdout


def test_a_unique_job_is_a_duplicate_with_the_id_of_the_first(project: Project) -> None:
    (first,) = project.json("enqueue", "echo", "one", "--unique", "k")
    (second,) = project.json("enqueue", "echo", "two", "--unique", "k", "--unique-until", "started")
    assert (first["duplicate"], second["duplicate"], second["id"]) == (False, True, first["id"])
    same = project.json("enqueue", "echo", "three", "three", "--unique", "arguments")
    assert [job["duplicate"] for job in same] == [False, True]


def test_a_debounced_job_has_the_last_arguments(project: Project) -> None:
    debounced = ["--unique", "k", "--debounce", "60", "--max-wait", "90"]
    (first,) = project.json("enqueue", "echo", "one", *debounced)
    (second,) = project.json("enqueue", "echo", "two", *debounced)
    assert second == {**first, "duplicate": True}
    assert args_of(project, first["id"]) == {"text": "two"}


def test_a_window_lets_one_job_through(project: Project) -> None:
    (first,) = project.json("enqueue", "echo", "one", "--unique", "k", "--unique-window", "60")
    (second,) = project.json("enqueue", "echo", "two", "--unique", "k", "--unique-window", "60")
    assert second == {**first, "duplicate": True}


def test_a_secret_is_shown_nowhere(project: Project) -> None:
    done = project.run("enqueue", "echo", "Hunter2", "--secret", "text", "--id", "mine")
    shown = [done.stdout, *(project.run(*words).stdout for words in (["job", "mine"], ["job", "mine", "--json"]))]
    assert not any("Hunter2" in text for text in shown)
    assert args_of(project, "mine") == {"text": "[secret]"}


def test_a_server_that_cannot_tell_what_is_on_disk_is_refused(project: Project) -> None:
    done = project.run("enqueue", "echo", "one", "--durable", "fsync", "--id", "mine")
    assert done.returncode != 0
    assert "durable='fsync' needs" in done.stderr
    assert project.run("job", "mine").returncode != 0
