"""The commands that look and repair, from outside."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from heavylift import Client, JobSpec, chain
from heavylift.client.plan import ask
from tests.cli.harness import Project
from tests.servers import Server
from tests.waiting import wait_until


def enqueue(project: Project, *args: str) -> str:
    (job,) = project.json("enqueue", *args)
    return str(job["id"])


def state(project: Project, id: str) -> str:
    return str(project.json("job", id)[0]["state"])


def failed_job(project: Project) -> str:
    project.worker()
    (record,) = project.json("enqueue", "fail", "broken", "--wait", code=1)
    return str(record["id"])


def test_status_shows_queues_workers_and_server(project: Project) -> None:
    project.worker()
    enqueue(project, "echo", "later", "--delay", "100")
    (status,) = project.json("status")
    (queue,) = [queue for queue in status["queues"] if queue["name"] == "default"]
    assert (queue["lane"], queue["counts"]["delayed"], len(queue["workers"])) == ("io", 1, 1)
    assert len(status["workers"]) == 1
    shown = project.run("status").stdout
    for word in ("default", "delayed", "worker", "clients"):
        assert word in shown


def test_status_of_nothing_is_no_error(project: Project) -> None:
    done = project.run("status")
    assert done.returncode == 0
    assert "no queues yet" in done.stdout
    assert "no worker is running" in done.stdout


@pytest.mark.parametrize(
    "words", [("pause", "default", "--json"), ("limit", "default"), ("limit", "default", "--lift")]
)
def test_a_queue_that_was_never_used_is_named_with_what_may_be_meant(project: Project, words: tuple[str, ...]) -> None:
    project.run("enqueue", "echo", "one")
    known, unknown = project.run(*words), project.run(words[0], "defualt", *words[2:])
    assert (known.returncode, unknown.returncode) == (0, 0)
    assert "did you mean" not in known.stderr
    assert "no queue was called defualt until now; did you mean default?" in unknown.stderr


def test_what_does_nothing_says_so(project: Project) -> None:
    project.run("enqueue", "echo", "one")
    assert "there was no such limit" in project.run("limit", "default", "--lift").stderr
    project.run("limit", "default", "--concurrency", "2")
    assert "there was no such limit" not in project.run("limit", "default", "--lift").stderr
    assert "nothing was put back" in project.run("failed", "replay", "--all").stdout


def test_dead_letters_can_be_read_in_a_narrow_terminal(project: Project) -> None:
    id = failed_job(project)
    terminal = project.terminal("failed", width=80)
    assert terminal.wait() == 0
    head, said = terminal.text.splitlines()
    assert (head.split()[0], *head.split()[-2:]) == (id, "fail", "exhausted")
    assert said.rstrip() == "  ValueError: broken"


@pytest.mark.parametrize("words", [("failed", "--queue", "cpu"), ("schedule", "--queue", "cpu")])
def test_options_of_a_list_may_stand_without_its_name_but_not_before_another(
    project: Project, words: tuple[str, ...]
) -> None:
    if words[0] == "failed":
        failed_job(project)
    assert project.json(*words) == []
    done = project.run(*words, "list")
    assert (done.returncode, "give its options behind it" in done.stderr) == (2, True), done.stderr


def test_status_says_that_nobody_serves_a_queue(project: Project) -> None:
    enqueue(project, "echo", "one")
    assert "none" in project.run("status").stdout


def test_how_ended_jobs_are_kept_is_set_and_shown(project: Project) -> None:
    (said,) = project.json("keep", "default", "--completed", "60", "--failed-count", "5")
    assert said["retention"] == {"completed": 60.0, "failed": None, "completed_count": None, "failed_count": 5}
    shown = project.run("keep", "default").stdout
    assert "1 min" in shown
    assert "by hand" in shown
    assert project.run("keep", "default", "--failed-count", "many").returncode == 2
    (said,) = project.json("keep", "default", "--completed", "default", "--failed-count", "default")
    assert set(said["retention"].values()) == {None}


def test_a_job_says_why_it_does_not_run(project: Project) -> None:
    id = enqueue(project, "echo", "one")
    project.run("pause", "default")
    shown = project.run("why", id).stdout
    assert "queue default is paused" in shown
    assert "no worker serves queue default" in shown
    assert "queue default is paused" in project.run("job", id).stdout
    (said,) = project.json("why", id)
    assert [reason["because"] for reason in said["reasons"]] == ["Paused", "Unserved", "InLine"]


def test_a_job_is_shown_with_its_attempts_log_and_traceback(project: Project) -> None:
    shown = project.run("job", failed_job(project)).stdout
    for text in ("failed", "exhausted", "ValueError: broken", "about to fail", "Traceback", "fail", "attempt"):
        assert text in shown


def test_dead_letters_are_listed_by_queue_reason_and_handler(project: Project) -> None:
    id = failed_job(project)
    assert [record["id"] for record in project.json("failed", "list", "--reason", "exhausted")] == [id]
    assert [record["id"] for record in project.json("failed")] == [id]
    assert project.json("failed", "list", "--reason", "poison") == []
    assert project.json("failed", "list", "--queue", "cpu") == []
    assert project.json("failed", "list", "--handler", "echo") == []
    assert "ValueError: broken" in project.run("failed").stdout.replace("\n", " ")
    assert "Traceback" in project.run("failed", "show", id).stdout


@pytest.mark.parametrize("which", [["--all"], ["--reason", "exhausted"], ["--queue", "default"], ["ID"]])
def test_dead_letters_are_replayed(project: Project, which: list[str]) -> None:
    id = failed_job(project)
    assert project.json("failed", "replay", *(id if word == "ID" else word for word in which)) == [
        {"replayed": 1, "held": []}
    ]
    wait_until("it has failed again", lambda: state(project, id) == "failed")


def test_replaying_nothing_in_particular_is_refused(project: Project) -> None:
    assert project.run("failed", "replay").returncode == 2


def test_a_dead_letter_is_replayed_with_one_argument_changed(project: Project) -> None:
    id = failed_job(project)
    assert project.json("failed", "replay", id, "--arg", "text=again") == [{"replayed": 1, "held": []}]
    wait_until("it has failed again", lambda: state(project, id) == "failed")
    (record,) = project.json("job", id)
    assert (record["args"], record["original_args"]) == ({"text": "again"}, {"text": "broken"})
    assert record["attempts"][-1]["message"] == "again"


def test_what_is_not_changed_of_a_dead_letter_stays_secrets_too(project: Project) -> None:
    id = enqueue(project, "echo", "hush", "--times", "2", "--secret", "text", "--expires", "0")
    project.worker()
    wait_until("it has expired", lambda: state(project, id) == "failed")
    assert project.json("failed", "replay", id, "--arg", "times=3") == [{"replayed": 1, "held": []}]
    with Client(project.url) as client:
        stored = client.shell.run(ask(client.plans.jobs.raw("default", id), client.plans.patience))
    assert b'"args":{"text":"hush","times":3}' in stored[b"spec"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ID", "--arg", "txt=again"], "did you mean text"),
        (["ID", "--arg", "text"], "NAME=VALUE"),
        (["ID", "--args", '{"txt": 1}'], "txt"),
        (["ID", "--args", "[1]"], "JSON object"),
        (["--all", "--arg", "text=again"], "name the jobs"),
        (["ID", "--reason", "exhausted", "--arg", "text=again"], "name the jobs"),
    ],
)
def test_other_arguments_that_cannot_be_meant_are_refused(project: Project, words: list[str], said: str) -> None:
    id = failed_job(project)
    done = project.run("failed", "replay", *(id if word == "ID" else word for word in words))
    assert (done.returncode, said in " ".join(done.stderr.split())) == (2, True), done.stderr
    assert state(project, id) == "failed"


def test_dead_letters_are_counted_by_fault(project: Project) -> None:
    id = failed_job(project)
    (group,) = project.json("failed", "groups")
    assert (group["count"], group["example"]["id"], len(group["name"]) > 4) == (1, id, True)
    assert "ValueError: broken" in project.run("failed", "groups", "--by", "reason").stdout.replace("\n", " ")
    assert [r["id"] for r in project.json("failed", "list", "--fingerprint", group["name"], "--text", "BROKEN")] == [id]
    assert project.json("failed", "list", "--until", "2020-01-01") == []


def test_dead_letters_are_listed_page_by_page(project: Project) -> None:
    first = failed_job(project)
    second = enqueue(project, "fail", "later", "--retries", "0")
    wait_until("it has failed too", lambda: state(project, second) == "failed")
    assert [one["id"] for one in project.json("failed", "list", "--limit", "1")] == [second]
    assert [one["id"] for one in project.json("failed", "list", "--limit", "1", "--offset", "1")] == [first]
    assert "--offset 2" in project.run("failed", "list", "--limit", "1", "--offset", "1").stdout


def test_dead_letters_are_purged_after_a_count(project: Project) -> None:
    id = failed_job(project)
    assert project.run("failed", "purge").returncode == 2
    assert project.json("failed", "purge", "--reason", "exhausted", "--dry-run") == [{"found": 1}]
    refused = project.run("failed", "purge", "--all")
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
    assert state(project, id) == "failed"
    assert project.json("failed", "purge", "--all", "--yes") == [{"purged": 1}]
    assert project.json("failed") == []


def test_a_job_gets_another_time_and_another_priority_and_another_life(project: Project) -> None:
    id = enqueue(project, "echo", "one")
    (moved,) = project.json("reschedule", id, "--delay", "100")
    assert (moved["how"], moved["was"]) == ("rescheduled", "waiting")
    assert state(project, id) == "delayed"
    assert project.json("priority", id, "--to", "-2") == [
        {"id": id, "how": "priority changed", "was": 0, "priority": -2}
    ]
    assert project.json("retry", id) == [{"id": id, "how": "not ended"}]
    project.json("cancel", id)
    assert "is cancelled" in project.run("reschedule", id, "--delay", "1").stdout
    assert project.json("retry", id) == [{"id": id, "how": "retried"}]
    assert state(project, id) == "waiting"


def test_a_job_is_retried_with_other_arguments(project: Project) -> None:
    id = enqueue(project, "echo", "one", "--times", "2")
    project.json("cancel", id)
    assert project.json("retry", id, "--arg", "times=3") == [{"id": id, "how": "retried"}]
    assert project.json("job", id)[0]["args"] == {"text": "one", "times": 3}
    project.json("cancel", id)
    assert project.json("retry", id, "--args", '{"text": "two"}') == [{"id": id, "how": "retried"}]
    assert project.json("job", id)[0]["args"] == {"text": "two"}


def test_other_arguments_that_do_not_fit_have_nothing_retried(project: Project) -> None:
    first, second = enqueue(project, "echo", "one"), enqueue(project, "fail", "two")
    project.json("cancel", first, second)
    done = project.run("retry", first, second, "--arg", "times=3")  # only the first one takes it
    assert (done.returncode, "times" in done.stderr) == (2, True), done.stderr
    assert (state(project, first), state(project, second)) == ("cancelled", "cancelled")


def test_a_waiting_job_is_cancelled(project: Project) -> None:
    id = enqueue(project, "echo", "one")
    assert project.json("cancel", id) == [{"id": id, "how": "cancelled"}]
    assert state(project, id) == "cancelled"
    assert project.json("cancel", id) == [{"id": id, "how": "ended"}]


def test_a_running_job_is_asked_to_stop(project: Project) -> None:
    project.worker()
    id = enqueue(project, "hold", "job")
    wait_until("it has begun", lambda: project.exists("job.began"))
    assert project.json("cancel", id) == [{"id": id, "how": "asked"}]
    wait_until("it is cancelled", lambda: state(project, id) == "cancelled")


def test_a_delayed_job_is_promoted(project: Project) -> None:
    id = enqueue(project, "echo", "one", "--delay", "100")
    assert project.json("promote", id) == [{"id": id, "how": "promoted"}]
    assert state(project, id) == "waiting"


def test_a_job_is_removed(project: Project) -> None:
    id = enqueue(project, "echo", "one")
    assert project.json("remove", id) == [{"id": id, "how": "removed"}]
    done = project.run("job", id)
    assert done.returncode == 1
    assert id in done.stderr


def test_a_queue_is_paused_and_resumed(project: Project) -> None:
    id = enqueue(project, "echo", "one")
    project.json("pause", "default")
    assert "paused" in project.run("status").stdout
    project.worker("--queues", "default")
    assert state(project, id) == "waiting"
    assert project.json("resume", "default") == [{"queue": "default", "how": "resumed"}]
    assert project.json("watch", id)[-1]["event"] == "completed"


def test_a_worker_is_paused_resumed_and_scaled(project: Project) -> None:
    project.worker("--queues", "default")
    (worker,) = project.json("status")[0]["workers"]
    id = worker["id"]
    assert project.json("pause", "--worker", id) == [{"worker": id, "how": "paused"}]
    assert "quiet" in project.run("status").stdout
    assert project.json("resume", "--worker", id) == [{"worker": id, "how": "resumed"}]
    assert project.json("scale", id, "--places", "7") == [{"worker": id, "lanes": {"io": 7}}]
    assert "of 7" in project.run("status").stdout
    assert "no worker 'nobody' is alive" in project.run("scale", "nobody", "--places", "7").stderr
    assert "name a queue, or a worker" in project.run("pause").stderr


def test_a_job_is_watched_to_its_end(project: Project) -> None:
    project.worker()
    id = enqueue(project, "hold", "job")
    wait_until("it has begun", lambda: project.exists("job.began"))
    project.touch("job.go")
    events = [event["event"] for event in project.json("watch", id)]
    assert events[-1] == "completed"


def test_a_queue_is_watched_for_a_while(project: Project) -> None:
    enqueue(project, "echo", "one", "--delay", "100")
    assert project.run("watch", "default", "--timeout", "0.2").returncode == 0


def test_handlers_are_listed(project: Project) -> None:
    (echo,) = [found for found in project.json("handlers") if found["name"] == "echo"]
    assert (echo["lane"], echo["queue"], echo["parameters"][0]["help"]) == ("io", "default", "what to say.")
    assert "Say it again." in project.run("handlers").stdout.replace("\n", " ")


def test_settings_say_who_said_them(project: Project) -> None:
    (project.folder / "heavylift.toml").write_text("places = 7\n")
    found = {line["name"]: (line["value"], line["source"]) for line in project.json("settings", "--prefix", "other")}
    assert found["places"] == (7, "heavylift.toml")
    assert found["prefix"] == ("other", "command line")
    assert found["redis_url"][1] == "HEAVYLIFT_REDIS_URL"
    assert found["sweep"] == (5.0, "default")


def test_settings_hide_the_password(project: Project) -> None:
    shown = project.run("settings", "--redis", "redis://:secret@host:1/0").stdout
    assert "secret" not in shown


def test_an_effect_is_shown_settled_and_forgotten(project: Project) -> None:
    assert project.json("once", "charge:42", "--done", '{"receipt": 7}') == [{"key": "charge:42", "how": "done"}]
    (record,) = project.json("once", "charge:42")
    assert (record["how"], record["result"]) == ("done", {"receipt": 7})
    assert "receipt" in project.run("once", "charge:42").stdout
    assert project.json("once", "charge:42", "--forget")[0]["how"] == "forgotten"
    unknown = project.run("once", "charge:42").stderr
    assert "nothing is known of 'charge:42'" in unknown
    assert "heavylift status" not in unknown, "it is no job that is missing"


def test_a_flow_is_shown_cancelled_and_retried(project: Project) -> None:
    with Client(project.url) as client:
        echo = [JobSpec("echo", {"text": text}) for text in "abc"]
        flow = client.enqueue_flow(chain(*echo), id="tale")
        shown = project.run("flow", "tale").stdout
        assert "2 blocked" in shown
        assert flow.jobs[2].id in shown
        assert flow.jobs[1].id in project.run("job", flow.jobs[2].id).stdout, "what it waits for"
        assert project.json("flow", "tale", "--cancel") == [{"id": "tale", "cancelled": 3}]
        assert project.json("flow", "tale", "--retry") == [{"id": "tale", "retried": 3}]
        project.worker()
        assert flow.result(timeout=20)["said"] == "c"
        assert [job["state"] for job in project.json("flow", "tale")] == ["completed"] * 3
    assert project.run("flow", "nobody").returncode == 1
    assert project.run("flow", "tale", "--cancel", "--retry").returncode == 2


def test_limits_are_set_shown_and_lifted(project: Project) -> None:
    (said,) = project.json(
        "limit", "mail", "--group", "send", "--per-key", "--concurrency", "2", "--rate", "10/s", "--burst", "5"
    )
    assert said["limits"] == [
        {
            "group": "send",
            "per_key": True,
            "concurrency": 2,
            "rate": {"count": 10, "seconds": 1, "burst": 5},
            "declared": False,
        }
    ]
    (said,) = project.json("limit", "mail", "--concurrency", "50", "--order", "fair", "--step", "strict")
    assert (said["order"], said["step"], len(said["limits"])) == ("fair", 7e6, 2)
    shown = project.run("limit").stdout
    for text in ("mail", "order fair", "strict", "the queue", "50", "each key of send", "10/s", "by hand"):
        assert text in shown
    shown = project.run("status").stdout
    for text in ("fair", "50 at once", "1 limit"):
        assert text in shown
    (said,) = project.json("limit", "mail", "--group", "send", "--per-key", "--lift")
    assert [one["group"] for one in said["limits"]] == [None]
    assert "no limits" in project.run("limit", "mail", "--lift").stdout


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--concurrency", "2"], "say of which queue"),
        (["mail", "--group", "send"], "say what to limit"),
        (["mail", "--concurrency", "few"], "give a whole number, or unlimited"),
        (["mail", "--rate", "often"], "100/min"),
        (["mail", "--burst", "3"], "goes with rate"),
        (["mail", "--step", "soon"], "give seconds, or strict"),
    ],
)
def test_a_limit_that_cannot_be_meant_is_refused(project: Project, args: list[str], expected: str) -> None:
    done = project.run("limit", *args)
    assert done.returncode == 2
    assert expected in " ".join(done.stderr.split())


def test_a_schedule_is_written_listed_paused_run_and_removed(project: Project) -> None:
    (written,) = project.json(
        "schedule", "set", "nightly", "echo", "0 3 * * *", "--arg", "text=hello", "--tz", "Asia/Tokyo"
    )
    assert (written["times"], written["args"]) == ("0 3 * * * Asia/Tokyo", {"text": "hello"})
    assert [one["name"] for one in project.json("schedule", "list")] == ["nightly"]
    assert "nightly" in project.run("schedule").stdout
    assert project.json("schedule", "pause", "nightly") == [{"name": "nightly", "how": "paused"}]
    assert project.json("schedule", "list")[0]["paused"] is True
    assert project.json("schedule", "resume", "nightly") == [{"name": "nightly", "how": "resumed"}]
    (ran,) = project.json("schedule", "run", "nightly")
    assert state(project, ran["how"].removeprefix("job ")) == "waiting"
    assert project.json("schedule", "remove", "nightly") == [{"name": "nightly", "how": "removed"}]
    refused = project.run("schedule", "set", "x", "echo", "every tuesday", "--arg", "text=a")
    assert (refused.returncode, "every tuesday" in refused.stderr) == (2, True)
    assert project.run("schedule", "pause", "nightly").returncode == 1


def test_a_schedule_that_cannot_be_read_is_listed_as_such_beside_the_others(
    project: Project, any_server: Server
) -> None:
    for name in ("broken", "whole"):
        project.json("schedule", "set", name, "echo", "@daily", "--arg", "text=x")
    with any_server.client() as redis:
        redis.hset("heavylift:{default}:schedule:broken", "times", '{"times": {"kind": "tides"}}')
    broken, whole = project.json("schedule", "list")
    assert (broken["name"], broken["times"], broken["kind"]) == ("broken", None, None)
    assert "tides" in broken["unreadable"]
    assert (whole["name"], whole["times"], whole["unreadable"]) == ("whole", "@daily", "")
    listed = project.run("schedule")
    assert (listed.returncode, "tides" in listed.stdout, "whole" in listed.stdout) == (0, True, True)
    assert project.json("schedule", "remove", "broken") == [{"name": "broken", "how": "removed"}]


def test_a_schedule_has_bounds_and_its_jobs_have_options(project: Project) -> None:
    said = ["--priority", "-3", "--retries", "7", "--timeout", "9", "--tag", "a", "--key", "k", "--expires", "60"]
    said += ["--backoff", "2", "--grace", "3", "--keep-failed", "90"]
    between = ["--start", "2100-01-01T03:00:00", "--end", "2100-01-02"]
    (written,) = project.json("schedule", "set", "s", "echo", "@daily", "--arg", "text=x", *said, *between)
    start = datetime(2100, 1, 1, 3).astimezone()
    assert datetime.fromisoformat(written["start"]) == start
    assert [datetime.fromisoformat(tick) for tick in written["upcoming"]] == [datetime(2100, 1, 2, tzinfo=UTC)]
    (ran,) = project.json("schedule", "run", "s")
    (job,) = project.json("job", ran["how"].removeprefix("job "))
    options = job["options"]
    assert (job["priority"], options["retries"], options["timeout"], options["tags"]) == (-3, 7, 9.0, ["a"])
    assert (options["backoff"]["delays"], options["grace"], options["keep_failed"]) == ([2.0], 3.0, 90.0)
    again = ["schedule", "set", "s", "echo", "@daily", "--arg", "text=x"]
    assert project.json(*again)[0]["start"] is None
    refused = project.run(*again, "--end", "2001-01-01")
    assert (refused.returncode, "leaves no tick" in refused.stderr) == (2, True)


def test_a_schedule_of_a_handler_without_code_here_is_written_by_name(project: Project) -> None:
    refused = project.run("schedule", "set", "far", "elsewhere", "@daily")
    assert (refused.returncode, "--args" in refused.stderr) == (2, True), refused.stderr
    (written,) = project.json("schedule", "set", "far", "elsewhere", "@daily", "--args", '{"x": [1]}', "--queue", "q")
    assert (written["handler"], written["queue"], written["args"]) == ("elsewhere", "q", {"x": [1]})
    (here,) = project.json("schedule", "set", "near", "echo", "@daily", "--args", '{"text": "a"}', "--arg", "times=2")
    assert here["args"] == {"text": "a", "times": 2}
    wrong = project.run("schedule", "set", "near", "echo", "@daily", "--args", '{"txt": "a"}')
    assert (wrong.returncode, "txt" in wrong.stderr) == (2, True), wrong.stderr
