"""Soft labels in a file: the top answers of a teacher to every picture of a training, once."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy
from safetensors import SafetensorError

from realmnet_compression.distillation.places import PictureFacts
from realmnet_compression.distillation.teacher import TeacherFacts
from realmnet_runtime.errors import ConfigurationError, IntegrityError, MissingPath
from realmnet_runtime.files import sha256_of, write_atomically
from realmnet_runtime.structs import decode_json
from realmnet_training.checkpoint import SplitFacts

SOFT_LABELS_VERSION: Final = 1
_KEY: Final = "realmnet-soft-labels"
_ARRAYS: Final = ("check", "epoch", "index", "label", "logit")

Float32Array = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]


class SoftLabelFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file of soft labels says of itself.

    Attributes:
        teacher: who answered.
        label_set: name of the labels.
        labels: how many there are.
        kept: answers kept of each picture: those of the largest |logit|, of equals the first in
            label order. A label that was not kept costs nothing when it is replayed.
        temperature: at which the file is replayed where none is asked for; what is stored are plain
            logits.
        from_stage: first stage, from 1, whose pictures were answered.
        pictures: what decides the pictures.
        pictures_digest: of `pictures`.
        table: which pictures; counts and digest.
        version: of this format.
    """

    teacher: TeacherFacts
    label_set: str
    labels: int
    kept: int
    temperature: float
    from_stage: int
    pictures: PictureFacts
    pictures_digest: str
    table: SplitFacts
    version: int = SOFT_LABELS_VERSION

    def __post_init__(self) -> None:
        if self.version != SOFT_LABELS_VERSION:
            raise ConfigurationError(
                f"soft labels of version {self.version}; this toolkit reads {SOFT_LABELS_VERSION}"
            )
        if not 1 <= self.kept <= self.labels:
            raise ConfigurationError(
                f"{self.kept} answers to keep of {self.labels} labels; 1 to {self.labels} can be"
            )


class SoftLabels:
    """A teacher's stored answers.

    Args:
        facts: what the file says of itself.
        digest: SHA-256 of the file.
        arrays: `epoch` (R,) uint16 and `index` (R,) uint32, rising; `check` (R,) uint32, CRC-32 of
            the picture; `label` (R, K) uint8 or uint16; `logit` (R, K) float16.
    """

    def __init__(
        self, facts: SoftLabelFacts, digest: str, arrays: dict[str, npt.NDArray[np.generic]]
    ) -> None:
        self.facts = facts
        self.digest = digest
        self._arrays = arrays
        self._keys = _keys(arrays["epoch"].astype(np.int64), arrays["index"].astype(np.int64))

    def __len__(self) -> int:
        return len(self._keys)

    def answers(self, places: Int64Array, checks: Int64Array) -> Float32Array:
        """The teacher's logits of some pictures.

        Args:
            places: (N, 2), epoch and index of each.
            checks: (N,), CRC-32 of each picture as the student sees it.

        Returns:
            (N, L) float32, NaN where an answer was not kept.

        Raises:
            ConfigurationError: a picture that the teacher has not answered, or not as it is now.
        """
        keys = _keys(places[:, 0], places[:, 1])
        rows = np.minimum(np.searchsorted(self._keys, keys), len(self) - 1)
        same = (self._keys[rows] == keys) & (self._arrays["check"][rows] == checks)
        if not same.all():
            raise ConfigurationError(
                f"{int((~same).sum())} of {len(same)} pictures of a batch are not those that the "
                "teacher answered: the images, OpenCV or the number of processes changed since; "
                "store the soft labels again"
            )
        logits = np.full((len(rows), self.facts.labels), np.nan, np.float32)
        kept = self._arrays["label"][rows].astype(np.intp)
        np.put_along_axis(logits, kept, self._arrays["logit"][rows].astype(np.float32), axis=1)
        return logits


def save_soft_labels(
    path: Path,
    facts: SoftLabelFacts,
    logits: Float32Array,
    places: Int64Array,
    checks: Int64Array,
) -> None:
    """Write the top answers as one safetensors file, whole or not at all.

    Args:
        path: the file.
        facts: with the number of answers to keep.
        logits: (R, L), finite.
        places: (R, 2), epoch and index of each picture, each pair once, in any order.
        checks: (R,), CRC-32 of each picture.

    Raises:
        OutputError: the file cannot be written; an older one is untouched.
    """
    order = np.argsort(_keys(places[:, 0], places[:, 1]))
    logits = logits[order]
    top = np.sort(np.argsort(-np.abs(logits), axis=1, kind="stable")[:, : facts.kept], axis=1)
    arrays = {
        "check": checks[order].astype(np.uint32),
        "epoch": places[order, 0].astype(np.uint16),
        "index": places[order, 1].astype(np.uint32),
        "label": top.astype(np.uint8 if facts.labels <= 256 else np.uint16),
        "logit": np.take_along_axis(logits, top, axis=1).astype(np.float16),
    }
    header = {_KEY: msgspec.json.encode(facts).decode()}
    write_atomically(path, safetensors.numpy.save(arrays, metadata=header))


def load_soft_labels(path: Path) -> SoftLabels:
    """Read a file of soft labels.

    Raises:
        MissingPath: no such file.
        IntegrityError: not a whole file of this kind.
        ConfigurationError: one of another version.
    """
    if not path.is_file():
        raise MissingPath(
            f"soft labels '{path}' do not exist; make them with `realmnet distil --store`"
        )
    try:
        with safetensors.safe_open(path, framework="np") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise IntegrityError(f"'{path}' is not a whole safetensors file: {error}") from error
    if _KEY not in header or sorted(arrays) != sorted(_ARRAYS):
        raise ConfigurationError(
            f"'{path}' holds no soft labels; make them with `realmnet distil --store`"
        )
    facts = decode_json(header[_KEY].encode(), SoftLabelFacts, str(path))
    return SoftLabels(facts, sha256_of(path), arrays)


def _keys(epochs: Int64Array, indices: Int64Array) -> Int64Array:
    return (epochs << 32) | indices
