"""De-bordering and multi-label inference of RealMNet bundles, without torch.

The names of `__all__` are the runtime's front door. Each is imported when it is first asked for, so
that a process pays for what it uses; engines load only when a bundle is opened.
"""

import importlib
from typing import TYPE_CHECKING

from realmnet_runtime._version import __version__

if TYPE_CHECKING:
    from realmnet_runtime.answering.prediction import Prediction
    from realmnet_runtime.answering.predictor import Predictor
    from realmnet_runtime.aperture.field_of_view import FieldOfView, find_field_of_view
    from realmnet_runtime.audit import AuditLog
    from realmnet_runtime.backends import Backend, EngineFacts
    from realmnet_runtime.bundles.bundle import Bundle
    from realmnet_runtime.bundles.manifest import Manifest
    from realmnet_runtime.errors import (
        BackendUnavailable,
        ConfigurationError,
        DeadlineExceeded,
        GateFailed,
        ImageRefused,
        IncompatibleError,
        IntegrityError,
        MissingPath,
        NoFieldOfView,
        OutputError,
        RealmnetError,
        UnreadableImage,
        UsageError,
    )
    from realmnet_runtime.labels import PERIPHERAL, PSMM, Label, LabelSet, Reading
    from realmnet_runtime.pictures.images import DecodedImage, decode_image, list_images, read_image
    from realmnet_runtime.pictures.preprocess import PreprocessSpec, preprocess
    from realmnet_runtime.proof.receipt import Receipt
    from realmnet_runtime.proof.selftest import SelfTestReport, run_selftest
    from realmnet_runtime.signatures.trust import Trust
    from realmnet_runtime.slots import SlotStore

__all__ = [
    "PERIPHERAL",
    "PSMM",
    "AuditLog",
    "Backend",
    "BackendUnavailable",
    "Bundle",
    "ConfigurationError",
    "DeadlineExceeded",
    "DecodedImage",
    "EngineFacts",
    "FieldOfView",
    "GateFailed",
    "ImageRefused",
    "IncompatibleError",
    "IntegrityError",
    "Label",
    "LabelSet",
    "Manifest",
    "MissingPath",
    "NoFieldOfView",
    "OutputError",
    "Prediction",
    "Predictor",
    "PreprocessSpec",
    "Reading",
    "RealmnetError",
    "Receipt",
    "SelfTestReport",
    "SlotStore",
    "Trust",
    "UnreadableImage",
    "UsageError",
    "__version__",
    "decode_image",
    "find_field_of_view",
    "list_images",
    "preprocess",
    "read_image",
    "run_selftest",
]

_ROOMS = {
    "AuditLog": "audit",
    "Backend": "backends",
    "BackendUnavailable": "errors",
    "Bundle": "bundles.bundle",
    "ConfigurationError": "errors",
    "DeadlineExceeded": "errors",
    "DecodedImage": "pictures.images",
    "EngineFacts": "backends",
    "FieldOfView": "aperture.field_of_view",
    "GateFailed": "errors",
    "ImageRefused": "errors",
    "IncompatibleError": "errors",
    "IntegrityError": "errors",
    "Label": "labels",
    "LabelSet": "labels",
    "Manifest": "bundles.manifest",
    "MissingPath": "errors",
    "NoFieldOfView": "errors",
    "OutputError": "errors",
    "PERIPHERAL": "labels",
    "PSMM": "labels",
    "Prediction": "answering.prediction",
    "Predictor": "answering.predictor",
    "PreprocessSpec": "pictures.preprocess",
    "Reading": "labels",
    "RealmnetError": "errors",
    "Receipt": "proof.receipt",
    "SelfTestReport": "proof.selftest",
    "SlotStore": "slots",
    "Trust": "signatures.trust",
    "UnreadableImage": "errors",
    "UsageError": "errors",
    "decode_image": "pictures.images",
    "find_field_of_view": "aperture.field_of_view",
    "list_images": "pictures.images",
    "preprocess": "pictures.preprocess",
    "read_image": "pictures.images",
    "run_selftest": "proof.selftest",
}
"""Name -> module that defines it."""


if not TYPE_CHECKING:  # else every name would be there for a type checker

    def __getattr__(name: str) -> object:
        if name not in _ROOMS:
            raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
        value = getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
