"""Extracting and fine-tuning on a GPU: the same features, an exact resume, and how fast against a plain loop.

    python benchmarks/devices.py [--photos N] [--kills N] [--accelerator auto|cpu|gpu]        or: make bench-gpu

On a machine without a GPU that torch can use it says so, runs a small sample on the CPU and ends well. Everything that
is compared is measured in this run, on copies of the example's photos (0.2 megapixels) that differ in a comment.

    features      those of the GPU against the CPU's in float32; each photo alone, in company, and at every place
    throughput    whole (decode and network), its two parts alone, and a DataLoader with timm's network beside it
    decoders      nvJPEG against Pillow: what a session would find of it, the whole rate with each, the same bits again
    resume        a training that is killed (SIGKILL) and goes on against one that is not: the model, bit for bit
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

if __name__ == "__main__":
    # A script has only its own folder on the path.
    sys.path[0] = str(Path(__file__).parents[1])

import numpy as np
import numpy.typing as npt

import mlsession as ml
from benchmarks.extraction.photos import EXAMPLES, make_photos
from mlsession.devices.accelerators import AcceleratorChoice
from mlsession.extractors.catalog import close_extractor, load_extractor, numerics_of, runtime_for
from mlsession.extractors.running.runtime import PrecisionChoice, Runtime, Surroundings
from mlsession.extractors.trying import MOST_PHOTOS, trial_of
from mlsession.images.decode import prepare_image
from mlsession.phases.recorded import EXTRACTOR, RecordedExtractor
from mlsession.processor import usable_processors

SPEC = ml.scene_print()
SAMPLE = {"photos": 64, "kills": 1}
"""Of a machine without a GPU."""
LARGE = {"photos": 6000, "kills": 3}
TRAINED = 64
"""Photos of the trainings that are killed."""
EPOCHS = 2
SECONDS = 500.0

Pictures = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.float32]


def main() -> None:
    given = _arguments()
    if given.child:
        print(json.dumps(train(*given.child)))
        return
    best = runtime_for(SPEC, accelerator=given.accelerator)
    sizes = SAMPLE if best.gpu is None else LARGE
    print(f"device: {'the CPU' if best.gpu is None else f'{best.gpu.name}, {best.gpu.libraries}'}, ", end="")
    print(f"{usable_processors()} processors, {numerics_of(SPEC, best)['backend']}")
    if best.gpu is None:
        print("torch can use no GPU here: what follows is a small sample of the same checks on the CPU")
    with tempfile.TemporaryDirectory(prefix="mlsession-devices-") as folder:
        photos = make_photos(EXAMPLES / "train", Path(folder, "photos"), given.photos or sizes["photos"])
        few = make_photos(EXAMPLES / "train", Path(folder, "few"), min(TRAINED, given.photos or sizes["photos"]))
        files = sorted(photos.rglob("*.jpg"))
        for precision in precisions(given.accelerator):
            runtime = runtime_for(SPEC, "auto" if best.gpu is None else "torch", precision, given.accelerator)
            show("features", precision, compared(runtime, files[:200]))
            show("throughput", precision, throughput(runtime, files))
            show("decoders", precision, decoders(runtime, files))
        show("throughput", "DataLoader, timm", plain_loops(photos, len(files), str(runtime.device)))
        for kind in ("transfer", "tune"):
            for precision in precisions(given.accelerator):
                found = killed(few, Path(folder), kind, precision, given.accelerator, given.kills or sizes["kills"])
                show("resume", f"{kind}, {precision}", found)


def _arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int)
    parser.add_argument("--kills", type=int)
    parser.add_argument("--accelerator", default="auto", choices=["auto", "cpu", "gpu", "cuda", "mps"])
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    return parser.parse_args()


def show(part: str, what: str, found: dict[str, object]) -> None:
    print(f"\n{part}: {what}")
    for name, value in found.items():
        print(f"  {name:<44} {f'{value:,.6g}' if isinstance(value, float) else value}", flush=True)


def precisions(accelerator: AcceleratorChoice) -> list[PrecisionChoice]:
    """Those that can be had here."""
    fast = runtime_for(SPEC, "auto", "auto", accelerator).precision == "bfloat16"
    return ["32-true", "bf16-true"] if fast else ["32-true"]


def prepared(files: Sequence[Path]) -> Pictures:
    """uint8 [n, side, side, 3]."""
    with ThreadPoolExecutor(max_workers=usable_processors()) as pool:
        made = pool.map(lambda file: prepare_image(file.read_bytes(), file.name, SPEC.input_side), files)
        return np.stack(list(made))


@contextmanager
def loaded(runtime: Runtime) -> Iterator[Callable[[Pictures], Rows]]:
    extractor = load_extractor(SPEC, runtime)
    try:
        yield extractor.extract
    finally:
        close_extractor(extractor)


def compared(runtime: Runtime, files: Sequence[Path]) -> dict[str, object]:
    """Features against the CPU's in float32, and against themselves in other company."""
    pictures = prepared(files)
    expected = load_extractor(SPEC, Runtime(backend="torch", precision="float32")).extract(pictures)
    with loaded(runtime) as extract:
        found = extract(pictures)
        again = extract(pictures)
        alone = np.concatenate([extract(pictures[place : place + 1]) for place in range(len(pictures))])
    with loaded(runtime) as extract:
        shifted = np.concatenate([extract(pictures[:3]), extract(pictures[3:])])
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    cosines = (found * expected).sum(axis=1) / norms
    return {
        "cosine to float32 on the CPU, mean": float(cosines.mean()),
        "  5th percentile": float(np.quantile(cosines, 0.05)),
        "  least": float(cosines.min()),
        "photos": len(pictures),
        "other bits the second time": differing(found, again),
        "other bits alone in a batch": differing(found, alone),
        "other bits in another process's place": differing(found, shifted),
    }


