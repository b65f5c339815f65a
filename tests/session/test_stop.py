from __future__ import annotations

from mlsession.session.stop import StopFlag, StopKind, StopRequest


def test_the_first_request_stays() -> None:
    flag = StopFlag()
    assert flag.request is None
    assert flag.ask(StopKind.INTERRUPTED, "signal SIGTERM", 3.0)
    assert not flag.ask(StopKind.CANCELLED, "later", 4.0)
    assert flag.request == StopRequest(kind=StopKind.INTERRUPTED, reason="signal SIGTERM", since=3.0)
