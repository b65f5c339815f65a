"""The commands for labelled images and what turns them into features; see `app`."""

# ruff: noqa: B006 (typer copies what it takes as a default)

from __future__ import annotations

from typing import Annotated

import typer

from mlsession.cli.commands import Work
from mlsession.cli.options import common as options


def split(
    data: options.Data,
    test: Annotated[float, typer.Option(metavar="SHARE", help="The share of each class to test on.")] = 0.2,
    validation: Annotated[
        float | None, typer.Option(metavar="SHARE", help="The share of each class to validate on.  [default: none]")
    ] = None,
    seed: options.Seed = 0,
    output: Annotated[
        str | None, typer.Option(metavar="URL", help="Where the parts go.  [default: ./<data name>-split]")
    ] = None,
    manifest: Annotated[
        bool, typer.Option("--manifest", help="Write train.csv, test.csv, ... that name the images; copy nothing.")
    ] = False,
    label_from: options.LabelFrom = "folder",
    group_by: options.GroupBy = None,
    storage_option: options.StorageOption = [],
    json: options.Json = False,
) -> Work:
    """Divide labelled images into parts to train and to test on.

    They are copied, never moved, and nothing is overwritten; files that are the same stay in one part.
    The same line again completes what was broken off.
    """

    def work() -> int:
        from mlsession.cli.running.split import SplitArguments, split

        return split(
            SplitArguments(
                data=data,
                test=test,
                validation=validation,
                seed=seed,
                output=output,
                manifest=manifest,
                label_from=label_from,
                group_by=group_by,
                storage_options=tuple(storage_option),
                json=json,
            )
        )

    return work


def augment_preview(
    data: options.Data,
    augment: Annotated[str, typer.Option(metavar="NAMES", help="As for train: crop,flip,rotate, ...")],
    output: Annotated[str, typer.Option(metavar="PATH", help="The sheet to write, a .png; a path or a URL.")],
    images: Annotated[int, typer.Option(metavar="N", help="Photos to show, from all over the data.")] = 6,
    label_from: options.LabelFrom = "folder",
    seed: options.Seed = 0,
    storage_option: options.StorageOption = [],
    json: options.Json = False,
) -> Work:
    """Show what augmentation makes of some photos.

    They are the very views that a training with the same seed learns from.
    """

    def work() -> int:
        from mlsession.cli.running.preview import PreviewArguments, augment_preview

        return augment_preview(
            PreviewArguments(
                data=data,
                augment=augment,
                output=output,
                images=images,
                label_from=label_from,
                seed=seed,
                storage_options=tuple(storage_option),
                json=json,
            )
        )

    return work


def extractors(json: options.Json = False) -> Work:
    """List what can turn images into features, for `train --extractor`."""

    def work() -> int:
        from mlsession.cli.running.extractors import extractors

        return extractors(json)

    return work


def cache(
    url: Annotated[str, typer.Argument(metavar="URL", help="The cache's folder; a path or URL.")] = ".mlsession-cache",
    clear: Annotated[bool, typer.Option("--clear", help="Delete all features in it; costs time, no session.")] = False,
    storage_option: options.StorageOption = [],
    json: options.Json = False,
) -> Work:
    """Show what the feature cache holds, which sessions share.

    It lies beside the sessions, and train --cache-size bounds it. Deleting it harms no session.
    """

    def work() -> int:
        from mlsession.cli.running.cache import cache

        return cache(url, clear, storage_option, json)

    return work


COMMANDS = (split, augment_preview, extractors, cache)
