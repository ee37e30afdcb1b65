"""`realmnet predict --sr`: a DICOM report of each answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from realmnet_runtime.cli.outputs import require_writable_directory
from realmnet_runtime.dicom import is_dicom, measurement_report, require_writer
from realmnet_runtime.dicom.concepts import CodeMap, read_code_map
from realmnet_runtime.errors import UnreadableImage, UsageError
from realmnet_runtime.files import write_atomically
from realmnet_runtime.labels import LabelSet
from realmnet_runtime.prediction import Prediction

_PREAMBLE_BYTES: Final = 132


@dataclass(frozen=True, slots=True)
class ReportFolder:
    """Where reports go, and the codes they are written with."""

    directory: Path
    codes: CodeMap

    def write(self, path: Path, prediction: Prediction, labels: LabelSet) -> None:
        """Write the report of one answer, named by the digest of its picture and its frame.

        Raises:
            ConfigurationError: the code map names a label that the model does not have.
            OutputError: the report could not be written.
            UnreadableImage: the picture's header has no UIDs to refer to.
        """
        report = measurement_report(_content(path), prediction, labels, codes=self.codes)
        name = f"{prediction.input_sha256}-{prediction.frame}.sr.dcm"
        write_atomically(self.directory / name, report)


def open_report_folder(
    directory: Path | None, codes: Path | None, images: Iterable[Path]
) -> ReportFolder | None:
    """Check before any work is done that reports can be written; None where none are asked for.

    Raises:
        UsageError: codes without a folder, or an image that is no DICOM file.
        UnreadableImage: an image cannot be opened.
        BackendUnavailable: the extra `dicom` is not installed.
        MissingPath, ConfigurationError: the code map cannot be read.
        OutputError: the folder cannot be written into.
    """
    if directory is None:
        if codes is not None:
            raise UsageError("--codes without --sr; name the folder of the reports with --sr")
        return None
    require_writer()
    code_map = CodeMap() if codes is None else read_code_map(codes)
    for path in images:
        if not is_dicom(_content(path, _PREAMBLE_BYTES)):
            raise UsageError(f"--sr reports on DICOM files, and '{path}' is none; leave it out")
    require_writable_directory(directory)
    return ReportFolder(directory, code_map)


def _content(path: Path, size: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise UnreadableImage(f"file cannot be read: {error.strerror}") from error
