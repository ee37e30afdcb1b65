"""One file answered twice: decoded at a reduced scale, and decoded to every pixel."""

from __future__ import annotations

import msgspec

from realmnet_runtime import Predictor, read_image
from realmnet_runtime.bundles.manifest import Digest
from realmnet_runtime.errors import ImageRefused
from realmnet_runtime.files import sha256_of
from realmnet_runtime.pictures.images import ImageSource


class OneWay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer by one of the two decodes.

    Attributes:
        probabilities: in label order; empty where the picture was refused.
        findings: labels at or above their thresholds.
        gradable: by the quality gate; the answer is given either way.
        refused: why there is no answer; empty where there is one.
    """

    probabilities: tuple[float, ...] = ()
    findings: tuple[str, ...] = ()
    gradable: bool = False
    refused: str = ""


class BothWays(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One picture's answers.

    Attributes:
        number: of the picture in its set, from 0.
        picture: SHA-256 of the file.
        file_bytes: its length.
        scaled: by the decode the bundle asks for.
        full: by a decode of every pixel.
    """

    number: int
    picture: Digest
    file_bytes: int
    scaled: OneWay
    full: OneWay

    @property
    def unchanged(self) -> bool:
        """Whether every label is decided alike."""
        ways = (self.scaled, self.full)
        return ways[0].findings == ways[1].findings and len({bool(w.refused) for w in ways}) == 1


def answer_both_ways(predictor: Predictor, number: int, data: bytes) -> BothWays:
    """Answer a file's bytes twice, by the same variant in the same engine.

    Raises:
        UnreadableImage: it is no picture.
    """
    return BothWays(
        number=number,
        picture=sha256_of(data),
        file_bytes=len(data),
        scaled=_one_way(predictor, data),
        full=_one_way(predictor, read_image(data)),
    )


def _one_way(predictor: Predictor, source: ImageSource) -> OneWay:
    try:
        # An ungradable picture is decided all the same: both decodes are to be compared on it too.
        answer = predictor.predict(source, answer_ungradable=True)
    except ImageRefused as error:
        return OneWay(refused=str(error))
    return OneWay(
        probabilities=tuple(answer.probabilities.values()),
        findings=answer.findings,
        gradable=answer.quality.gradable,
    )
