"""`mlsession train`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Literal, cast

from mlsession.cli.options import arguments as typed
from mlsession.cli.options import sources
from mlsession.cli.options.heads import with_options
from mlsession.cli.options.own_extractor import chosen_extractor
from mlsession.cli.options.training import TrainArguments
from mlsession.cli.output import output_width, print_json, print_lines, remark
from mlsession.cli.printing.advice import advice_lines
from mlsession.cli.printing.chosen import chosen_words, extractor_words
from mlsession.cli.printing.exporting import Exports
from mlsession.cli.printing.program import program
from mlsession.cli.printing.progress import Screen, follow, screen_for
from mlsession.cli.printing.report import class_table, headline, tuned_words
from mlsession.cli.printing.smaller import Smaller
from mlsession.cli.printing.text import command_line, plain
from mlsession.cli.printing.tuning import TuningArguments
from mlsession.devices.accelerators import AcceleratorChoice
from mlsession.devices.choice import StrategyChoice, devices_of
from mlsession.extractors.automatic import AutomaticExtractor
from mlsession.extractors.catalog import FeatureExtractorSpec
from mlsession.extractors.running.runtime import BackendChoice, DecoderChoice, PrecisionChoice
from mlsession.job.job import Job
from mlsession.job.signals import stop_on_signals
from mlsession.session.parameters import SessionParameters
from mlsession.store.location import redact
from mlsession.training.classifier import Classifier
from mlsession.training.findings.summary import SessionSummary
from mlsession.training.parameters import ModelParameters, Tune


def train(given: TrainArguments, check_signals: Callable[[], None]) -> int:
    """Trains, or goes on, then exports and reports; returns the exit code.

    `check_signals` raises `Interrupted` where a signal has been lost on a library.
    """
    options = typed.storage_options(given.storage_option)
    url = given.session_url
    sources.check_label_from(given.label_from, given.data, given.test, sources.validation_data(given.validation))
    parameters, session = _model(given, options), _session(given, url, options)
    about = given.about.metadata()
    exports = _exports(given, options)
    exports.check()
    data = sources.source(given.data, options, given.label_from)
    if given.labels is not None:
        data = data.corrected(given.labels, sources.patient_reads())
    test = sources.source(given.test, options, given.label_from) if given.test is not None else None
    screen = screen_for(sys.stderr)
    try:
        if given.create_only:
            return _prepare(Classifier.prepare(data, parameters, session, testing=test), url, screen, check_signals)
        job = Classifier.train(data, parameters, session, testing=test)
        with stop_on_signals(job):
            check_signals()
            # The engine keeps to the grace time by itself; a little more lets it say how it ended.
            classifier = follow(job, screen, session.grace_seconds + 5)
    finally:
        screen.close()
    if job.progress is None:
        remark("nothing to do: the session is finished, and neither its images nor its parameters are others")
    exported: list[str] = []
    for path in given.export:
        check_signals()
        remark(f"exporting {plain(redact(path))}")
        exports.load(path)
        check_signals()
        exported += exports.write(classifier, path, about)[0]
    with Classifier.restore_training_session(session) as stored:
        summary = SessionSummary.of(stored, all_checkpoints=given.json)
    if given.json:
        print_json(summary.to_json())
    else:
        where = f"session: {plain(redact(url))}"
        said = ["", *advice_lines(summary.advice, _secrets(given))] if summary.advice is not None else []
        print_lines([*_result(summary), "", *exported, where, "", *_next(given, url, summary), *said])
    return 0


def _prepare(job: Job[None], url: str, screen: Screen, check_signals: Callable[[], None]) -> int:
    """Makes the session and says how to train it."""
    with stop_on_signals(job):
        check_signals()
        follow(job, screen, 0.0)
    work = command_line(["torchrun", "...", "-m", "mlsession", "worker", redact(url)])
    print_lines([f"session: {plain(redact(url))}", f"next: {work}  (see docs/devices.md)"])
    return 0


def _model(given: TrainArguments, options: typed.Options) -> ModelParameters:
    return ModelParameters(
        validation=sources.validation(given.validation, given.seed, options, given.label_from),
        seed=given.seed,
        groups=given.group_by,
        augmentation=() if given.augment is None else typed.augmentation(given.augment),
        algorithm=_tuning(given).algorithm(
            _extractor(given, options),
            with_options(
                typed.classifier(given.classifier, given.layer_sizes, given.class_weight), given.classifier_option
            ),
        ),
        tune=cast(Tune, given.tune),
        on_bad_image=cast(Literal["skip", "fail"], given.on_bad_image),
        allow_truncated=given.allow_truncated,
        precision=cast(PrecisionChoice, given.precision),  # Checked there, as all parameters are.
        backend=cast(BackendChoice, given.backend),
        accelerator=cast(AcceleratorChoice, given.accelerator),
        decoder=cast(DecoderChoice, given.decoder),
    )


def _tuning(given: TrainArguments) -> TuningArguments:
    """What is said of fine-tuning."""
    return TuningArguments(
        fine_tune=given.fine_tune,
        epochs=given.epochs,
        learning_rate=given.learning_rate,
        batch_size=given.batch_size,
        unfreeze=given.unfreeze,
        options=given.fine_tune_option,
    )


def _exports(given: TrainArguments, options: typed.Options) -> Exports:
    """What is written when it is done."""
    smaller = Smaller(compress=given.compress, max_changed=given.max_changed)
    return Exports(paths=given.export, formats=given.format, smaller=smaller, options=options)


def _extractor(given: TrainArguments, options: typed.Options) -> FeatureExtractorSpec | AutomaticExtractor:
    weights, output, said = given.extractor_weights, given.extractor_output, given.extractor_option
    return chosen_extractor(given.extractor, weights, output, said, options)


def _session(given: TrainArguments, url: str, options: typed.Options) -> SessionParameters:
    return SessionParameters(
        url,
        report_interval=given.report_interval,
        checkpoint_interval=typed.checkpoint_interval(given.checkpoint_interval),
        iterations=given.iterations,
        logger=tuple(given.logger) or None,
        keep_last=given.keep_last,
        keep_best=given.keep_best,
        take_over=given.take_over,
        devices=devices_of(given.devices),
        num_nodes=given.num_nodes,
        strategy=cast(StrategyChoice, given.strategy),  # Checked there.
        on_modified_data=typed.on_modified_data(given.on_modified_data),
        cache=typed.cache(given.cache),
        cache_size=typed.byte_count("cache-size", given.cache_size),
        verify_content=given.verify_content,
        storage_options=options,
    )


def _result(summary: SessionSummary) -> list[str]:
    """The accuracies, and the classes of the part that says most about pictures to come."""
    metrics = dict(summary.metrics)
    part = next((part for part in ("test", "validation", "training") if part in metrics), None)
    table = [] if part is None else ["", f"{part} images by class:", *class_table(metrics[part], output_width())]
    chosen = [] if summary.extractor_choice is None else [f"extractor: {extractor_words(summary.extractor_choice)}"]
    chosen += [chosen_words(summary.selection)] if summary.selection is not None else []
    tuned = [f"fine-tuning: {tuned_words(summary.finetuning)}"] if summary.finetuning is not None else []
    return [headline(metrics), *chosen, *tuned, *table]


def _secrets(given: TrainArguments) -> list[str]:
    """What every command on the session needs besides its URL."""
    return [f"--storage-option={option}" for option in given.storage_option]


def _next(given: TrainArguments, url: str, summary: SessionSummary) -> list[str]:
    """What to try next, as commands."""
    secrets = _secrets(given)
    commands = [["predict", url, "PHOTO.jpg"]]
    if given.test is None:
        commands.append(["evaluate", url, "TEST_FOLDER"])
    if not given.export:
        commands.append(["export", url, "Model.mlmodel"])
    commands.append(["status", url])
    lines = [f"  {command_line([*program(), *words, *secrets])}" for words in commands]
    return ["next:", *lines]
