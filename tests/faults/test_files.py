"""Files that do harm, disks that fail: the real handlers, in a real worker, neither fall over nor leave anything.

What is the job's own fault is not tried again; what may pass is. An output is there whole or not at all.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import resource
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from handlers.documents import report
from handlers.images import resize
from handlers.sheets import contact_sheet
from heavylift import Client, Job, JobFailed, JobSpec
from tests.faults.harness import WorkerProcess
from tests.faults.rows import Row
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

StartWorker = Callable[..., WorkerProcess]
HANDLERS = "handlers.images handlers.documents handlers.sheets"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The worker's root. What is beside it is nobody's business."""
    folder = tmp_path / "project"
    folder.mkdir()
    Image.new("RGB", (40, 30), "red").save(folder / "good.png")
    (folder / "good.csv").write_text("month,sales\nMay,1\nJune,2\n")
    return folder


@pytest.fixture
def worker(start_worker: StartWorker, project: Path) -> WorkerProcess:
    return start_worker(module=HANDLERS, slots=1, root=project)


def put(row: Row, client: Client, *specs: JobSpec[Any], **options: Any) -> list[Job[Any]]:
    return row.acknowledged([client.enqueue(spec, **options) for spec in specs])


def rejected(job: Job[Any]) -> str:
    """Why the job was given up at its first attempt."""
    with pytest.raises(JobFailed) as failure:
        job.result(40)
    assert (failure.value.reason, failure.value.cause) == ("rejected", "rejected"), failure.value
    assert job.record().counters.starts == 1
    return failure.value.message


