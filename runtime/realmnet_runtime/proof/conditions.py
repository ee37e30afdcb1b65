"""What decides an answer besides the picture: machine, libraries, engine, variant, compiled form.

No serial number, host name, user or path is among it.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping

import cv2
import msgspec
import numpy as np

from realmnet_runtime._version import __version__
from realmnet_runtime.answering.predictor import Predictor
from realmnet_runtime.backends import EngineFacts
from realmnet_runtime.bundles.manifest import Digest
from realmnet_runtime.cpu import instruction_sets, processor_name


class Fingerprint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The machine and the libraries beside the engine.

    Attributes:
        system: name and release of the operating system.
        architecture: of the machine, as the system names it.
        processor: as the system names it.
        instruction_sets: sorted, in the words of `realmnet_runtime.cpu`.
        libraries: versions of realmnet-runtime, numpy and opencv.
    """

    system: str
    architecture: str
    processor: str
    instruction_sets: tuple[str, ...]
    libraries: dict[str, str]

    @classmethod
    def here(cls) -> Fingerprint:
        """Of this machine and this installation."""
        return cls(
            system=f"{platform.system()} {platform.release()}",
            architecture=platform.machine(),
            processor=processor_name(),
            instruction_sets=tuple(sorted(instruction_sets())),
            libraries={
                "realmnet-runtime": __version__,
                "numpy": np.__version__,
                "opencv": cv2.__version__,
            },
        )

    def changes(self, now: Fingerprint) -> tuple[str, ...]:
        """What is otherwise now, in words; empty where nothing is."""
        return (
            *_changed("system", self.system, now.system),
            *_changed("architecture", self.architecture, now.architecture),
            *_changed("processor", self.processor, now.processor),
            *_changed_sets(self.instruction_sets, now.instruction_sets),
            *_changed_keys(self.libraries, now.libraries),
        )


class Conditions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Under which a variant of a bundle answers.

    Attributes:
        bundle_sha256: identity of the bundle.
        variant: name in the bundle.
        engine: what the engine says of itself: version, precision, threads, settings.
        prepared_sha256: digest of the compiled form it was given; None where it had none.
        fingerprint: of the machine and the libraries.
    """

    bundle_sha256: Digest
    variant: str
    engine: EngineFacts
    prepared_sha256: Digest | None
    fingerprint: Fingerprint

    @classmethod
    def of(cls, predictor: Predictor) -> Conditions:
        """Under which an open predictor answers, here and now."""
        return cls(
            bundle_sha256=predictor.bundle.digest,
            variant=predictor.variant.name,
            engine=predictor.facts,
            prepared_sha256=predictor.prepared_sha256,
            fingerprint=Fingerprint.here(),
        )

    def changes(self, now: Conditions) -> tuple[str, ...]:
        """What is otherwise now, in words; empty where nothing is.

        How the engine's precision was found out, and the count of its products, are no
        conditions: on a full disk they cannot be looked at, and nothing else changes.
        """
        return (
            *_changed("bundle", self.bundle_sha256[:12], now.bundle_sha256[:12]),
            *self.fingerprint.changes(now.fingerprint),
            *_changed("variant", self.variant, now.variant),
            *_changed("engine", self.engine.engine, now.engine.engine),
            *_changed(f"{self.engine.engine}", self.engine.version, now.engine.version),
            *_changed("computed in", self.engine.precision, now.engine.precision),
            *_changed("threads", str(self.engine.threads), str(now.engine.threads)),
            *_changed_keys(self.engine.settings, now.engine.settings),
            *_changed("prepared form", _short(self.prepared_sha256), _short(now.prepared_sha256)),
        )


def _changed(name: str, before: str, now: str) -> Iterator[str]:
    if before != now:
        yield f"{name} {before} is now {now}"


def _changed_keys(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*before, *now}):
        yield from _changed(name, before.get(name, "absent"), now.get(name, "absent"))


def _changed_sets(before: tuple[str, ...], now: tuple[str, ...]) -> Iterator[str]:
    if lost := sorted(set(before) - set(now)):
        yield f"the CPU has no {', '.join(lost)} any more"
    if gained := sorted(set(now) - set(before)):
        yield f"the CPU now has {', '.join(gained)}"


def _short(digest: str | None) -> str:
    return "none" if digest is None else digest[:12]
