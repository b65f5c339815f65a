"""Networks of timm and torchvision with weights from files, against the libraries themselves."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torchvision import models  # type: ignore[import-untyped]

from mlsession.errors import IncompatibleParameters, InvalidParameter, ModelNotFound
from mlsession.extractors.catalog import extractor_named, load_extractor, timm_extractor, torchvision_extractor
from mlsession.extractors.library.extractor import FILE, TENSORS, LibraryExtractor, TimmExtractor
from mlsession.extractors.library.torchvision_networks import drop_last_linear
from mlsession.extractors.running.runtime import Runtime
from mlsession.extractors.weights import EFFICIENTNET_LITE0, tensors_digest
from tests.extractors.networks import expected_features, save_weights, timm_network, torchvision_network
from tests.extractors.photos import prepared, published, published_names, relative_error

TIMM_MEAN, TIMM_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def loaded(spec: LibraryExtractor) -> Any:
    return load_extractor(spec)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> TimmExtractor:
    """timm's smallest residual network, which sees 160 pixels, with weights from a file."""
    path = tmp_path_factory.mktemp("weights") / "resnet.safetensors"
    return timm_extractor("test_resnet", save_weights(timm_network("test_resnet"), path))


class TestTimm:
    @pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit", "test_convnext"])
    def test_the_features_are_those_before_the_classifier(self, name: str, tmp_path: Path) -> None:
        network = timm_network(name)
        spec = timm_extractor(name, save_weights(network, tmp_path / "w.pth"))
        images = prepared("Kiwi", spec.input_side)[:3]
        network.reset_classifier(0)
        expected = expected_features(network, images, spec.network_side, spec.mean, spec.std)
        found = loaded(spec).extract(images)
        assert found.shape == (3, spec.dimension) == expected.shape
        assert relative_error(found, expected) < 1e-5

    def test_its_facts_are_those_of_the_library_and_the_file(self, resnet: TimmExtractor) -> None:
        assert resnet.location is not None
        assert resnet.weights == f"{FILE}:{hashlib.sha256(Path(resnet.location).read_bytes()).hexdigest()}"
        assert (resnet.network_side, resnet.input_side) == (160, 183)
        assert resnet.dimension == timm.create_model("test_resnet", num_classes=0).num_features
        extractor = loaded(resnet)
        assert (extractor.name, extractor.identity) == ("timm:test_resnet", resnet.identity)
        assert (extractor.dimension, extractor.input_side) == (resnet.dimension, resnet.input_side)
        assert extractor.numerics()["library"] == f"timm {timm.__version__}"

    def test_a_classifier_of_other_classes_or_none_is_as_good(self, resnet: TimmExtractor, tmp_path: Path) -> None:
        images = prepared("Kiwi", resnet.input_side)[:2]
        expected = loaded(resnet).extract(images)
        for classes in (7, 0):
            network = timm_network("test_resnet", num_classes=classes)
            full = torch.load(save_weights(network, tmp_path / "w.pth"), weights_only=True)
            assert resnet.location is not None
            shared = load_state(resnet.location)
            network.load_state_dict({**full, **{name: shared[name] for name in full if not name.startswith("fc.")}})
            spec = timm_extractor("test_resnet", save_weights(network, tmp_path / f"{classes}.pth"))
            assert np.array_equal(loaded(spec).extract(images), expected)

    def test_embedded_weights_through_timm_are_the_embedded_extractor(self, tmp_path: Path) -> None:
        """timm crops and normalises to the same pixels, so only the folding of the normalisation differs."""
        network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        weights, names = published(EFFICIENTNET_LITE0), published_names(network)
        network.load_state_dict({key: weights[names[key]] for key in network.state_dict()})
        spec = extractor_named("timm:tf_efficientnet_lite0", save_weights(network, tmp_path / "lite0.safetensors"))
        images = prepared("Lemon")[:2]
        embedded = load_extractor(extractor_named("lite0"), Runtime(backend="torch", precision="float32"))
        assert relative_error(loaded(spec).extract(images), embedded.extract(images)) < 1e-5  # type: ignore[arg-type]

    @pytest.mark.parametrize("other", ["test_resnet_wide", "test_vit", "nothing"])
    def test_weights_of_another_network_are_refused(self, other: str, tmp_path: Path) -> None:
        """Never a network that is partly random."""
        if other == "test_resnet_wide":
            network: nn.Module = timm_network("test_resnet")
            network.add_module("layer5", nn.Linear(2, 2))
        else:
            network = timm_network(other) if other != "nothing" else nn.Linear(2, 2)
        path = save_weights(network, tmp_path / "w.safetensors")
        with pytest.raises(InvalidParameter, match=r"w\.safetensors.*they are not those of timm:test_resnet") as caught:
            timm_extractor("test_resnet", path)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("resnt18", "timm:resnet18"),
            ("resnet18.a1_in1", r"timm:resnet18\.a1_in1k"),
            ("hf_hub:timm/resnet18", "list_models"),
            ("", "list_models"),
        ],
    )
    def test_a_network_that_does_not_exist(self, name: str, meant: str, resnet: TimmExtractor) -> None:
        with pytest.raises(InvalidParameter, match=rf"timm has no such network.*{meant}"):
            extractor_named(f"timm:{name}", resnet.location)


