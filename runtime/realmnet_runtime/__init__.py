"""De-bordering and multi-label inference of RealMNet bundles, without torch.

The names of `__all__` are the runtime's front door; engines load only when a bundle is opened.
"""

from realmnet_runtime._version import __version__
from realmnet_runtime.audit import AuditLog
from realmnet_runtime.backends import Backend, EngineFacts
from realmnet_runtime.bundle import Bundle
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
from realmnet_runtime.field_of_view import FieldOfView, find_field_of_view
from realmnet_runtime.images import DecodedImage, decode_image, list_images, read_image
from realmnet_runtime.labels import PERIPHERAL, PSMM, Label, LabelSet, Reading
from realmnet_runtime.manifest import Manifest
from realmnet_runtime.prediction import Prediction
from realmnet_runtime.predictor import Predictor
from realmnet_runtime.preprocess import PreprocessSpec, preprocess
from realmnet_runtime.receipt import Receipt
from realmnet_runtime.selftest import SelfTestReport, run_selftest
from realmnet_runtime.slots import SlotStore
from realmnet_runtime.trust import Trust

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
