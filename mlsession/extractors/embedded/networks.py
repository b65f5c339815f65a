"""From the value of an embedded extractor to features, by whatever runs it; torch and OpenVINO only where they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsession.extractors.embedded.extractor import EmbeddedExtractor
from mlsession.extractors.embedded.plan import plan_of
from mlsession.extractors.embedded.weights import folded_kernels, published_tensors, tuned_kernels
from mlsession.extractors.protocol import FeatureExtractor
from mlsession.extractors.running.batched import BatchedExtractor, Run
from mlsession.extractors.running.runtime import Runtime
from mlsession.extractors.tuned import TunedExtractor

if TYPE_CHECKING:
    from torch import nn


def loaded(spec: EmbeddedExtractor, runtime: Runtime, tuned: TunedExtractor | None = None) -> FeatureExtractor:
    """The network behind a value with its published weights, or `tuned` ones; raises what `load_extractor` does."""
    plan, called = plan_of(spec.variant), spec if tuned is None else tuned
    kernels = folded_kernels(plan, published_tensors(spec.variant))
    if tuned is not None:
        kernels = tuned_kernels(plan, kernels, tuned.tensors, tuned.name)

    def network() -> nn.Module:
        from mlsession.extractors.embedded.lite import build_network

        return build_network(spec.variant, kernels)

    if runtime.gpu is not None:
        from mlsession.extractors.network import extractor_of

        return extractor_of(
            network(),
            name=called.name,
            identity=called.identity,
            dimension=spec.dimension,
            input_side=spec.input_side,
            runtime=runtime,
        )
    if runtime.backend == "openvino":
        from mlsession.extractors.embedded.openvino import LiteRunner

        run: Run = LiteRunner(spec.variant, kernels, runtime)
    elif kernels_of(runtime) is not None:
        from mlsession.extractors.embedded.fused import FusedRunner

        run = FusedRunner(spec.variant, kernels, runtime.precision)
    else:
        from mlsession.extractors.network import runner

        run = runner(network(), runtime.precision)
    return BatchedExtractor(
        name=called.name,
        identity=called.identity,
        dimension=spec.dimension,
        input_side=spec.input_side,
        runtime=runtime,
        run=run,
        network=network,
        kernels=kernels_of(runtime),
    )


def kernels_of(runtime: Runtime) -> str | None:
    """What torch runs mlsession's own networks with, if not with its public operators."""
    if runtime.backend != "torch" or runtime.gpu is not None:
        return None
    from mlsession.extractors.embedded.fused import FUSED, has_fused_kernels

    return FUSED if has_fused_kernels() else None