def load_state(location: str) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(location)


class TestTorchvision:
    @pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
    def test_the_features_are_those_before_the_last_linear_layer(self, name: str, tmp_path: Path) -> None:
        network = torchvision_network(name, num_classes=5)
        spec = torchvision_extractor(name, save_weights(network, tmp_path / "w.pth"))
        images = prepared("Kiwi")[:2]
        inputs: list[torch.Tensor] = []
        last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
        last.register_forward_pre_hook(lambda module, given: inputs.append(given[0]))
        expected_features(network, images, 224, TIMM_MEAN, TIMM_STD)
        found = loaded(spec).extract(images)
        assert spec.dimension == last.in_features
        assert relative_error(found, inputs[0].numpy()) < 1e-5

    @pytest.mark.parametrize(
        ("name", "classifier", "features"),
        [
            ("resnet50", "fc", 2048),
            ("mobilenet_v2", "classifier.1", 1280),
            ("mobilenet_v3_large", "classifier.3", 1280),
            ("efficientnet_b0", "classifier.1", 1280),
            ("convnext_tiny", "classifier.2", 768),
            ("vit_b_16", "heads.head", 768),
            ("swin_t", "head", 768),
            ("densenet121", "classifier", 1024),
        ],
    )
    def test_the_classifier_of_every_family_is_found(self, name: str, classifier: str, features: int) -> None:
        with torch.device("meta"):
            network = models.get_model(name, weights=None).eval()
            assert drop_last_linear(network, name) == classifier
            assert network(torch.zeros(1, 3, 224, 224)).shape == (1, features)

    def test_densenets_published_names_are_understood(self, tmp_path: Path) -> None:
        network = torchvision_network("densenet121", num_classes=2)
        old = {
            name.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): tensor
            for name, tensor in network.state_dict().items()
        }
        assert old.keys() != network.state_dict().keys()
        torch.save(old, tmp_path / "old.pth")
        assert torchvision_extractor("densenet121", tmp_path / "old.pth").dimension == 1024

    def test_a_network_without_a_linear_layer_is_refused(self, tmp_path: Path) -> None:
        path = save_weights(nn.Linear(2, 2), tmp_path / "w.pth")
        with pytest.raises(InvalidParameter, match=r"torchvision:squeezenet1_0.*no linear layer"):
            torchvision_extractor("squeezenet1_0", path)

    def test_weights_of_another_network_are_refused(self, tmp_path: Path) -> None:
        path = save_weights(torchvision_network("shufflenet_v2_x0_5"), tmp_path / "w.pth")
        with pytest.raises(InvalidParameter, match="not those of torchvision:shufflenet_v2_x1_0"):
            torchvision_extractor("shufflenet_v2_x1_0", path)

    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("resnet-18", "did you mean torchvision:resnet18"),
            ("resnet50.V3", r"choose one of torchvision:resnet50\.IMAGENET1K_V1, .*V2"),
            ("fasterrcnn_resnet50_fpn", "no such network"),
            ("googlenet", "no such network"),
        ],
    )
    def test_a_network_that_does_not_exist(self, name: str, meant: str, tmp_path: Path) -> None:
        path = save_weights(nn.Linear(2, 2), tmp_path / "w.pth")
        with pytest.raises(InvalidParameter, match=meant):
            torchvision_extractor(name, path)