def listing(folder: Path) -> list[str]:
    """All files and folders below, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def noise(size: int) -> Image.Image:
    """A picture that no format makes small."""
    return Image.frombytes("RGB", (size, size), random.Random(size).randbytes(size * size * 3))


# --- what comes in -----------------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")


def many_pixels() -> bytes:
    """A PNG of 20,000 by 20,000 pixels in 390 KB."""
    packer = zlib.compressobj(9)
    row = bytes(20_001)
    data = b"".join(packer.compress(row) for _ in range(20_000)) + packer.flush()
    return png(20_000, 20_000, chunk(b"IDAT", data))


def long_text() -> bytes:
    """A PNG of 9 by 9 pixels with 400 MB of text, packed into 400 KB."""
    text = chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(400_000_000), 9))
    return png(9, 9, text, chunk(b"IDAT", zlib.compress(bytes(90))))


@pytest.mark.row(57)
def test_a_decompression_bomb_is_rejected_and_takes_no_memory(
    any_server: Server, worker: WorkerProcess, client: Client, project: Path, row: Row
) -> None:
    warm = put(row, client, resize.job("good.png", width=9), contact_sheet.job(["good.png"], "warm.pdf"))
    assert all(job.result(40) for job in warm)
    before, there = peaks(worker), listing(project)
    (project / "pixels.png").write_bytes(many_pixels())
    (project / "text.png").write_bytes(long_text())
    row.inject("a PNG of 20,000 by 20,000 pixels; a PNG with 400 MB of packed text")
    for name in ("pixels.png", "text.png"):
        for job in put(row, client, resize.job(name), contact_sheet.job(["good.png", name], "bomb.pdf")):
            assert name in rejected(job)
    assert peaks(worker).keys() == before.keys(), "no process had to be replaced"
    assert max(peaks(worker).values()) < max(before.values()) + 80 * 1024, "KiB at the worst moment"
    assert listing(project) == sorted([*there, "pixels.png", "text.png"])
    row.judge(any_server)


def peaks(worker: WorkerProcess) -> dict[int, int]:
    """The most memory that each process of the worker ever had, in KiB."""
    status = {one.pid: Path(f"/proc/{one.pid}/status").read_text() for one in worker.family()}
    return {pid: int(text.partition("VmHWM:")[2].split()[0]) for pid, text in status.items() if "VmHWM:" in text}


@pytest.mark.row(58)
def test_a_file_that_is_cut_or_broken_is_rejected_and_nothing_is_written(
    any_server: Server, worker: WorkerProcess, client: Client, project: Path, row: Row
) -> None:
    noise(200).save(project / "whole.jpg")
    whole = (project / "whole.jpg").read_bytes()
    (project / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (project / "head.jpg").write_bytes(whole[:20])
    (project / "empty.png").touch()
    (project / "garbage.png").write_bytes(random.Random(1).randbytes(5000))
    (project / "cut.json").write_text('[{"month": "May", "sal')
    (project / "garbage.csv").write_bytes(b"\x00\xff\x00" * 2000)
    there = listing(project)
    row.inject("images cut short, empty or garbage; tables cut short or garbage")
    images = ("cut.jpg", "head.jpg", "empty.png", "garbage.png")
    jobs = [
        *put(row, client, *(resize.job(name, target=f"new/{name}") for name in images)),
        *put(row, client, *(contact_sheet.job(["whole.jpg", name], f"new/{name}.pdf") for name in images)),
        *put(row, client, *(report.job(name, f"new/{name}.pdf") for name in ("cut.json", "garbage.csv"))),
    ]
    for job in jobs:
        assert rejected(job)
    assert listing(project) == there
    assert all(job.result(40) for job in put(row, client, resize.job("whole.jpg"), report.job("good.csv")))
    row.judge(any_server)


@pytest.mark.row(59)
def test_a_path_that_leads_outside_is_rejected_whatever_it_looks_like(
    any_server: Server, worker: WorkerProcess, client: Client, project: Path, tmp_path: Path, row: Row
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    Image.new("RGB", (40, 30), "blue").save(outside / "secret.png")
    (outside / "secret.csv").write_text("a,b\n1,2\n")
    (project / "link.png").symlink_to(outside / "secret.png")
    (project / "link.csv").symlink_to("../outside/secret.csv")
    (project / "out-link").symlink_to(outside)
    (project / "round").symlink_to("round")
    kept, there = {path: path.read_bytes() for path in outside.iterdir()}, listing(project)
    row.inject("../, absolute paths, NUL, links to files and folders outside, a link to itself")
    bad = [
        "../../etc/passwd",
        "../outside/secret",
        "/etc/passwd",
        str(outside / "secret"),
        "good\0",
        "x/../../outside/s",
    ]
    bad += ["out-link/secret", "round/a", "~/a", "a\\..\\..\\b/../../../c"]
    read = [f"{path}.png" for path in bad] + ["link.png"]
    jobs = put(row, client, *(resize.job(path, target="stolen.png") for path in read))
    jobs += put(row, client, *(contact_sheet.job([path], "stolen.pdf") for path in read))
    jobs += put(row, client, *(report.job(f"{path}.csv", "stolen.pdf") for path in bad), report.job("link.csv"))
    written = [path for path in bad if path not in ("~/a", "good\0")]
    jobs += put(row, client, *(resize.job("good.png", target=f"{path}.png") for path in written))
    jobs += put(row, client, *(report.job("good.csv", f"{path}.pdf") for path in written))
    for job in jobs:
        assert rejected(job)
    assert {path: path.read_bytes() for path in outside.iterdir()} == kept
    assert listing(project) == there
    row.judge(any_server)


@pytest.mark.row(59)
@pytest.mark.skipif(sys.platform != "linux", reason="swaps by renameat2")
def test_a_folder_that_is_swapped_for_a_link_while_jobs_run_never_leads_outside(
    any_server: Server, worker: WorkerProcess, client: Client, project: Path, tmp_path: Path, row: Row
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    Image.new("RGB", (99, 30), "blue").save(outside / "a.png")
    before = listing(outside)
    for name in ("in", "out"):
        (project / name).mkdir()
        Image.new("RGB", (40, 30), "red").save(project / name / "a.png")
    row.inject("folders swapped for links to the outside all the time")
    over = threading.Event()
    swapping = threading.Thread(target=swap, args=(project, outside, over))
    swapping.start()
    try:
        jobs = put(row, client, *(resize.job("in/a.png", target=f"out/{n}.png", width=10) for n in range(150)))
        ends = [_end(job) for job in jobs]
    finally:
        over.set()
        swapping.join()
    assert {end for end in ends if end != 40} <= {"rejected"}, "one of the pictures, or a refusal"
    assert 40 in ends
    assert listing(outside) == before
    row.judge(any_server)


def swap(project: Path, outside: Path, over: threading.Event) -> None:
    """Each of the two folders is by turns itself and a link, without a moment in which it is neither."""
    for name in ("in", "out"):
        (project / f"{name}-link").symlink_to(outside)
    while not over.is_set():
        for name in ("in", "out"):
            exchange(project / name, project / f"{name}-link")


def exchange(one: Path, other: Path) -> None:
    """Let two names change places, in one step."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(AT_FDCWD, bytes(one), AT_FDCWD, bytes(other), RENAME_EXCHANGE):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


