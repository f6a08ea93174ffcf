"""Files named in jobs: nothing outside the roots is touched, nothing half-written is left."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heavylift.errors import Reject, Stop
from heavylift.files import Roots, draft, output, source
from heavylift.settings import Settings


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project's root with one file in it, and a secret beside it."""
    folder = tmp_path / "project"
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "a.txt").write_bytes(b"inside")
    (tmp_path / "secret.txt").write_bytes(b"secret")
    return folder


@pytest.fixture(params=["nameless", "named"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of writing; the second is what file systems without nameless files get."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    return str(request.param)


def read(root: Path, reference: str, **more: int) -> bytes:
    with source(reference, Roots(root), **more) as file:
        return file.read()


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


# --- reading ------------------------------------------------------------------------------------------


def test_a_relative_reference_starts_at_the_root(root: Path) -> None:
    assert read(root, "in/a.txt") == b"inside"


def test_an_absolute_reference_below_a_root_is_read(root: Path) -> None:
    assert read(root, str(root / "in" / "a.txt")) == b"inside"


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("../secret.txt", "`..` is not allowed"),
        ("in/../../secret.txt", "`..` is not allowed"),
        ("in/../in/a.txt", "`..` is not allowed"),
        ("/etc/passwd", "outside the allowed folders"),
        ("//etc/passwd", "outside the allowed folders"),
        ("in/a.txt\0.jpg", "NUL"),
        ("", "give 1 to 4096 characters"),
        ("x" * 5000, "give 1 to 4096 characters"),
        ("x" * 300, "too long"),
        ("in/nothing.txt", "no such file"),
        ("in/a.txt/b.txt", "not a folder"),
        ("in", "is a folder"),
        (".", "is a folder"),
        ("in/\ud800.txt", "cannot be used"),
        (".heavylift/appendonly.aof", "heavylift's own"),
        ("in/.HeavyLift/x", "heavylift's own"),
    ],
)
def test_a_reference_that_is_not_a_file_below_the_roots_is_rejected(root: Path, reference: str, why: str) -> None:
    with pytest.raises(Reject, match=why):
        read(root, reference)


def test_the_rejection_names_the_reference_and_what_is_allowed(root: Path) -> None:
    with pytest.raises(Reject) as caught:
        read(root, "/etc/passwd")
    assert "'/etc/passwd'" in str(caught.value)
    assert str(root) in str(caught.value)


@pytest.mark.parametrize("link", ["../../secret.txt", "{outside}/secret.txt", "{root}/../secret.txt", "/etc/passwd"])
def test_a_link_that_leaves_the_roots_is_rejected(root: Path, link: str) -> None:
    (root / "in" / "link").symlink_to(link.format(root=root, outside=root.parent))
    with pytest.raises(Reject, match="outside the allowed folders"):
        read(root, "in/link")


def test_a_folder_that_is_a_link_out_of_the_roots_is_rejected(root: Path) -> None:
    (root / "way-out").symlink_to(root.parent)
    with pytest.raises(Reject, match="outside the allowed folders"):
        read(root, "way-out/secret.txt")


@pytest.mark.parametrize("link", ["a.txt", "../in/a.txt", "{root}/in/a.txt", "./../again/a.txt"])
def test_a_link_that_stays_below_the_roots_is_followed(root: Path, link: str) -> None:
    (root / "again").symlink_to("in")
    (root / "in" / "link").symlink_to(link.format(root=root))
    assert read(root, "in/link") == b"inside"


def test_links_in_a_circle_are_rejected(root: Path) -> None:
    (root / "x").symlink_to("y")
    (root / "y").symlink_to("x")
    with pytest.raises(Reject, match="goes round"):
        read(root, "x")


def test_a_link_into_the_embedded_servers_folder_is_rejected(root: Path) -> None:
    (root / ".heavylift").mkdir()
    (root / ".heavylift" / "data").write_bytes(b"queues")
    (root / "link").symlink_to(".heavylift/data")
    with pytest.raises(Reject, match="heavylift's own"):
        read(root, "link")


def test_a_pipe_is_rejected_and_does_not_hang(root: Path) -> None:
    os.mkfifo(root / "in" / "pipe")
    with pytest.raises(Reject, match="not a regular file"):
        read(root, "in/pipe")


def test_a_file_above_the_limit_is_rejected_by_its_size(root: Path) -> None:
    assert read(root, "in/a.txt", limit=6) == b"inside"
    with pytest.raises(Reject, match="6 bytes, more than the 5 allowed"):
        read(root, "in/a.txt", limit=5)


def test_several_roots_may_be_allowed_and_the_project_itself_need_not_be(root: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "b.txt").write_bytes(b"data")
    roots = Roots(root, (root / "in", tmp_path / "data"))
    (root / "other.txt").write_bytes(b"other")
    with source(str(tmp_path / "data" / "b.txt"), roots) as file:
        assert file.read() == b"data"
    with source("in/a.txt", roots) as file:
        assert file.read() == b"inside"
    with pytest.raises(Reject, match="outside the allowed folders"):
        source("other.txt", roots)


