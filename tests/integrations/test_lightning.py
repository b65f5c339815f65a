"""Lightning trainings on sessions, and sessions in Lightning's loggers: killed, stopped, extended, refused; real
processes, forked."""

from __future__ import annotations

import csv
import json
import random
import signal
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.photos import copy_photos
from tests.recovery.nursery import REPOSITORY, Forked, Nursery

pytestmark = pytest.mark.sampled(0.4)

EXAMPLE = str(REPOSITORY / "examples" / "lightning_module.py")
REFUSED = str(Path(__file__).parent / "refused.py")
LOGGED = str(Path(__file__).parent / "logged.py")


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("lightning"), "lightning") as nursery:
        yield nursery


def records(session: Path) -> int:
    return len(list((session / "log").glob("*.json"))) if (session / "log").exists() else 0


def digest(nursery: Nursery, session: Path, epochs: int) -> str:
    code, out, err = nursery.run(EXAMPLE, session, "--epochs", str(epochs))
    assert code == 0, err
    return out.splitlines()[-1]


def begun(nursery: Nursery, session: Path, more: int) -> Forked:
    """A training that has written so many records more, and goes on."""
    before = records(session)
    child = nursery.start(EXAMPLE, session, "--epochs", "3")
    child.until(lambda: records(session) >= before + more)
    return child


