"""A store that fails on purpose, for testing whoever uses one: crashes, torn writes, lost replies, outages, damage.

    process = Process(at(17, Fault.CRASH_AFTER))            # one simulated process: its 17th call is its last
    train(open_store=lambda: FaultyStore(MemoryStore(space), process))       # raises ProcessDied
    train(open_store=lambda: MemoryStore(space))            # a new process on what the dead one left

What happens is decided by a plan, a function from a `Call` to a `Fault` or None; `at`, `each`, `seeded`, `between`,
`only` and `first_of` make plans. A plan draws nothing and remembers nothing, so the same calls meet the same faults.
"""

from __future__ import annotations

from mlsession.testing.faults.plans import FaultPlan, at, between, each, first_of, no_faults, only, seeded
from mlsession.testing.faults.process import Process, ProcessDied, kill_this_process
from mlsession.testing.faults.store import FaultyStore
from mlsession.testing.faults.values import CRASHES, WRITES, Call, Fault, Operation, can_befall

__all__ = [
    "CRASHES",
    "WRITES",
    "Call",
    "Fault",
    "FaultPlan",
    "FaultyStore",
    "Operation",
    "Process",
    "ProcessDied",
    "at",
    "between",
    "can_befall",
    "each",
    "first_of",
    "kill_this_process",
    "no_faults",
    "only",
    "seeded",
]
