"""`realmnet predict --sr` and `--captures`: a DICOM report of each answer, and its heat maps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from realmnet_runtime.answering.prediction import Prediction
from realmnet_runtime.cli.drawings import file_words, heat_maps
from realmnet_runtime.cli.outputs import require_writable_directory, say
from realmnet_runtime.dicom import (
    heat_map_capture,
    is_dicom,
    measurement_report,
    require_writer,
)
from realmnet_runtime.dicom.concepts import CodeMap, read_code_map
from realmnet_runtime.errors import UnreadableImage, UsageError
from realmnet_runtime.files import write_atomically
from realmnet_runtime.labels import LabelSet
from realmnet_runtime.pictures.images import read_image

_PREAMBLE_BYTES: Final = 132


@dataclass(frozen=True, slots=True)
class DicomFolders:
    """Where DICOM objects of the answers go, and how they are made.

    Files are named by the digest of the picture and its frame, of a heat map also by the label.

    Attributes:
        reports: directory of a report of each answer; None for none.
        captures: directory of a heat map of each finding; None for none.
        codes: that reports are written with.
        heatmap_side: pixels to which the heat maps' longer side is cut down; None leaves the
            picture's.
    """

    reports: Path | None
    captures: Path | None
    codes: CodeMap
    heatmap_side: int | None

    def write(self, path: Path, prediction: Prediction, labels: LabelSet) -> None:
        """Write what was asked for of one answer, each file whole or not at all.

        Args:
            path: of the DICOM file that was answered.
            prediction: its answer.
            labels: the model's.

        Raises:
            ConfigurationError: the code map names a label that the model does not have.
            OutputError: an object could not be written.
            ImageRefused: the picture's header has no UIDs to refer to, or the file went after the
                answer.
            UsageError: it changed after the answer.
        """
        if self.reports is not None:
            report = measurement_report(_content(path), prediction, labels, codes=self.codes)
            write_atomically(self.reports / f"{_stem(prediction)}.sr.dcm", report)
        if self.captures is not None:
            self._write_captures(self.captures, path, prediction, labels)

    def _write_captures(
        self, folder: Path, path: Path, prediction: Prediction, labels: LabelSet
    ) -> None:
        if not prediction.findings:
            say(f"{path}: no findings, no DICOM heat map")
            return
        source, words = _content(path), file_words(labels.names)
        picture = read_image(source, frame=prediction.frame)
        drawn = heat_maps(picture, prediction, labels, self.heatmap_side)
        for instance, (name, heat_map) in enumerate(drawn, start=1):
            capture = heat_map_capture(source, heat_map, prediction, name, instance=instance)
            write_atomically(folder / f"{_stem(prediction)}-{words[name]}.sc.dcm", capture)


def open_dicom_folders(
    reports: Path | None,
    captures: Path | None,
    images: Iterable[Path],
    *,
    codes: Path | None,
    heatmap_side: int | None,
) -> DicomFolders:
    """Check before any work is done that what is asked for can be written.

    Args:
        reports: directory of reports; None for none.
        captures: directory of heat maps; None for none.
        images: that will be answered.
        codes: code map of the reports; None takes the built-in one.
        heatmap_side: as for `DicomFolders`.

    Raises:
        UsageError: codes without reports, or an image that is no DICOM file.
        UnreadableImage: an image cannot be opened.
        BackendUnavailable: the extra `dicom` is not installed.
        MissingPath, ConfigurationError: the code map cannot be read.
        OutputError: a directory cannot be written into.
    """
    if reports is None and codes is not None:
        raise UsageError("--codes without --sr; name the folder of the reports with --sr")
    asked = {"--sr reports on": reports, "--captures draws on": captures}
    wanted = {what: folder for what, folder in asked.items() if folder is not None}
    code_map = CodeMap()
    if wanted:
        require_writer()
        code_map = code_map if codes is None else read_code_map(codes)
        _require_dicom(images, next(iter(wanted)))
    for folder in wanted.values():
        require_writable_directory(folder)
    return DicomFolders(reports, captures, code_map, heatmap_side)


def _require_dicom(images: Iterable[Path], what: str) -> None:
    for path in images:
        if not is_dicom(_content(path, _PREAMBLE_BYTES)):
            raise UsageError(f"{what} DICOM files, and '{path}' is none; leave it out")


def _stem(prediction: Prediction) -> str:
    return f"{prediction.input_sha256}-{prediction.frame}"


def _content(path: Path, size: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise UnreadableImage(f"file cannot be read: {error.strerror}") from error
