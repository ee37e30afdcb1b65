"""Writing a variant's single file, after it has answered as the runtime does."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from realmnet_compression.embedding.run import open_single_file
from realmnet_compression.embedding.single_file import embed_variant
from realmnet_runtime.answering.decision import calibrated_probabilities
from realmnet_runtime.aperture.field_of_view import FieldOfView
from realmnet_runtime.backends import EngineRequest, load_engine
from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.bundles.manifest import Variant
from realmnet_runtime.errors import GateFailed
from realmnet_runtime.files import write_atomically
from realmnet_runtime.pictures.preprocess import PreprocessSpec, prepare, to_tensor

TOLERANCE: Final = 2e-3
"""Largest difference of a probability to the runtime's."""

# Sides of the crop as shares of the model's square: halved, a fraction, enlarged both ways.
_SHARES: Final = ((2.0, 2.0), (1.7, 2.3), (0.6, 0.8), (0.7, 1.6))
_MARGIN: Final = 9


class EmbeddingReport(msgspec.Struct, frozen=True):
    """What was written, and how near its answers are to the runtime's.

    Attributes:
        file: path.
        bytes: its size.
        variant: name in the bundle.
        bundle_sha256: digest of the bundle.
        largest_difference: of any probability on the probe pictures.
        pictures: number of them.
    """

    file: str
    bytes: int
    variant: str
    bundle_sha256: str
    largest_difference: float
    pictures: int


def write_single_file(
    bundle: Bundle, name: str, path: str | Path, *, tolerance: float = TOLERANCE
) -> EmbeddingReport:
    """Write a variant as one file from decoded pixels to probabilities.

    Args:
        bundle: an open one.
        name: of the variant; its model is an ONNX file, its engine runs here.
        path: file to write; its directory must exist.
        tolerance: largest allowed difference of a probability to the runtime's.

    Raises:
        ConfigurationError: no such variant, or its model is no ONNX file.
        GateFailed: its engine answers otherwise than the runtime; nothing is written.
        BackendUnavailable: the variant's engine is not installed.
        IncompatibleError: the engine cannot run the variant as the manifest says.
        OutputError: the file could not be written.
    """
    variant = bundle.variant(name)
    raw = embed_variant(bundle, variant).SerializeToString(deterministic=True)
    difference = largest_difference(bundle, variant, raw)
    if not difference <= tolerance:
        raise GateFailed(
            f"{variant.engine} differs from the runtime by {difference:.2e} in a probability; "
            f"{tolerance:.0e} is allowed: nothing was written"
        )
    write_atomically(path, raw)
    return EmbeddingReport(
        str(path), len(raw), variant.name, bundle.digest, difference, len(_SHARES)
    )


def largest_difference(bundle: Bundle, variant: Variant, raw: bytes) -> float:
    """Of any probability between a single file and the runtime, over the probe pictures."""
    spec, labels = bundle.manifest.preprocess, bundle.manifest.labels
    precision = variant.execution_precision
    request = EngineRequest(precision=precision, threads=1, size=spec.size, labels=len(labels))
    backend = load_engine(variant.engine)(bundle.read(variant.artifact), request)
    answer = open_single_file(raw, variant.engine, precision)
    largest = 0.0
    try:
        for image, field_of_view in probe_pictures(spec):
            tensor = to_tensor(prepare(image, spec, field_of_view), spec)
            logits, _ = backend.infer(tensor[np.newaxis])
            expected = calibrated_probabilities(logits[0], labels, variant.operating_point)
            found, _ = answer(image, field_of_view)
            distances = np.abs(found - np.array([expected[name] for name in labels.names]))
            # maximum keeps what is not a number, which max would lose
            largest = float(np.maximum(largest, distances.max()))
    finally:
        backend.close()
    return largest


def probe_pictures(spec: PreprocessSpec) -> list[tuple[npt.NDArray[np.uint8], FieldOfView]]:
    """Four fixed pictures with an oval aperture: coarse patches under fine noise."""
    random = np.random.default_rng(0)
    pictures = []
    for shares in _SHARES:
        height, width = (round(share * spec.size) for share in shares)
        margin = 0 if spec.deborder == "off" else _MARGIN
        rows, columns = height + 2 * margin, width + 2 * margin
        coarse = random.integers(0, 200, (rows // 8 + 1, columns // 8 + 1, 3))
        patches = coarse.repeat(8, axis=0).repeat(8, axis=1)[:rows, :columns]
        image = (patches + random.integers(0, 56, patches.shape)).astype(np.uint8)
        y, x = np.ogrid[:rows, :columns]
        oval = ((2 * y + 1) / rows - 1) ** 2 + ((2 * x + 1) / columns - 1) ** 2 <= 1.0
        box = (margin, margin, margin + width, margin + height)
        pictures.append((image, FieldOfView(box=box, mask=oval)))
    return pictures
