"""`mlsession split`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlsession.cli.options import arguments as typed
from mlsession.cli.options import sources
from mlsession.cli.outcome import DONE
from mlsession.cli.output import output_width, print_json, print_lines, remark, tell_retry
from mlsession.cli.printing.program import program
from mlsession.cli.printing.text import command_line, number_of, plain
from mlsession.clock import SystemClock
from mlsession.data.division import Division, copied_files, divide, write_manifests
from mlsession.session.watching.liveness import this_process
from mlsession.store import Store, join_url, open_store, redact
from mlsession.store.reading import ReadPolicy
from mlsession.store.retrying import Backoff, RetryingStore
from mlsession.training.images.overlap import check_apart

_SUFFIX = "-split"
FEW = 10
"""Images of a class below which hardly anything can be learned from them."""
SOME = 25
"""Images of a class from which on setting some aside is advised."""
MOST_CLASSES = 40
"""Classes that the table shows, and that are warned of; of more, the smallest. `--json` has all."""
PROGRESS_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitArguments:
    """The command line, as typed."""

    data: str
    test: float
    validation: float | None
    seed: int
    output: str | None
    manifest: bool
    label_from: str
    group_by: str | None
    storage_options: Sequence[str] = field(repr=False)
    json: bool

    @property
    def output_url(self) -> str:
        """Where the parts go."""
        return typed.default_session(self.data, Path.cwd(), _SUFFIX) if self.output is None else self.output

    @property
    def shares(self) -> dict[str, float]:
        """The share of each part but the one to train on."""
        return {"test": self.test} if self.validation is None else {"test": self.test, "validation": self.validation}


def split(given: SplitArguments) -> int:
    """Divides labelled images and writes the parts; returns the exit code."""
    options, output, clock = typed.storage_options(given.storage_options), given.output_url, SystemClock()
    sources.check_label_from(given.label_from, given.data)
    source = sources.source(given.data, options, given.label_from)
    if not given.manifest:
        for part in ("train", *given.shares):
            check_apart(join_url(output, part), (source,), "output")

    policy = ReadPolicy(clock=clock, backoff=Backoff(), on_retry=tell_retry, caller=this_process().name)

    def open_output() -> Store:
        return RetryingStore(open_store(output, options), clock, policy.backoff, policy.on_retry, policy.caller)

    division = divide(source, given.shares, given.seed, policy, given.group_by)
    for line in class_warnings(division):
        remark(line)
    if given.manifest:
        names, num_copied = write_manifests(division, output, open_output), 0
    else:
        names, num_copied = list(division.parts), _copy(division, policy, open_output)
    places = {part: join_url(output, name) for part, name in zip(division.parts, names, strict=True)}
    if given.json:
        print_json(_json(division, places, given, num_copied))
    else:
        done = _done(division, given, num_copied)
        print_lines([*part_table(division, output_width()), "", done, "", *_next(given, places)])
    return DONE


def class_warnings(division: Division) -> list[str]:
    """A line for each class with few images, the smallest first."""
    counts = division.index.class_counts.tolist()
    few = sorted((count, label) for label, count in zip(division.index.classes, counts, strict=True) if count < SOME)
    lines = [
        f"warning: class {plain(label)} has {number_of(count, 'image')}: "
        + (f"too few to learn from, {FEW} at least are needed" if count < FEW else f"few to divide, {SOME} are better")
        for count, label in few[:MOST_CLASSES]
    ]
    if len(few) > MOST_CLASSES:
        lines.append(f"warning: and {len(few) - MOST_CLASSES} more classes with fewer than {SOME} images")
    return lines


def part_table(division: Division, width: int) -> list[str]:
    """Images of each class in each part, no wider than `width` columns while names can give way."""
    from rich.cells import cell_len, set_cell_size

    rows = [
        (plain(label), [*amounts, sum(amounts)])
        for label, amounts in zip(division.index.classes, division.counts.tolist(), strict=True)
    ]
    shown = sorted(rows, key=lambda row: row[1][-1])[:MOST_CLASSES] if len(rows) > MOST_CLASSES else rows
    sums = [*division.counts.sum(axis=0).tolist(), len(division.index)]
    shown = [*shown, ("all", sums)]
    columns = [*division.parts, "all"]
    widths = [max(len(name), len(f"{amount:,}")) for name, amount in zip(columns, sums, strict=True)]
    room = max(width - sum(widths) - 2 * len(widths), 8)
    name_width = max(min(max(cell_len(label) for label, _ in shown), room), len("label"))

    def line(label: str, cells: Sequence[str]) -> str:
        name = label if cell_len(label) <= name_width else set_cell_size(label, name_width - 3) + "..."
        padding = " " * (name_width - cell_len(name))
        return "  ".join([f"{name}{padding}", *(f"{cell:>{size}}" for cell, size in zip(cells, widths, strict=True))])

    lines = [line("label", columns), *(line(label, [f"{amount:,}" for amount in amounts]) for label, amounts in shown)]
    if len(rows) > MOST_CLASSES:
        lines.append(f"and {len(rows) - MOST_CLASSES} classes with more images; --json has all")
    return lines


def _copy(division: Division, policy: ReadPolicy, open_output: Callable[[], Store]) -> int:
    """Copies the images, saying now and then how far it is; how many were not there yet."""
    clock = policy.clock
    num_copied, said, total = 0, clock.monotonic(), len(division.index)
    for done, is_new in enumerate(copied_files(division, policy, open_output), start=1):
        num_copied += is_new
        if clock.monotonic() - said >= PROGRESS_SECONDS:
            said = clock.monotonic()
            remark(f"copying: {done:,} of {number_of(total, 'image')}")
    return num_copied


def _done(division: Division, given: SplitArguments, num_copied: int) -> str:
    output, total = plain(redact(given.output_url)), len(division.index)
    ignored = f"; {number_of(division.index.ignored, 'other file')} left out" if division.index.ignored else ""
    if given.manifest:
        return f"named {number_of(total, 'image')} in {len(division.parts)} manifests in {output}{ignored}"
    there = f", {total - num_copied:,} were there already" if num_copied < total else ""
    return f"copied {number_of(num_copied, 'image')} to {output} and compared them{there}{ignored}"


def _next(given: SplitArguments, places: Mapping[str, str]) -> list[str]:
    """What to do next, as a command."""
    words = ["train", places["train"], "--test", places["test"]]
    if "validation" in places:
        words += ["--validation", places["validation"]]
    if given.group_by is not None:
        words += ["--group-by", given.group_by]  # What is held out of the part to train on is another division.
    secrets = [f"--storage-option={option}" for option in given.storage_options]
    return ["next:", f"  {command_line([*program(), *words, *secrets])}"]


def _json(division: Division, places: Mapping[str, str], given: SplitArguments, num_copied: int) -> dict[str, object]:
    counts, classes = division.counts, division.index.classes
    return {
        "output": redact(given.output_url),
        "seed": given.seed,
        "parts": {
            part: {
                "url": redact(places[part]),
                "count": int(counts[:, place].sum()),
                "classes": dict(zip(classes, counts[:, place].tolist(), strict=True)),
            }
            for place, part in enumerate(division.parts)
        },
        "copied": num_copied,
        "ignored": division.index.ignored,
    }
