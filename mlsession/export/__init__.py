"""Trained models in formats that other programs read, proved when they are written.

Importing this package needs no torch; the converters and evaluators do.
"""

from mlsession.export.encoded import Encoded
from mlsession.export.metadata import ModelMetadata
from mlsession.export.protocol import EXPORT_SUFFIXES, ExportableModel, Exporter, export_suffix, exporter_for
from mlsession.export.report import ExportReport

__all__ = [
    "EXPORT_SUFFIXES",
    "Encoded",
    "ExportReport",
    "ExportableModel",
    "Exporter",
    "ModelMetadata",
    "export_suffix",
    "exporter_for",
]
