"""Every error a user can cause or meet, drawn as a tree with its exit code.

    RealmnetError                  1   something nobody foresaw
    ├── UsageError                 2   a wrong argument or option
    │   ├── ConfigurationError     2   a file of ours that says something impossible
    │   └── MissingPath            2   a path that is not there, or a directory without images
    ├── BackendUnavailable         3   an engine or a device asked for by name that is absent
    ├── DeadlineExceeded           3   an engine or a device that did not answer in time
    ├── GateFailed                 4   a gate, a parity check or a self-test that did not hold
    ├── IntegrityError             5   a digest, a signature or an archive that cannot be trusted
    ├── IncompatibleError          6   bundle, runtime and device do not fit together
    ├── ImageRefused               7   an image this toolkit will not answer
    │   ├── UnreadableImage        7   the bytes are no picture of a kind that is read
    │   └── NoFieldOfView          7   a picture without a retina's aperture
    └── OutputError                8   a result that could not be written

Messages are one line: what came, what was allowed, and the cure.
"""

from __future__ import annotations

from typing import ClassVar

INTERRUPTED_EXIT_CODE = 130


class RealmnetError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what the command line returns."""

    exit_code: ClassVar[int] = 1


class UsageError(RealmnetError):
    """An argument or an option that cannot be used as given."""

    exit_code: ClassVar[int] = 2


class ConfigurationError(UsageError):
    """A configuration, manifest or table whose content is impossible."""


class MissingPath(UsageError):  # noqa: N818 - the name says what is wrong
    """A path that does not exist, or a directory that holds no image."""


class BackendUnavailable(RealmnetError):  # noqa: N818
    """An engine or device that was asked for is not on this machine."""

    exit_code: ClassVar[int] = 3


class DeadlineExceeded(RealmnetError):  # noqa: N818
    """The answer was not there in the time the caller gave; nothing is wrong with the picture.

    Code 3, that of an engine that is not available: it is the machine that was too slow or too
    busy, so the same picture may be answered later or elsewhere.
    """

    exit_code: ClassVar[int] = 3


class GateFailed(RealmnetError):  # noqa: N818
    """A gate, a parity check or a self-test did not hold."""

    exit_code: ClassVar[int] = 4


class IntegrityError(RealmnetError):
    """Bytes that are not the bytes that were released, or an unsafe archive."""

    exit_code: ClassVar[int] = 5


class IncompatibleError(RealmnetError):
    """Bundle, runtime and device do not fit together."""

    exit_code: ClassVar[int] = 6


class ImageRefused(RealmnetError):  # noqa: N818
    """An image that is not answered; nothing is wrong with the program or the bundle."""

    exit_code: ClassVar[int] = 7


class UnreadableImage(ImageRefused):
    """Bytes that are not a whole picture of a supported kind."""


class NoFieldOfView(ImageRefused):
    """A readable picture in which no aperture of a retinal camera was found."""


class OutputError(RealmnetError):
    """A result that could not be written; what was there before is untouched."""

    exit_code: ClassVar[int] = 8