class TestOnePictureOneVector:
    @pytest.mark.parametrize("name", ["test_vit", "test_convnext"])
    def test_order_neighbours_and_fill_do_not_matter(self, name: str, tmp_path: Path) -> None:
        spec = timm_extractor(name, save_weights(timm_network(name), tmp_path / "w.pth"))
        extractor = loaded(spec)
        images = np.concatenate([prepared(label, spec.input_side)[:4] for label in ("Kiwi", "Lemon", "Tomato")])
        together = extractor.extract(images)
        order = np.random.Generator(np.random.Philox(key=1)).permutation(len(images))
        assert np.array_equal(extractor.extract(images[order]), together[order])
        assert np.array_equal(extractor.extract(images[:1]), together[:1])
        same = extractor.extract(np.repeat(images[:1], 11, axis=0))
        assert (same == same[0]).all()
        assert len(np.unique(together, axis=0)) == len(images)

    def test_naming_and_loading_leave_the_random_generator_alone(self, resnet: TimmExtractor) -> None:
        assert resnet.location is not None
        before = torch.get_rng_state()
        loaded(timm_extractor("test_resnet", resnet.location))
        assert torch.equal(torch.get_rng_state(), before)


class TestTheGraph:
    @pytest.mark.filterwarnings("ignore:.*torch.jit.trace:FutureWarning")
    @pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
    def test_it_can_be_traced_with_crop_and_normalisation_inside(self, resnet: TimmExtractor) -> None:
        extractor = loaded(resnet)
        images = prepared("Kiwi", resnet.input_side)[:3]
        pictures = torch.from_numpy(images).permute(0, 3, 1, 2).float()
        traced = torch.jit.trace(extractor.network(), pictures[:1])  # type: ignore[no-untyped-call]
        assert relative_error(traced(pictures).numpy(), extractor.extract(images)) < 1e-5
        assert not extractor.network().training
        assert not any(parameter.requires_grad for parameter in extractor.network().parameters())

    def test_it_can_be_exported_for_any_batch(self, resnet: TimmExtractor) -> None:
        extractor = loaded(resnet)
        images = prepared("Kiwi", resnet.input_side)[:3]
        pictures = torch.from_numpy(images).permute(0, 3, 1, 2).float()
        batch = torch.export.Dim("batch", min=1, max=64)
        program = torch.export.export(extractor.network(), (pictures[:2],), dynamic_shapes=({0: batch},))
        assert relative_error(program.module()(pictures).numpy(), extractor.extract(images)) < 1e-5


class TestTheWeightsAreTheOnesThatWereNamed:
    def test_another_place_is_the_same_and_other_weights_are_refused(
        self, resnet: TimmExtractor, tmp_path: Path
    ) -> None:
        assert resnet.location is not None
        moved = tmp_path / "moved.safetensors"
        moved.write_bytes(Path(resnet.location).read_bytes())
        images = prepared("Kiwi", resnet.input_side)[:1]
        assert np.array_equal(loaded(resnet.at(str(moved))).extract(images), loaded(resnet).extract(images))
        other = save_weights(timm_network("test_resnet", seed=1), tmp_path / "other.safetensors")
        with pytest.raises(IncompatibleParameters, match="--extractor-weights FILE") as caught:
            loaded(resnet.at(str(other)))
        assert caught.value.original == resnet.weights
        assert caught.value.new == f"{FILE}:{hashlib.sha256(other.read_bytes()).hexdigest()}"

    def test_a_missing_file_is_named_with_the_cure(self, resnet: TimmExtractor, tmp_path: Path) -> None:
        with pytest.raises(ModelNotFound, match=r"gone\.pth: there is no such file.*--extractor-weights FILE"):
            loaded(resnet.at(str(tmp_path / "gone.pth")))

    def test_a_file_that_nothing_names_is_asked_for(self, resnet: TimmExtractor) -> None:
        with pytest.raises(
            ModelNotFound, match=r"timm:test_resnet: its weights were a file .*--extractor-weights FILE"
        ):
            loaded(resnet.at(None))

    def test_published_tensors_may_come_out_of_any_file_that_holds_them(
        self, resnet: TimmExtractor, tmp_path: Path
    ) -> None:
        """A session made with the hub's weights goes on where there is no network."""
        network = timm_network("test_resnet")
        digest = tensors_digest(network.state_dict())
        facts = {**resnet.to_json(), "weights": f"{TENSORS}:{digest}"}
        published = TimmExtractor.from_json(facts)
        images = prepared("Kiwi", resnet.input_side)[:1]
        expected = loaded(resnet).extract(images)
        for name in ("w.pth", "w.safetensors"):
            at = published.at(str(save_weights(network, tmp_path / name)))
            assert np.array_equal(loaded(at).extract(images), expected)
        other = save_weights(timm_network("test_resnet", seed=1), tmp_path / "other.pth")
        with pytest.raises(IncompatibleParameters, match=TENSORS):
            loaded(published.at(str(other)))