@pytest.fixture(scope="module")
def unbroken(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> str:
    return digest(nursery, tmp_path_factory.mktemp("unbroken") / "session", 3)


def test_killed_at_random_it_trains_the_same_weights(nursery: Nursery, unbroken: str, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    draw = random.Random(seed)
    for _ in range(3):
        child = begun(nursery, tmp_path / "session", draw.randint(2, 4))
        child.send(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    assert digest(nursery, tmp_path / "session", 3) == unbroken, f"seed {seed}"


def test_a_signal_saves_in_mid_epoch_and_stops(nursery: Nursery, unbroken: str, tmp_path: Path) -> None:
    child = begun(nursery, tmp_path / "session", 2)
    child.send(signal.SIGTERM)
    assert child.wait() == 75
    assert "signal SIGTERM" in child.err
    assert digest(nursery, tmp_path / "session", 3) == unbroken


def test_more_epochs_go_on_from_the_end(nursery: Nursery, unbroken: str, tmp_path: Path) -> None:
    digest(nursery, tmp_path / "session", 1)
    digest(nursery, tmp_path / "session", 2)
    count = records(tmp_path / "session")
    digest(nursery, tmp_path / "session", 2)
    assert records(tmp_path / "session") == count  # A finished training writes nothing.
    assert digest(nursery, tmp_path / "session", 3) == unbroken


def test_workers_change_nothing(nursery: Nursery, unbroken: str, tmp_path: Path) -> None:
    code, out, err = nursery.run(EXAMPLE, tmp_path / "session", "--epochs", "3", "--workers", "1")
    assert code == 0, err
    assert out.splitlines()[-1] == unbroken


def ranks(nursery: Nursery, session: Path) -> tuple[Forked, Forked]:
    """Two processes of one training, as torchrun starts them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    common = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    first, second = (
        nursery.start(
            EXAMPLE,
            session,
            "--epochs",
            "2",
            environment={**common, "TORCHELASTIC_RUN_ID": "test", "RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": "0"},
        )
        for rank in ("0", "1")
    )
    return first, second


def test_several_processes_resume_exactly_too(nursery: Nursery, tmp_path: Path) -> None:
    """The first writes the session, all stop and go on together."""
    digests = []
    for name, is_killed in (("unbroken", False), ("killed", True)):
        if is_killed:
            both = ranks(nursery, tmp_path / name)
            both[0].until(lambda: records(tmp_path / "killed") >= 3)
            for child in both:
                child.send(signal.SIGKILL)
                child.wait()
        both = ranks(nursery, tmp_path / name)
        assert [child.wait() for child in both] == [0, 0], both[0].err
        digests.append(both[0].out.splitlines()[-1])
    assert digests[0] == digests[1]


def test_what_cannot_be_resumed_is_refused(nursery: Nursery, tmp_path: Path) -> None:
    """See the script: each line that it prints is an error as a user reads it."""
    code, out, err = nursery.run(REFUSED, tmp_path / "session")
    assert code == 0, err
    fresh, parameters, plugin, leaf, shards, failed, again = out.splitlines()
    assert "give Trainer.fit(ckpt_path=checkpoints.newest())" in fresh
    assert "rate was 1 when this session was made and is 2 now" in parameters
    assert "plugins=[checkpoints.io]" in plugin
    assert leaf.startswith("checkpoint['odd']='Odd': a session stores arrays and plain values")
    assert "Sharding writes checkpoints by itself" in shards
    assert failed == "failed: ValueError: a step that fails"
    assert again == "finished"


# Loggers


def run_of(session: Path) -> Path:
    """The folder of a session's run."""
    (run,) = (session.parent / "lightning_logs" / session.stem).iterdir()
    return run


def rows_in(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def figures_in(run: Path) -> Counter[tuple[str, int, float]]:
    """The scalars in the event files of a folder, by tag, step and value."""
    from tensorboardX.proto.event_pb2 import Event

    found: Counter[tuple[str, int, float]] = Counter()
    for path in run.glob("events.*"):
        data, place = path.read_bytes(), 0
        while place + 12 <= len(data):
            (length,) = struct.unpack_from("<Q", data, place)
            event = Event.FromString(data[place + 12 : place + 12 + length])
            found.update((value.tag, event.step, value.simple_value) for value in event.summary.value)
            place += 16 + length
    return found


def logged(nursery: Nursery, session: Path, *words: str) -> tuple[list[dict[str, object]], str]:
    """The events of loggers, and how the job ended."""
    session.parent.mkdir(exist_ok=True)
    code, out, err = nursery.run(LOGGED, session, *words)
    assert code == 0, err
    *events, end = out.splitlines()
    return [json.loads(line) for line in events], end


def killed(nursery: Nursery, session: Path, rows: int, ahead: int, *loggers: str) -> Path:
    """The rows of a session that was killed with `rows` rows or more, `ahead` of them after its newest checkpoint."""
    child = nursery.start(LOGGED, session, *loggers, "--pause", "0.05", "--iterations", "1000")
    child.until(lambda: any(session.parent.glob(f"lightning_logs/{session.stem}/*/metrics.csv")))
    path = run_of(session) / "metrics.csv"

    def is_there() -> bool:
        found, committed = len(path.read_text().splitlines()) - 1, newest(session)
        return found >= rows and found >= committed + ahead

    child.until(is_there)
    child.send(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    return path


def newest(session: Path) -> int:
    """The iteration of the newest checkpoint."""
    bodies = [json.loads(path.read_text())["body"] for path in sorted((session / "log").glob("*.json"))[2:]]
    return max((body["iteration"] for body in bodies if "iteration" in body), default=0)


def test_killed_at_random_a_run_goes_on_without_gaps_or_double_rows(nursery: Nursery, tmp_path: Path) -> None:
    loggers, session = ("csv", "tensorboard"), tmp_path / "broken" / "one.mlsession"
    session.parent.mkdir()
    seed, path = random.SystemRandom().randrange(2**32), Path("none")
    draw = random.Random(seed)
    for attempt in range(2):
        path = killed(nursery, session, 12 * attempt + draw.randint(1, 9), draw.randint(0, 2), *loggers)
    count = str(len(path.read_text().splitlines()) + 9)
    with path.open("a") as file:
        file.write("0.5,17")  # As a kill in the midst of writing leaves it.
    events, end = logged(nursery, session, *loggers, "--iterations", count)
    assert (end, [event["event"] for event in events]) == (count, ["logger_started"] * 2), f"seed {seed}"
    logged(nursery, tmp_path / "whole" / "one.mlsession", *loggers, "--iterations", count)
    whole, broken = (run_of(tmp_path / name / "one.mlsession") for name in ("whole", "broken"))
    assert rows_in(broken / "metrics.csv") == rows_in(whole / "metrics.csv"), f"seed {seed}"
    assert (broken / "hparams.yaml").read_text() == (whole / "hparams.yaml").read_text() == "rate: 0.5\n"
    assert figures_in(broken) == figures_in(whole), f"seed {seed}"
    assert set(figures_in(whole).values()) == {1}
    assert ("training/loss", 13, 1 / 16) in figures_in(whole)


def test_iterations_that_are_done_again_take_the_place_of_their_rows(nursery: Nursery, tmp_path: Path) -> None:
    session = tmp_path / "six.mlsession"
    path = killed(nursery, session, 7, 2, "csv")
    count = len(path.read_text().splitlines()) + 9
    logged(nursery, session, "csv", "--tilt", "1", "--iterations", str(count))
    rows = [row for row in rows_in(path) if row["training/loss"]]
    assert [row["step"] for row in rows] == [str(step) for step in range(1, count + 1)]
    losses = [float(row["training/loss"]) for row in rows]
    assert (losses[0], losses[-1]) == (1 / 4, 1 / (3 + count) + 1)


def test_a_logger_that_names_no_run_gets_the_sessions_and_one_that_fails_is_let_go_of(
    nursery: Nursery, tmp_path: Path
) -> None:
    session = tmp_path / "two.mlsession"
    events, end = logged(nursery, session, "given-csv", "broken", "--stop-at", "6", "--pause", "0.02")
    assert end == "Cancelled"
    (failed,) = (event for event in events if event["event"] == "logger_failed")
    assert (failed["logger"], failed["reason"]) == ("Broken", "OSError: the disk of the logs is full")
    events, end = logged(nursery, session, "given-csv")
    assert end == "20"
    (run,) = (tmp_path / "mine" / "curves").iterdir()
    assert [event["run"] for event in events] == [run.name]
    steps = [int(row["step"]) for row in rows_in(run / "metrics.csv") if row["training/loss"]]
    assert steps == list(range(1, 21))


def test_a_finished_session_can_be_logged_afterwards_and_a_longer_one_goes_on(nursery: Nursery, tmp_path: Path) -> None:
    session = tmp_path / "three.mlsession"
    logged(nursery, session)
    assert not (tmp_path / "lightning_logs").exists()
    logged(nursery, session, "csv", "--iterations", "30")
    rows = rows_in(run_of(session) / "metrics.csv")
    assert [row["step"] for row in rows if row["training/loss"]] == [str(step) for step in range(1, 31)]
    assert all(float(row["training/loss"]) == 1 / (3 + int(row["step"])) for row in rows if row["training/loss"])


def test_a_classifier_is_logged_with_what_it_was_made_with_and_its_evaluation(nursery: Nursery, tmp_path: Path) -> None:
    photos, session = copy_photos(tmp_path / "fruit", "train", 6, ("Kiwi", "Lemon")), tmp_path / "fruit.mlsession"
    line = ("train", photos, "--session", session, "--tune", "off", "--iterations", "4", "--cache", "none")
    code, _, err = nursery.run("mlsession", *line, "--logger", f"csv:{tmp_path}/logs")
    assert code == 0, err
    (run,) = (tmp_path / "logs" / "fruit").iterdir()
    assert f"log: csv, run {run.name} in {run}" in err
    assert "kind: logistic_regressor" in (run / "hparams.yaml").read_text()
    rows = rows_in(run / "metrics.csv")
    assert [row["step"] for row in rows if row["training/loss"]] == ["1", "2", "3", "4"]
    assert [(row["step"], row["evaluation/training_accuracy"]) for row in rows][-1] == ("4", "1.0")
    code, _, err = nursery.run("mlsession", *line, "--logger", f"csv:{tmp_path}/logs")
    assert code == 0, err
    assert rows_in(run / "metrics.csv") == rows
    code, _, err = nursery.run("mlsession", "train", photos, "--logger", "tb")
    assert (code, err) == (
        2,
        "error: --logger='tb': must be csv, tensorboard, mlflow, wandb, each with a folder where "
        "you like, such as csv:logs\n",
    )


@pytest.mark.filterwarnings("ignore")  # Of MLflow and what it is built on.
@pytest.mark.skipif(find_spec("mlflow") is None or find_spec("sqlalchemy") is None, reason="MLflow is not installed")
def test_mlflow_goes_on_with_the_run_that_has_the_sessions_tag(nursery: Nursery, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient  # type: ignore[import-not-found, unused-ignore]

    session = tmp_path / "four.mlsession"
    client, found = MlflowClient(f"sqlite:///{tmp_path}/flow/mlflow.db"), []
    for words in (("--stop-at", "6", "--pause", "0.02"), ("--fail-at", "12"), ()):
        logged(nursery, session, f"mlflow:{tmp_path}/flow", *words)
        experiment = client.get_experiment_by_name("four")
        assert experiment is not None
        (run,) = client.search_runs([experiment.experiment_id])
        found.append((run.info.run_id, run.info.status))
    assert len({name for name, _ in found}) == 1
    assert [status for _, status in found] == ["KILLED", "FAILED", "FINISHED"]
    history = client.get_metric_history(found[0][0], "training/loss")
    assert sorted((each.step, each.value) for each in history) == [(step, 1 / (3 + step)) for step in range(1, 21)]


@pytest.mark.skipif(find_spec("wandb") is None, reason="W&B is not installed")
def test_wandb_goes_on_offline_with_the_run_that_has_the_sessions_id(nursery: Nursery, tmp_path: Path) -> None:
    session = tmp_path / "five.mlsession"
    for words in (("--stop-at", "6", "--pause", "0.02"), ()):
        events, _ = logged(nursery, session, "wandb", *words)
        assert [event["event"] for event in events] == ["logger_started"]
    folders = sorted((tmp_path / "lightning_logs" / "wandb").glob("offline-run-*"))
    assert [folder.name.rpartition("-")[2] for folder in folders] == [str(events[0]["run"])] * 2
    assert all(next(folder.glob("*.wandb")).stat().st_size > 0 for folder in folders)
