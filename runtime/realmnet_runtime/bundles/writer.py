"""Writing a bundle: whole or not at all, and the same bytes for the same content.

Zips are stored, not compressed, unless asked for: stored bytes do not depend on the zlib at hand
and open fastest on the device. Entries are sorted, dated 1980-01-01 and readable by all.
"""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.bundles.manifest import (
    LARGEST_MANIFEST_BYTES,
    MANIFEST_DIGEST_NAME,
    MANIFEST_NAME,
    SCHEMA_VERSION,
    SIGNATURE_NAME,
    Artifact,
    Evidence,
    GoldenCase,
    Manifest,
    Model,
    Provenance,
    Variant,
    digest_line,
    encode_manifest,
)
from realmnet_runtime.bundles.stores import (
    GREATEST_COMPRESSION_RATIO,
    LARGEST_BUNDLE_BYTES,
    LARGEST_FILE_BYTES,
    MOST_FILES,
)
from realmnet_runtime.cpu import INSTRUCTION_SETS
from realmnet_runtime.errors import ConfigurationError, IntegrityError, MissingPath, OutputError
from realmnet_runtime.files import (
    cannot_write,
    sha256_of,
    sync_directory,
    temporary_beside,
    write_atomically,
)
from realmnet_runtime.labels import LabelSet
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_runtime.quality.limits import QualityGate
from realmnet_runtime.signatures.signature import Signature
from realmnet_runtime.signatures.trust import ANY_BUNDLE
from realmnet_runtime.structs import decode_json
from realmnet_runtime.suggestions import nearest

SUFFIX: Final = ".realmnet"

_EARLIEST_ZIP_DATE: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3

Content = Mapping[str, Callable[[], bytes]]


def write_bundle(
    path: str | Path,
    *,
    files: Mapping[str, bytes | Path],
    model: Model,
    labels: LabelSet,
    preprocess: PreprocessSpec,
    variants: Iterable[Variant],
    provenance: Provenance,
    golden: Iterable[GoldenCase] = (),
    evidence: Iterable[Evidence] = (),
    quality: QualityGate | None = None,
    compressed: bool = False,
) -> Path:
    """Write an unsigned bundle and open it before it takes its place; what was there is replaced.

    Args:
        path: ends in `.realmnet` for a zip; any other name makes a directory. A directory that is
            replaced is moved aside for an instant, since no system swaps two portably.
        files: content by path in the bundle: bytes, or the file to copy.
        model: what was trained.
        labels: the model's outputs, in order.
        preprocess: how a picture becomes its input.
        variants: the ways to run it; their artifacts are names in `files`.
        provenance: where it comes from.
        golden: pictures with known answers; their images are names in `files`.
        evidence: figures measured.
        quality: which pictures are answered; None leaves that to the runtime's own limits.
        compressed: deflate the entries of a zip that get smaller by it: about a fifth for INT8
            weights, for several times the opening time and twice the memory on the device.

    Returns:
        The path written.

    Raises:
        ConfigurationError: the manifest would be impossible or the files too many or too large.
        MissingPath: a file to copy is not there.
        IntegrityError: a file changed while it was copied.
        OutputError: it could not be written; what was there before is untouched.
    """
    manifest = build_manifest(
        files=files,
        model=model,
        labels=labels,
        preprocess=preprocess,
        variants=variants,
        provenance=provenance,
        golden=golden,
        evidence=evidence,
        quality=quality,
    )
    content = {name: _reader(source) for name, source in files.items()}
    return _write(
        Path(path), encode_manifest(manifest), manifest, content, None, compressed=compressed
    )


def copy_bundle(
    bundle: Bundle,
    path: str | Path,
    *,
    compressed: bool = False,
    signature: Signature | None = None,
) -> Path:
    """Write an open bundle again, as zip or directory by the path's name; its digest stays.

    Args:
        bundle: open.
        path: as for `write_bundle`.
        compressed: as for `write_bundle`.
        signature: of its manifest; by default the one it has, if any.

    Raises:
        IntegrityError: the bundle changed since it was opened.
        OutputError: it could not be written; what was there before is untouched.
    """
    return _write(
        Path(path),
        bundle.raw_manifest,
        bundle.manifest,
        _content(bundle),
        signature or bundle.signature,
        compressed=compressed,
    )


