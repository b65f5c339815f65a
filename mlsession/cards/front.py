"""The front matter of a card, as the Hugging Face Hub reads it: https://huggingface.co/docs/hub/model-cards. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from mlsession.cards.facts import CardFacts
from mlsession.cards.markdown import yaml_lines
from mlsession.metrics.report import ClassifierMetrics
from mlsession.session.phase import Json

LICENCES = frozenset(
    (
        *("afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bigscience-openrail-m", "bsd", "bsd-2-clause"),
        *("bsd-3-clause", "bsd-3-clause-clear", "bsl-1.0", "c-uda", "cc", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0"),
        *("cc-by-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"),
        *("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0"),
        *("cc0-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0", "ecl-2.0", "epl-1.0", "epl-2.0"),
        *("etalab-2.0", "eupl-1.1", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "isc", "lgpl", "lgpl-2.1", "lgpl-3.0"),
        *("lgpl-lr", "lppl-1.3c", "mit", "mpl-2.0", "ms-pl", "ncsa", "odbl", "odc-by", "ofl-1.1", "openrail"),
        *("openrail++", "osl-3.0", "pddl", "postgresql", "unknown", "unlicense", "wtfpl", "zlib"),
    )
)
"""What the Hub calls licences that it knows."""

_TAGS = {".mlmodel": "coreml", ".mlpackage": "coreml", ".onnx": "onnx", ".pt2": "pytorch"}


def front_matter(facts: CardFacts, suffixes: Iterable[str]) -> list[str]:
    """The lines between two `---`: licence, library, task, tags, and the figures of test images, if there are any."""
    tags = dict.fromkeys(["mlsession", *(_TAGS[suffix] for suffix in suffixes if suffix in _TAGS)])
    said: dict[str, Json] = {
        **_licence(facts.metadata.license),
        "library_name": "mlsession",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", *tags],
    }
    test = facts.metrics.get("test")
    if test is not None and test.is_valid and test.count:
        figures = _figures(test)
        said["metrics"] = list(dict.fromkeys(kind for kind, _, _ in figures if kind in ("accuracy", "f1")))
        said["model-index"] = [_index_entry(facts, figures)]
    return ["---", *yaml_lines(said), "---"]


def _licence(text: str) -> dict[str, Json]:
    """The Hub knows some licences; another one is called by its name."""
    words = text.strip()
    if not words:
        return {}
    name = re.sub(r"[^a-z0-9.+]+", "-", words.lower()).strip("-")
    if name in LICENCES:
        return {"license": name}
    return {"license": "other", "license_name": name or "other"}


def _figures(metrics: ClassifierMetrics) -> list[tuple[str, str, float]]:
    """The kind, as the Hub calls it, name and value of what was measured; only what is defined."""
    figures = [
        ("accuracy", "Accuracy", metrics.accuracy),
        ("accuracy", "Balanced accuracy", metrics.balanced_accuracy),
        ("f1", "Macro F1", metrics.f1_macro),
        ("roc_auc", "ROC AUC, macro, one against the rest", metrics.roc_auc_ovr),
        ("log_loss", "Log loss in nats", metrics.log_loss),
        ("expected_calibration_error", "Expected calibration error", metrics.expected_calibration_error),
    ]
    return [(kind, name, round(value, 4)) for kind, name, value in figures if math.isfinite(value)]


def _index_entry(facts: CardFacts, figures: list[tuple[str, str, float]]) -> dict[str, Json]:
    metrics: list[Json] = [{"type": kind, "value": value, "name": name} for kind, name, value in figures]
    result: dict[str, Json] = {
        "task": {"type": "image-classification", "name": "Image Classification"},
        "dataset": {"name": facts.data.name if facts.data else "test images", "type": "imagefolder", "split": "test"},
        "metrics": metrics,
    }
    return {"name": facts.title, "results": [result]}
