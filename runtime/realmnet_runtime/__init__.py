"""De-bordering and multi-label inference of RealMNet bundles, without torch.

The names of `__all__` are the runtime's front door; engines load only when a bundle is opened.
"""

from realmnet_runtime._version import __version__
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
