"""A stop strikes the thread of one handler, and leaves nothing behind in the interpreter."""

from __future__ import annotations

import subprocess
import sys

STOPPED_AS_IT_ENDED = """
import sys, threading
from types import SimpleNamespace
from heavylift.lanes.interrupting import Interruptible

place = Interruptible()
place._guard = threading.RLock()
run = SimpleNamespace(stop_sent=False, reason="timeout")
with place._guard:
    ended = threading.Event()
    thread = threading.Thread(target=place.outcome, args=(run, lambda run: ended.set()))
    thread.start()
    ended.wait()
    while sys._current_frames()[thread.ident].f_code.co_name != "_release":
        pass
    place.interrupt(run)  # on its way while the thread waits for the guard, to take it back
thread.join()

def traced():
    sys.settrace(lambda *event: None)
    (lambda: None)()

tracing = threading.Thread(target=traced, daemon=True)
tracing.start()
tracing.join(20)
sys.exit("a traced function never begins" if tracing.is_alive() else 0)
"""


def test_after_a_stop_that_came_too_late_a_debugger_or_coverage_can_still_trace() -> None:
    done = subprocess.run([sys.executable, "-c", STOPPED_AS_IT_ENDED], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