def differing(found: Rows, other: Rows) -> str:
    """How many rows are not the same, and by how much at most."""
    rows = np.any(found != other, axis=1)
    return f"{rows.sum()} rows" + (f", by up to {np.abs(found - other).max():.2g}" if rows.any() else "")


def throughput(runtime: Runtime, files: Sequence[Path]) -> dict[str, object]:
    """Images a second of the whole way from files to features as a session goes it, and of its parts alone."""
    with Busy(runtime.device == "cuda") as busy:
        whole, _ = whole_rate(runtime, files)
    some = files[: min(len(files), 2000)]
    began = time.perf_counter()
    pictures = prepared(some)
    decoding = len(some) / (time.perf_counter() - began)
    network = network_rate(runtime, pictures)
    if runtime.gpu is None:  # Both take turns on the same processors.
        bound, limit = "the sum of both parts", 1 / (1 / decoding + 1 / network)
    else:
        bound, limit = "decoding" if decoding < network else "the network", min(decoding, network)
    return {
        "whole, images/s": whole,
        "decoding alone": decoding,
        "network alone": network,
        "bound by": f"{bound}: {limit:,.0f} images/s, of which {whole / limit:.0%} are reached",
        "GPU busy (nvidia-smi)": busy.said,
    }


def whole_rate(runtime: Runtime, files: Sequence[Path]) -> tuple[float, Rows]:
    """Images a second as a session goes it, what a GPU takes to start not counted; and the features."""
    about = RecordedExtractor(
        spec=SPEC,
        numerics={EXTRACTOR: dict(numerics_of(SPEC, runtime))},
        emit=print,
        surroundings=lambda device: replace(Surroundings.here(), gpu=runtime.gpu),
    )
    featurizer = about.featurizer(None)

    def worked(rows: range) -> Rows:
        batches = featurizer.batches(rows, lambda row: files[row].name, lambda row: files[row].read_bytes())
        return np.concatenate([picture.features for batch in batches for picture in batch]).astype(np.float32)

    try:
        worked(range(1))
        began = time.perf_counter()
        rows = worked(range(len(files)))
        return len(files) / (time.perf_counter() - began), rows
    finally:
        featurizer.close()


