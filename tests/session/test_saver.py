from __future__ import annotations

import math
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from mlsession.clock import SystemClock
from mlsession.errors import SessionTakenOver, StoreFull
from mlsession.session.log.records import Outcome
from mlsession.session.opening import OpenOptions, open_session
from mlsession.session.saver import Saver
from mlsession.store.memory import MemoryStore
from mlsession.testing.clock import FakeClock
from mlsession.testing.invariants import check_session
from tests.session.log.test_journal import ignore, load, stage, writer_of
from tests.session.stores import HookedStore


class Gate:
    """Holds up every blob until it is opened."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, operation: str, key: str) -> None:
        if operation == "put" and key.startswith("blobs/"):
            self.reached.set()
            assert self.opened.wait(60)


def saver_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "mlsession-saver"]


def test_a_save_runs_beside_the_caller() -> None:
    gate = Gate()
    inner = MemoryStore()
    saver = Saver(writer_of(HookedStore(inner, gate)), FakeClock())
    assert saver.submit(stage(1)) is None
    assert gate.reached.wait(60)
    states = [saver.is_busy]
    assert saver.poll() is None
    assert saver.wait(timeout=0) is None
    gate.opened.set()
    saved = saver.wait()
    assert saved is not None
    assert saved.entry.iteration == 1
    assert [*states, saver.is_busy] == [True, False]
    assert saver.wait() is None
    assert saver.poll() is None
    saver.close()
    assert saver_threads() == []


def test_saves_are_committed_one_after_the_other() -> None:
    store = MemoryStore()
    saver = Saver(writer_of(store), SystemClock())
    earlier = [saver.submit(stage(number)) for number in range(1, 30)]
    last = saver.wait(timeout=math.inf)
    assert [saved.entry.iteration for saved in (*earlier[1:], last) if saved] == list(range(1, 30))
    saver.close_session(Outcome.FINISHED, "")
    saver.close()
    facts = check_session(store)
    assert facts is not None
    assert [entry.iteration for entry in facts.checkpoints] == list(range(1, 30))


@pytest.mark.parametrize("how", ["submit", "poll", "wait"])
def test_an_error_of_the_thread_surfaces_once(how: str) -> None:
    fail = [True]

    def full(operation: str, key: str) -> None:
        if operation == "put" and fail[0]:
            raise StoreFull("no space left", key)

    store = MemoryStore()
    saver = Saver(writer_of(HookedStore(store, full)), FakeClock())
    saver.submit(stage(1))
    calls: dict[str, Callable[[], object]] = {
        "submit": lambda: saver.submit(stage(2)),
        "wait": saver.wait,
        "poll": lambda: next(saved for saved in iter(saver.poll, "never") if saved is not None),
    }
    with pytest.raises(StoreFull):
        calls[how]()
    assert saver.wait() is None
    fail[0] = False
    saver.submit(stage(1))
    saver.close_session(Outcome.FAILED, "")
    saver.close()
    assert load(store).timeline.newest["training"].iteration == 1


def test_errors_of_closing_and_stepping_back_surface() -> None:
    store = MemoryStore()
    saver = Saver(writer_of(store), FakeClock())
    open_session(store, FakeClock(), OpenOptions(take_over=True), ignore)
    with pytest.raises(SessionTakenOver):
        saver.close_session(Outcome.FINISHED, "")
    with pytest.raises(SessionTakenOver):
        saver.step_back(1)
    saver.close()
    saver.close()


def test_closing_does_not_wait_for_a_store_that_hangs() -> None:
    gate = Gate()
    saver = Saver(writer_of(HookedStore(MemoryStore(), gate)), FakeClock())
    saver.submit(stage(1))
    assert gate.reached.wait(60)
    assert not saver.close_session(Outcome.PAUSED, "", lambda: 0.0)
    saver.close()
    (thread,) = saver_threads()
    gate.opened.set()
    thread.join(60)
    assert not thread.is_alive()


HANGING = """
import threading
from mlsession.session.saver import Saver
from mlsession.store.memory import MemoryStore
from mlsession.testing.clock import FakeClock
from tests.session.log.test_journal import stage, writer_of
from tests.session.stores import HookedStore

reached = threading.Event()

def hang(operation, key):
    if key.startswith("blobs/"):
        reached.set()
        threading.Event().wait()

saver = Saver(writer_of(HookedStore(MemoryStore(), hang)), FakeClock())
saver.submit(stage(1))
reached.wait()
saver.close()
print("stopped")
"""


def test_a_store_that_hangs_does_not_keep_the_interpreter_alive() -> None:
    done = subprocess.run([sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done.stderr
