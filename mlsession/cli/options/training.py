"""What `mlsession train` takes, in the order and under the headings of its help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from mlsession.cli.options import arguments as typed
from mlsession.cli.options import common as options
from mlsession.cli.options import exporting as export_options
from mlsession.cli.options import extractors as extractor_options
from mlsession.cli.options import heads as head_options
from mlsession.cli.options import launching as launch_options
from mlsession.cli.options import tuning as tuning_options


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainArguments:
    """The command line, as typed; each field is an argument or option, see `mlsession.cli.options.taking`."""

    data: options.Data
    session: options.Session = None
    test: options.Test = None
    validation: options.ValidationChoice = None
    augment: options.Augment = None
    iterations: options.Iterations = None
    seed: options.Seed = 0
    export: export_options.Export = field(default_factory=list)
    storage_option: options.StorageOption = field(default_factory=list, repr=False)
    json: options.Json = False

    label_from: options.LabelFrom = "folder"
    labels: options.Labels = None
    group_by: options.GroupBy = None
    on_modified_data: options.OnModifiedData = "fail"
    on_bad_image: options.OnBadTrainingImage = "skip"
    allow_truncated: options.AllowTruncated = False
    verify_content: options.VerifyContent = False

    extractor: extractor_options.Extractor = "scene_print"
    extractor_weights: options.ExtractorWeights = None
    extractor_output: extractor_options.ExtractorOutput = None
    extractor_option: extractor_options.ExtractorOptions = field(default_factory=list)
    precision: options.PrecisionName = "auto"
    backend: options.BackendName = "auto"
    accelerator: options.AcceleratorName = "auto"
    decoder: options.DecoderName = "auto"
    cache: options.Cache = "auto"
    cache_size: options.CacheSize = "10GB"

    classifier: options.Head = "logistic"
    layer_sizes: options.LayerSizes = None
    class_weight: options.ClassWeights = field(default_factory=list)
    classifier_option: head_options.HeadOption = field(default_factory=list)
    tune: options.Tune = "cross-validation"

    fine_tune: tuning_options.FineTuneFlag = False
    epochs: tuning_options.Epochs = None
    learning_rate: tuning_options.LearningRate = None
    batch_size: tuning_options.BatchSize = None
    unfreeze: tuning_options.Unfreeze = None
    fine_tune_option: tuning_options.FineTuneOptions = field(default_factory=list)

    checkpoint_interval: options.CheckpointInterval = "auto"
    keep_last: options.KeepLast = None
    keep_best: options.KeepBest = None
    report_interval: options.ReportInterval = 1
    logger: options.Loggers = field(default_factory=list)
    create_only: launch_options.CreateOnly = False
    take_over: options.TakeOver = False

    devices: launch_options.Devices = "1"
    num_nodes: launch_options.NumNodes = 1
    strategy: launch_options.Strategy = "auto"

    author: options.Author = ""
    license: options.License = ""
    description: options.Description = None
    version: options.ModelVersion = None
    metadata: options.Metadata = field(default_factory=list)
    compress: export_options.Compress = None
    max_changed: export_options.MaxChanged = None
    format: export_options.Format = field(default_factory=list)

    @property
    def about(self) -> typed.About:
        """What exports say of themselves."""
        return typed.About(
            author=self.author,
            license=self.license,
            description=self.description,
            version=self.version,
            facts=self.metadata,
        )

    @property
    def session_url(self) -> str:
        """Where the session lies."""
        return typed.default_session(self.data, Path.cwd()) if self.session is None else self.session


HEADINGS: Mapping[str, str] = MappingProxyType(
    {
        "label_from": "Images and labels",
        "extractor": "From images to features",
        "classifier": "The classifier on the features",
        "fine_tune": "Training the network itself",
        "checkpoint_interval": "The session",
        "devices": "Several processes",
        "author": "Exported models",
    }
)
"""By the first option below each; those before the first have none of their own."""