def copy_bundle_with_quality(
    bundle: Bundle, path: str | Path, quality: QualityGate, *, compressed: bool = False
) -> Path:
    """Write an open bundle again with other limits of quality; its digest changes, no file does.

    It is unsigned: a signature is of the manifest, and the limits are in it.

    Raises:
        ConfigurationError: the limits do not belong to the bundle's variants and labels.
        IntegrityError: the bundle changed since it was opened.
        OutputError: it could not be written; what was there before is untouched.
    """
    raw = encode_manifest(msgspec.structs.replace(bundle.manifest, quality=quality))
    manifest = decode_json(raw, Manifest, MANIFEST_NAME)
    return _write(Path(path), raw, manifest, _content(bundle), None, compressed=compressed)


def build_manifest(
    *,
    files: Mapping[str, bytes | Path],
    model: Model,
    labels: LabelSet,
    preprocess: PreprocessSpec,
    variants: Iterable[Variant],
    provenance: Provenance,
    golden: Iterable[GoldenCase] = (),
    evidence: Iterable[Evidence] = (),
    quality: QualityGate | None = None,
) -> Manifest:
    """The manifest of these files, decoded from its own bytes, so types and ranges are checked.

    Arguments are those of `write_bundle`.

    Raises:
        ConfigurationError: a value is impossible, or the files are too many or too large.
        MissingPath: a file is not there.
    """
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        model=model,
        labels=labels,
        preprocess=preprocess,
        variants=tuple(variants),
        artifacts=_artifacts(files),
        golden=tuple(golden),
        provenance=provenance,
        evidence=tuple(evidence),
        quality=quality,
    )
    for variant in manifest.variants:
        for word in variant.cpu_requires:
            if word not in INSTRUCTION_SETS:
                raise ConfigurationError(
                    f"variant '{variant.name}' requires the CPU's '{word}', which no CPU is known "
                    f"to report{nearest(word, INSTRUCTION_SETS)}"
                )
    raw = encode_manifest(manifest)
    if len(raw) > LARGEST_MANIFEST_BYTES:
        raise ConfigurationError(
            f"manifest would hold {len(raw)} bytes; {LARGEST_MANIFEST_BYTES} are allowed"
        )
    return decode_json(raw, Manifest, MANIFEST_NAME)


def _artifacts(files: Mapping[str, bytes | Path]) -> tuple[Artifact, ...]:
    sizes = {name: _size(files[name]) for name in sorted(files)}
    _require_within_limits(sizes)
    return tuple(Artifact(name, size, _digest(files[name])) for name, size in sizes.items())


def _size(source: bytes | Path) -> int:
    if isinstance(source, bytes):
        return len(source)
    try:
        return source.stat().st_size
    except OSError as error:
        raise _unreadable(source, error) from error


def _digest(source: bytes | Path) -> str:
    if isinstance(source, bytes):
        return sha256_of(source)
    try:
        return sha256_of(source)
    except OSError as error:
        raise _unreadable(source, error) from error


def _unreadable(source: Path, error: OSError) -> MissingPath:
    return MissingPath(f"cannot read '{source}': {error.strerror}; name a readable file")


def _require_within_limits(sizes: Mapping[str, int]) -> None:
    most = MOST_FILES - len((MANIFEST_NAME, MANIFEST_DIGEST_NAME, SIGNATURE_NAME))
    if len(sizes) > most:
        raise ConfigurationError(f"bundle would hold {len(sizes)} files; {most} are allowed")
    for name, size in sizes.items():
        if size > LARGEST_FILE_BYTES:
            raise ConfigurationError(
                f"'{name}' holds {size} bytes; {LARGEST_FILE_BYTES} are allowed"
            )
    total = sum(sizes.values())
    if total > LARGEST_BUNDLE_BYTES - 2 * LARGEST_MANIFEST_BYTES:
        raise ConfigurationError(
            f"bundle would hold {total} bytes beside its manifest; "
            f"{LARGEST_BUNDLE_BYTES - 2 * LARGEST_MANIFEST_BYTES} are allowed"
        )