def decoders(runtime: Runtime, files: Sequence[Path]) -> dict[str, object]:
    """nvJPEG beside Pillow, on the same photos and the same network; without CUDA there is nothing to compare."""
    some = files[:: max(len(files) // MOST_PHOTOS, 1)]
    if runtime.device != "cuda":
        return {"nvJPEG": f"not compared: the network runs on {runtime.device}, and it decodes for CUDA"}
    trial = trial_of(SPEC, runtime, [file.read_bytes() for file in some])
    found: dict[str, object] = {
        "photos tried": trial.photos,
        "cosine to the features by Pillow, mean": trial.mean,
        "  5th percentile": trial.low,
        "what speaks against it": trial.flaw or "nothing",
    }
    if trial.flaw:
        return found
    chosen = replace(runtime, decoder="nvjpeg")
    by_pillow, expected = whole_rate(runtime, files)
    first, rows = whole_rate(chosen, files)
    second, again = whole_rate(chosen, files)
    cosines = (rows * expected).sum(axis=1) / (np.linalg.norm(rows, axis=1) * np.linalg.norm(expected, axis=1))
    return {
        **found,
        "whole with Pillow, images/s": by_pillow,
        "whole with nvJPEG, images/s": max(first, second),
        "cosine of all photos, least": float(cosines.min()),
        "other bits the second time": differing(rows, again),
    }


def network_rate(runtime: Runtime, pictures: Pictures) -> float:
    """Images a second of the network, from several threads."""
    workers, rounds = usable_processors() if runtime.gpu is None else 8, 1 if runtime.gpu is None else 8
    pieces = np.array_split(pictures, workers)
    own = threading.local()

    def work(piece: Pictures) -> None:
        if runtime.gpu is None and not hasattr(own, "extract"):
            own.extract = load_extractor(SPEC, runtime).extract
        for _ in range(rounds):
            (shared if runtime.gpu is not None else own.extract)(piece)

    with loaded(runtime) as shared, ThreadPoolExecutor(max_workers=workers) as pool:
        list(pool.map(work, [piece[:1] for piece in pieces]))
        began = time.perf_counter()
        list(pool.map(work, pieces))
        return rounds * len(pictures) / (time.perf_counter() - began)


def plain_loops(folder: Path, count: int, device: str) -> dict[str, object]:
    """What people write by hand: torchvision's ImageFolder, a DataLoader, timm's network with the same weights."""
    import torch
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms  # type: ignore[import-untyped]

    from benchmarks.extraction.peers import MIDDLE, SHORTER_SIDE, SIDE, backbone

    steps = [transforms.Resize(SHORTER_SIDE), transforms.CenterCrop(SIDE), transforms.ToTensor()]
    data = datasets.ImageFolder(folder, transforms.Compose([*steps, transforms.Normalize(MIDDLE, MIDDLE)]))
    model = backbone().to(device)
    found: dict[str, object] = {}
    for name, is_mixed in (("float32, images/s", False), ("bfloat16 autocast, channels last", True)):
        model = model.to(memory_format=torch.channels_last if is_mixed else torch.contiguous_format)
        loader = DataLoader(
            data, batch_size=64, num_workers=usable_processors(), pin_memory=device == "cuda", persistent_workers=False
        )
        began = time.perf_counter()
        with (
            Busy(device == "cuda") as busy,
            torch.inference_mode(),
            torch.autocast(device, torch.bfloat16, enabled=is_mixed),
        ):
            for pictures, _ in loader:
                model(pictures.to(device, non_blocking=True)).float().cpu()
        found[name] = count / (time.perf_counter() - began)
        found[f"  GPU busy, {usable_processors()} loading processes"] = busy.said
    return found


class Busy:
    """How busy the GPU is meanwhile, as its driver says: the mean of samples."""

    def __init__(self, has_driver: bool) -> None:
        self._has_driver = has_driver and shutil.which("nvidia-smi") is not None
        self.said = "not known: there is no nvidia-smi"

    def __enter__(self) -> Busy:
        self._process: subprocess.Popen[str] | None = None
        if self._has_driver:
            words = [
                "nvidia-smi",
                "--query-gpu=utilization.gpu",
                "--format=csv,noheader,nounits",
                "-lms",
                "200",
                "-i",
                "0",
            ]
            self._process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            said = self._process.communicate()[0]
            samples = [float(line) for line in said.split() if line.isdigit()]
            self.said = f"{statistics.mean(samples):.0f} % of {len(samples)} samples" if samples else "no samples"


def train(kind: str, data: str, session: str, precision: str, accelerator: str) -> dict[str, str]:
    """Trains, or goes on; the digests of what came of it."""
    algorithm: ml.TransferLearning | ml.FineTune = ml.TransferLearning()
    if kind == "tune":
        # Views need albumentations, which may not be installed.
        algorithm = ml.FineTune(epochs=EPOCHS, augmentation=(), keep="always", batch_size=8)
    parameters = ml.ModelParameters(
        algorithm=algorithm,
        precision=cast(PrecisionChoice, "bf16-mixed" if (kind, precision) == ("tune", "bf16-true") else precision),
        accelerator=cast(AcceleratorChoice, accelerator),
    )
    where = ml.SessionParameters(session, checkpoint_interval=1, cache=None)
    classifier = ml.Classifier.train(ml.DataSource.labeled_directories(data), parameters, where).result()
    return {"model": classifier.model_digest, "accuracy": repr(classifier.training_metrics.accuracy)}


def killed(
    photos: Path, folder: Path, kind: str, precision: PrecisionChoice, accelerator: str, kills: int
) -> dict[str, object]:
    """One training that nobody disturbs, and one that is killed as it goes."""

    def start(session: Path) -> subprocess.Popen[str]:
        words = [kind, str(photos), str(session), precision, accelerator]
        line = [sys.executable, __file__, "--accelerator", accelerator, "--child", *words]
        return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finished(process: subprocess.Popen[str]) -> dict[str, str]:
        out, errors = process.communicate(timeout=SECONDS)
        if process.returncode != 0:
            raise SystemExit(f"{kind}, {precision}: {errors.strip().splitlines()[-1]}")
        digests: dict[str, str] = json.loads(out.splitlines()[-1])
        return digests

    whole, broken = (folder / f"{kind}-{precision}-{name}" for name in ("whole", "broken"))
    began = time.perf_counter()
    expected = finished(start(whole))
    seconds = time.perf_counter() - began
    records = len(list((whole / "log").iterdir()))
    struck = 0
    for kill in range(1, kills + 1):
        process = start(broken)
        while process.poll() is None and count_records(broken) < records * kill // (kills + 1):
            time.sleep(0.01)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            struck += 1
        process.communicate(timeout=SECONDS)
    found = finished(start(broken))
    return {
        "seconds, undisturbed": seconds,
        "records": records,
        "killed": f"{struck} times",
        "the model": "the same bits" if found == expected else f"DIFFERS: {found} and not {expected}",
    }


def count_records(session: Path) -> int:
    return len(list((session / "log").iterdir())) if (session / "log").is_dir() else 0


if __name__ == "__main__":
    main()
