"""The command that looks at labelled images before they are trained on; see `app`."""

# ruff: noqa: B006 (typer copies what it takes as a default)

from __future__ import annotations

from typing import Annotated

import typer

from mlsession.cli.commands import Work
from mlsession.cli.options import common as options


def scan(
    data: options.Data,
    test: Annotated[
        str | None,
        typer.Option(metavar="DIR|CSV", help="Images to test on, to look for copies of training images among them."),
    ] = None,
    html: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Write a page with small pictures here, or to a URL.", show_default=False),
    ] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="error|warning|KIND[,KIND]",
            help="Exit with 3 if there is something as bad as this, or of these kinds.  [default: never]",
        ),
    ] = None,
    input_side: Annotated[int, typer.Option(metavar="N", help="Pixels that the network sees of a side.")] = 224,
    label_from: options.LabelFrom = "folder",
    storage_option: options.StorageOption = [],
    json: options.Json = False,
) -> Work:
    """Look for what is wrong with labelled images, before training.

    Damaged files, copies, copies under other labels or in the test set, tiny classes, dark or blurred photos, and more.
    Reads every image once; changes nothing. Exit codes: 0 done, 3 found what --fail-on names.
    """

    def work() -> int:
        from mlsession.cli.running.scan import ScanArguments, scan

        return scan(
            ScanArguments(
                data=data,
                test=test,
                html=html,
                fail_on=fail_on,
                input_side=input_side,
                label_from=label_from,
                storage_options=tuple(storage_option),
                json=json,
            )
        )

    return work
