"""`mlsession checkpoints verify`, `repair` and `gc`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from mlsession.cli.options.arguments import storage_options
from mlsession.cli.outcome import DONE, FAILED
from mlsession.cli.output import print_json, print_lines
from mlsession.cli.printing.text import byte_size, number_of, one_line, plain
from mlsession.cli.running.checkpoints import MOST_NAMED, session_at, tell
from mlsession.session.checkpoint import Checkpoint
from mlsession.session.parameters import SessionParameters
from mlsession.session.upkeep.integrity import Cure, Problem, Repair, Verification
from mlsession.store import open_store

_CURES = {
    Cure.REINDEX: "repair makes it anew from the records",
    Cure.REMAKE: "repair makes it again",
    Cure.REMOVE: "repair takes the checkpoint off the list",
    Cure.GO_BACK: "whoever opens the session goes back before it",
    Cure.NONE: "only a copy of the folder has it",
}
_INPUT = "an index of images repair puts back while listing them gives the same; else only a copy of the folder has it"


def checkpoints_verify(url: str, deep: bool, typed_options: Sequence[str], json: bool) -> int:
    """Looks for damage; 1 if something is damaged."""
    with session_at(url, typed_options) as session:
        found, where = session.verify(deep), plain(session.url)
    if json:
        print_json(found.to_json())
    else:
        print_lines(_verification_lines(found, where))
    return DONE if found.is_whole else FAILED


def checkpoints_repair(url: str, typed_options: Sequence[str], json: bool) -> int:
    """Mends what is damaged; 1 if something still is."""
    from mlsession.training.classifier import Classifier

    parameters = SessionParameters(url, storage_options=storage_options(typed_options))
    done = Classifier.repair_training_session(parameters, tell)
    if json:
        print_json(done.to_json())
    else:
        with closing(open_store(url, parameters.storage_options)) as store:
            print_lines(_repair_lines(done, plain(store.url)))
    return FAILED if done.left else DONE


def checkpoints_gc(url: str, dry_run: bool, typed_options: Sequence[str], json: bool) -> int:
    """Deletes what nothing needs any more."""
    with session_at(url, typed_options) as session:
        found, where = session.collect_garbage(dry_run, tell), plain(session.url)
    if json:
        print_json({**found.to_json(), "dry_run": dry_run})
    else:
        verb = "would delete" if dry_run else "deleted"
        half = f", and {number_of(found.temporary_files, 'half-written file')}" if found.temporary_files else ""
        size = byte_size(found.size_bytes)
        print_lines([f"{verb} {number_of(len(found.sizes), 'unreferenced blob')} of {where}, {size}{half}"])
    return DONE


def _verification_lines(found: Verification, where: str) -> list[str]:
    looked = "every byte read" if found.deep else "sizes compared"
    counts = f"{number_of(found.records, 'record')}, {number_of(found.blobs, 'blob')}, {byte_size(found.size_bytes)}"
    end = "all whole" if found.is_whole else f"{number_of(len(found.problems), 'place')} damaged"
    lines = [f"{number_of(found.checkpoints, 'checkpoint')} of {where}: {counts}, {looked}, {end}"]
    lines += _problem_lines(found.problems, with_cure=True)
    if found.problems:
        lines.append(f"a run that needs all of it goes on from {_name(found.resumes_from)}")
        if any(problem.cure is not Cure.NONE for problem in found.problems):
            lines.append(f"cure: mlsession checkpoints repair {where}")
    if found.given_up:
        lines.append(f"given up, and needed by nothing: {number_of(len(found.given_up), 'damaged record')}")
    if found.unreferenced:
        size = byte_size(found.unreferenced_bytes or 0)
        lines.append(f"unreferenced: {number_of(found.unreferenced, 'blob')}, {size}; `checkpoints gc` deletes them")
    if found.foreign:
        lines.append(f"foreign: {number_of(len(found.foreign), 'file')}, such as {plain(found.foreign[0])}")
    return lines


def _repair_lines(done: Repair, where: str) -> list[str]:
    lines = []
    if done.went_back:
        lines.append(f"went back before damaged records, to {_name(done.resumes_from)}")
    if done.reindexed:
        lines.append("made the index anew")
    if done.remade:
        were = "it was" if len(done.remade) == 1 else "they were"
        lines.append(f"made {number_of(len(done.remade), 'blob')} again, to the bit as {were}")
    if done.removed:
        numbers = ", ".join(str(checkpoint.number) for checkpoint in done.removed[:MOST_NAMED])
        lines.append(f"removed {number_of(len(done.removed), 'damaged checkpoint')}: {numbers}")
    if done.left:
        lines.append(f"still damaged in {where}; a run that needs it goes on from {_name(done.resumes_from)}:")
        lines += _problem_lines(done.left, with_cure=False)
    return lines or [f"nothing of {where} is damaged"]


def _problem_lines(problems: Sequence[Problem], with_cure: bool) -> list[str]:
    lines = []
    for problem in problems[:MOST_NAMED]:
        owner = "input" if problem.checkpoint is None else f"record {problem.checkpoint}"
        cure = f" ({_INPUT if problem.checkpoint is None else _CURES[problem.cure]})" if with_cure else ""
        lines.append(f"  {owner}: {plain(problem.key)}: {one_line(problem.reason)}{cure}")
    if len(problems) > MOST_NAMED:
        lines.append(f"  and {len(problems) - MOST_NAMED:,} more; --json names all")
    return lines


def _name(checkpoint: Checkpoint | None) -> str:
    if checkpoint is None:
        return "the beginning"
    return f"checkpoint {checkpoint.number} ({plain(checkpoint.phase)} {checkpoint.iteration:,})"