AT_FDCWD, RENAME_EXCHANGE = -100, 2


def _end(job: Job[Any]) -> Any:
    """The width of the picture that was read, or why there was none."""
    try:
        return job.result(60)["source_width"]
    except JobFailed as failure:
        return failure.reason


# --- where it goes -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system of its own for a while."""
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextlib.contextmanager
def small_disk(worker: WorkerProcess, folder: Path) -> Iterator[Callable[[], None]]:
    """A disk of 1 MB; call what you get to have it grow."""
    with mounted(folder, "size=1m"):
        yield lambda: subprocess.run(["mount", "-o", "remount,size=64m", folder], check=True) and None


@contextlib.contextmanager
def small_files(worker: WorkerProcess, folder: Path) -> Iterator[Callable[[], None]]:
    """No file of the worker's processes may have more than 1 MB; call what you get to allow it."""

    def limit(size: int) -> None:
        for process in worker.family():
            process.rlimit(psutil.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    limit(1 << 20)
    yield lambda: limit(resource.RLIM_INFINITY)


@pytest.mark.row(60)
@pytest.mark.parametrize("limited", [small_disk, small_files], ids=["a disk of 1 MB", "RLIMIT_FSIZE of 1 MB"])
def test_a_full_disk_is_tried_again_and_never_leaves_half_a_file(
    limited: Any, any_server: Server, worker: WorkerProcess, client: Client, project: Path, row: Row
) -> None:
    disk = project / "disk"
    disk.mkdir()
    noise(1200).save(project / "large.bmp")
    with limited(worker, disk) as grow:
        row.inject("a disk of 1 MB" if limited is small_disk else "RLIMIT_FSIZE of 1 MB")
        Image.new("RGB", (40, 30), "red").save(disk / "earlier.png")
        earlier = (disk / "earlier.png").read_bytes()
        wide = {"width": 1200, "quality": 100}
        options = {"retries": 50, "backoff": [0.2]}
        new, over = put(
            row,
            client,
            resize.job("large.bmp", target="disk/new.png", **wide),
            resize.job("large.bmp", target="disk/earlier.png", **wide),
            **options,
        )
        for job in (new, over):
            wait_until("it has failed twice", lambda job=job: job.record().counters.attempts >= 2, timeout=40)
            assert {attempt.cause for attempt in job.record().attempts} == {"error"}
        assert listing(disk) == ["earlier.png"]
        assert (disk / "earlier.png").read_bytes() == earlier
        grow()
        row.clear()
        for job, name in ((new, "new.png"), (over, "earlier.png")):
            job.promote()
            assert job.result(40)["width"] == 1200
            with Image.open(disk / name) as made:
                made.load()
                assert made.size == (1200, 1200)
        assert listing(disk) == ["earlier.png", "new.png"]
    row.judge(any_server)


@pytest.mark.row(61)
@pytest.mark.parametrize("how", ["read-only file system", "folder of another's"])
def test_a_folder_that_may_not_be_written_is_said_at_once_and_not_tried_again(
    how: str, any_server: Server, worker: WorkerProcess, client: Client, project: Path, row: Row
) -> None:
    shut = project / "shut"
    shut.mkdir()
    row.inject(f"the output in a {how}")
    with mounted(shut, "ro") if how.startswith("read-only") else denied(shut):
        jobs = put(
            row,
            client,
            resize.job("good.png", target="shut/a.png"),
            contact_sheet.job(["good.png"], "shut/a.pdf"),
            report.job("good.csv", "shut/deeper/a.pdf"),
        )
        for job in jobs:
            assert "shut" in (why := rejected(job))
            assert "read-only" in why.lower() or "permi" in why.lower()
        assert list(shut.iterdir()) == []
    row.judge(any_server)


@contextlib.contextmanager
def denied(folder: Path) -> Iterator[None]:
    """Nobody may write here; modes do not count for root, an immutable folder does."""
    if os.geteuid():
        folder.chmod(0o555)
        yield
        folder.chmod(0o755)
        return
    if subprocess.run(["chattr", "+i", folder], capture_output=True, check=False).returncode:
        pytest.skip("root may write everywhere, and this file system knows no immutable folders")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", folder], check=True)
