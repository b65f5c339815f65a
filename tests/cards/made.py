"""Facts of a made-up model, the same always."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlsession.advising.advice import Advice, Lever, Severity, Verdict
from mlsession.cards import CardFacts, DataFacts, ExtractorFacts
from mlsession.export.metadata import ModelMetadata
from mlsession.export.report import ExportReport
from mlsession.metrics.report import ClassifierMetrics

LABELS = ("cat", "|dog| <b>*x*", "`rm`\n# owl")


def metrics(*rows: tuple[int, ...]) -> ClassifierMetrics:
    """Of a confusion matrix."""
    return ClassifierMetrics(
        classes=LABELS, confusion_matrix=np.array(rows, np.int64), log_loss=0.25, log_loss_deviation=0.5
    )


def export(name: str, **fields: object) -> ExportReport:
    """The proof of a file."""
    proof = ExportReport(
        path=name,
        format="ONNX",
        spec_version=18,
        size_bytes=13_400_000,
        num_images=15,
        max_difference=2e-7,
        verified=True,
        num_photos=8,
        tolerance=1e-4,
        num_labels_equal=15,
        runtime="ONNX Runtime 1.31",
        seconds=0.0123,
        model_size_bytes=13_400_000,
        model_seconds=0.0456,
    )
    return replace(proof, **fields)  # type: ignore[arg-type]


def facts(**fields: object) -> CardFacts:
    """Everything there is to say."""
    advice = Advice(
        rule="confusions",
        severity=Severity.PROVEN,
        limit="two classes are taken for each other",
        evidence="of 20 images of |dog| <b>*x* 5 are called cat",
        next_step="look at them",
        command=("mistakes", "/home/somebody/session"),
        lever=Lever.LABELS,
    )
    card = CardFacts(
        title="Pets_2",
        metadata=ModelMetadata(author="A. *Person*", license="MIT", additional={"site": "x|y", "mlsession.v": "no"}),
        classes=LABELS,
        side=256,
        head="logistic regressor",
        model_digest="ab" * 32,
        temperature=1.25,
        extractor=ExtractorFacts(name="scene_print:2", identity="scene_print:2 lite0", licence="Apache-2.0"),
        exports=(
            export("model.safetensors", format="mlsession classifier", size_bytes=16_600, max_difference=0.0),
            export("model.onnx"),
            export("model.mlmodel", format="Core ML neural network", verified=False, seconds=None),
        ),
        data=DataFacts(name="pets", digest="cd" * 32, split="none", skipped=2),
        metrics={
            "training": metrics((50, 0, 0), (0, 50, 0), (0, 0, 9)),
            "test": metrics((19, 1, 0), (5, 15, 0), (0, 0, 4)),
        },
        advice=Verdict(advice=advice),
        training={"parameters": {"seed": 0, "weights": {"`rm`\n# owl": 2.0}}},
        numerics={"training": {"backend": "torch 2.15"}},
        version="0.1.0",
        processor="x86_64 avx2",
    )
    return replace(card, **fields)  # type: ignore[arg-type]