def test_a_link_may_lead_from_one_allowed_root_to_another(root: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "b.txt").write_bytes(b"data")
    (root / "link").symlink_to(tmp_path / "data" / "b.txt")
    with source("link", Roots(root, (root, tmp_path / "data"))) as file:
        assert file.read() == b"data"


def test_a_root_that_is_missing_is_the_machines_fault_and_can_be_tried_again(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        source("a.txt", Roots(tmp_path / "not-mounted"))


PARTS = st.lists(st.sampled_from(["/", ".", "..", "in", "a.txt", "out", "\0", "é", " ", "\\", "~"])).map("".join)


@given(reference=PARTS)
def test_no_text_leads_outside(tmp_path_factory: pytest.TempPathFactory, reference: str) -> None:
    """Whatever is asked for, one gets the one file inside or a rejection."""
    folder = tmp_path_factory.getbasetemp() / "any"
    (folder / "root" / "in").mkdir(parents=True, exist_ok=True)
    (folder / "root" / "in" / "a.txt").write_bytes(b"inside")
    (folder / "a.txt").write_bytes(b"secret")
    try:
        with source(reference, Roots(folder / "root")) as file:
            assert file.read() == b"inside"
    except Reject:
        pass


def test_a_folder_swapped_for_a_link_all_the_time_never_leads_outside(root: Path) -> None:
    """The race between a check and an open: there is none to win."""
    (root.parent / "a.txt").write_bytes(b"secret")
    swapper = textwrap.dedent("""
        import os, sys
        os.chdir(sys.argv[1])
        os.symlink("..", "trap"); os.mkdir("real"); open("real/a.txt", "wb").write(b"inside")
        print("ready", flush=True)
        while True:
            os.rename("real", "in2"); os.rename("in2", "real")
            os.rename("trap", "in2"); os.rename("in2", "trap")
    """)
    with subprocess.Popen([sys.executable, "-c", swapper, str(root)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            seen = set()
            for _ in range(3000):
                try:
                    seen.add(read(root, "in2/a.txt"))
                except Reject:
                    seen.add(b"")
            assert b"secret" not in seen
        finally:
            process.kill()


# --- where the roots come from ------------------------------------------------------------------------


def test_roots_reach_another_process_by_its_environment(root: Path, tmp_path: Path) -> None:
    roots = Roots(root, (root / "in", tmp_path))
    assert Roots.of(Settings.load(roots.environment())) == roots


def test_the_roots_of_this_process_are_used_when_none_are_given(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in Roots(root, (root / "in",)).environment().items():
        monkeypatch.setenv(name, value)
    with source("in/a.txt") as file:
        assert file.read() == b"inside"
    with pytest.raises(Reject):
        source("b.txt")


# --- writing ------------------------------------------------------------------------------------------


def test_the_file_appears_when_the_block_ends_and_not_before(root: Path, way: str) -> None:
    with output("out/deep/b.txt", Roots(root)) as file:
        file.write(b"new")
        assert not (root / "out" / "deep" / "b.txt").exists()
    assert (root / "out" / "deep" / "b.txt").read_bytes() == b"new"
    assert listing(root) == ["in/a.txt", "out/deep/b.txt"]


def test_an_earlier_file_is_replaced_in_one_step(root: Path, way: str) -> None:
    with output("in/a.txt", Roots(root)) as file:
        file.write(b"new")
        file.flush()
        assert (root / "in" / "a.txt").read_bytes() == b"inside"
    assert (root / "in" / "a.txt").read_bytes() == b"new"
    assert listing(root) == ["in/a.txt"]


@pytest.mark.parametrize("ending", [ValueError, Stop, KeyboardInterrupt, SystemExit])
def test_a_block_that_raises_changes_nothing(root: Path, way: str, ending: type[BaseException]) -> None:
    def fail() -> None:
        with output("in/a.txt", Roots(root)) as file:
            file.write(b"half")
            raise ending

    with pytest.raises(ending):
        fail()
    assert (root / "in" / "a.txt").read_bytes() == b"inside"
    assert listing(root) == ["in/a.txt"]


def test_a_file_that_its_writer_closed_is_published_too(root: Path, way: str) -> None:
    with output("b.txt", Roots(root)) as file:
        file.write(b"new")
        file.close()
    assert (root / "b.txt").read_bytes() == b"new"


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("../b.txt", "`..` is not allowed"),
        ("/tmp/elsewhere/b.txt", "outside the allowed folders"),
        ("in", "is a folder"),
        ("in/a.txt/b.txt", "not a folder"),
        ("x" * 300, "too long"),
        (".heavylift/b.txt", "heavylift's own"),
    ],
)
def test_an_output_that_cannot_be_is_rejected(root: Path, way: str, reference: str, why: str) -> None:
    with pytest.raises(Reject, match=why), output(reference, Roots(root)) as file:
        file.write(b"new")
    assert listing(root) == ["in/a.txt"]


def test_an_output_folder_that_links_out_of_the_roots_is_rejected(root: Path) -> None:
    (root / "out").symlink_to(root.parent)
    with pytest.raises(Reject, match="outside the allowed folders"), output("out/b.txt", Roots(root)) as file:
        file.write(b"new")
    assert not (root.parent / "b.txt").exists()


def test_an_output_that_is_a_link_is_replaced_and_its_aim_left_alone(root: Path, way: str) -> None:
    (root / "b.txt").symlink_to(root.parent / "secret.txt")
    with output("b.txt", Roots(root)) as file:
        file.write(b"new")
    assert (root.parent / "secret.txt").read_bytes() == b"secret"
    assert not (root / "b.txt").is_symlink()


def test_a_source_is_not_overwritten(root: Path) -> None:
    with source("in/a.txt", Roots(root)) as original:
        with pytest.raises(Reject, match="source itself"), output("in/a.txt", Roots(root), unlike=[original]):
            pass
    assert read(root, "in/a.txt") == b"inside"


AS_NOBODY = """
import os, sys
from pathlib import Path
from heavylift.errors import Reject
from heavylift.files import Roots, output
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    with output("shut/b.txt", Roots(Path(sys.argv[1]))) as file:
        file.write(b"new")
except Reject as reason:
    print(reason)
"""


def test_an_output_folder_that_may_not_be_written_is_rejected() -> None:
    """In a process without root's rights, for which modes do not count."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # where everybody may look
        os.chmod(folder, 0o755)
        shut = Path(folder) / "shut"
        shut.mkdir(mode=0o555)
        ran = subprocess.run([sys.executable, "-c", AS_NOBODY, folder], capture_output=True, text=True, check=False)
        assert ran.stdout.strip() == "'shut/b.txt': permission denied", ran.stderr
        assert list(shut.iterdir()) == []


DISK_FULL = """
import os, resource, sys
from pathlib import Path
if sys.argv[2] == "named":
    os.__dict__.pop("O_TMPFILE", None)
from heavylift.files import Roots, output
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with output("b.bin", Roots(Path(sys.argv[1]))) as file:
        file.write(b"x" * 200_000)
except OSError as wrong:
    print(wrong.errno)
"""


def test_a_disk_that_is_full_is_an_oserror_and_leaves_nothing(root: Path, way: str) -> None:
    """Stands for ENOSPC: a limit on the size of files, met in the middle of a write."""
    ran = subprocess.run([sys.executable, "-c", DISK_FULL, str(root), way], capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == str(errno.EFBIG), ran.stderr
    assert ran.stderr == ""
    assert listing(root) == ["in/a.txt"]


KILLED = """
import os, signal, sys
from pathlib import Path
if sys.argv[2] == "named":
    os.__dict__.pop("O_TMPFILE", None)
from heavylift.files import Roots, output
with output("b.bin", Roots(Path(sys.argv[1]))) as file:
    file.write(b"x" * 200_000)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_in_the_middle(root: Path, way: str) -> None:
    ran = subprocess.run([sys.executable, "-c", KILLED, str(root), way], check=False)
    assert ran.returncode == -signal.SIGKILL


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="this system knows no nameless files")
def test_a_process_killed_in_the_middle_leaves_nothing(root: Path) -> None:
    killed_in_the_middle(root, "nameless")
    assert listing(root) == ["in/a.txt"]


def test_a_named_draft_of_a_killed_process_is_taken_over_by_the_next(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_in_the_middle(root, "named")
    assert listing(root) == [".b.bin.part", "in/a.txt"]
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    with output("b.bin", Roots(root)) as file:
        file.write(b"short")
    assert (root / "b.bin").read_bytes() == b"short"
    assert listing(root) == ["b.bin", "in/a.txt"]


def test_two_writers_of_one_name_do_not_mix(root: Path, way: str) -> None:
    """The later one to finish wins, whole."""
    with output("b.txt", Roots(root)) as first:
        first.write(b"first first")
        with output("b.txt", Roots(root)) as second:
            second.write(b"second")
        assert (root / "b.txt").read_bytes() == b"second"
    assert (root / "b.txt").read_bytes() == b"first first"
    assert listing(root) == ["b.txt", "in/a.txt"]


def test_a_draft_whose_name_was_given_away_meanwhile_is_not_touched(root: Path) -> None:
    """Opened before its last writer renamed it, locked after: it is the finished file now."""
    folder = os.open(root, os.O_RDONLY)
    try:
        (root / ".b.part").write_bytes(b"finished")
        late = os.open(".b.part", os.O_RDWR, dir_fd=folder)
        os.rename(root / ".b.part", root / "b")
        assert not draft.hold(late, folder, ".b.part")
        os.close(late)
    finally:
        os.close(folder)
    assert (root / "b").read_bytes() == b"finished"


def test_nothing_stays_open(root: Path) -> None:
    """Neither after success, nor after rejections of every kind."""

    def count() -> int:
        return len(os.listdir("/dev/fd"))

    (root / "out-link").symlink_to("/etc")
    before = count()
    for reference in ("in/a.txt", "in", "in/none", "../x", "out-link/passwd", "in/a.txt/x"):
        try:
            source(reference, Roots(root)).close()
        except Reject:
            pass
        try:
            with output(reference, Roots(root)) as file:
                file.write(b"inside")
        except Reject:
            pass
    assert count() == before