def _reader(source: bytes | Path) -> Callable[[], bytes]:
    def read() -> bytes:
        if isinstance(source, bytes):
            return source
        try:
            return source.read_bytes()
        except OSError as error:
            raise _unreadable(source, error) from error

    return read


def _content(bundle: Bundle) -> Content:
    return {
        artifact.path: _bundled(bundle, artifact.path) for artifact in bundle.manifest.artifacts
    }


def _bundled(bundle: Bundle, name: str) -> Callable[[], bytes]:
    return lambda: bundle.read(name)


def _write(
    path: Path,
    raw_manifest: bytes,
    manifest: Manifest,
    content: Content,
    signature: Signature | None,
    *,
    compressed: bool,
) -> Path:
    checked: dict[str, Callable[[], bytes]] = {
        MANIFEST_NAME: _reader(raw_manifest),
        MANIFEST_DIGEST_NAME: _reader(digest_line(raw_manifest)),
    }
    if signature is not None:
        checked[SIGNATURE_NAME] = _reader(signature.line())
    for artifact in manifest.artifacts:
        checked[artifact.path] = _unchanged(artifact, content[artifact.path])
    if path.suffix == SUFFIX:
        write_atomically(path, lambda file: _write_zip(file, checked, compressed=compressed))
    else:
        _write_directory(path, checked)
    return path


def _unchanged(artifact: Artifact, read: Callable[[], bytes]) -> Callable[[], bytes]:
    def read_unchanged() -> bytes:
        data = read()
        if sha256_of(data) != artifact.sha256:
            raise IntegrityError(
                f"the file for '{artifact.path}' changed while the bundle was written; "
                f"write it again when nothing else touches it"
            )
        return data

    return read_unchanged


def _write_zip(file: BinaryIO, content: Content, *, compressed: bool) -> None:
    with zipfile.ZipFile(file, "w", allowZip64=False) as archive:
        for name in sorted(content):
            data = content[name]()
            entry = zipfile.ZipInfo(name, _EARLIEST_ZIP_DATE)
            entry.create_system = _UNIX
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            deflate = compressed and _gains_within_limit(data)
            method = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
            archive.writestr(entry, data, compress_type=method, compresslevel=9)
    file.flush()
    Bundle.open(file.name, trust=ANY_BUNDLE).close()


def _gains_within_limit(data: bytes) -> bool:
    """Whether deflating helps, yet not so much that the reader would take it for a bomb."""
    deflated = len(zlib.compress(data, 9))
    return deflated < len(data) < deflated * GREATEST_COMPRESSION_RATIO // 2


def _write_directory(path: Path, content: Content) -> None:
    target = Path(os.path.realpath(path))
    try:
        _require_replaceable_directory(path, target)
        temporary = temporary_beside(target)
        temporary.mkdir()
        try:
            for name in sorted(content):
                file = temporary / name
                file.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(file, content[name]())
            Bundle.open(temporary, trust=ANY_BUNDLE).close()
            _swap(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        sync_directory(target.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def _require_replaceable_directory(path: Path, target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise OutputError(
            f"cannot write '{path}': a file is there; name a directory, or a name in '{SUFFIX}'"
        )
    if any(target.iterdir()) and not (target / MANIFEST_NAME).is_file():
        raise OutputError(
            f"cannot write '{path}': the directory holds files that are no bundle; "
            f"name a new or an empty one"
        )


def _swap(new: Path, target: Path) -> None:
    if not target.exists():
        new.rename(target)
        return
    aside = temporary_beside(target)
    target.rename(aside)
    try:
        new.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)
