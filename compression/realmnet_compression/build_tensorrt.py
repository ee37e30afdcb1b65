"""TensorRT engines from files of ours: ahead of time without a GPU, or on the target.

Networks are strongly typed: the precision is in the graph, as `graphs.half` and the Q/DQ spelling
put it there, and no builder flag changes it. TF32 is switched off: it would round the FP32 head
to FP16's mantissa without a word in the graph.

`build_ahead_of_time` was executed with TensorRT-RTX 1.7 without a GPU. `build_tensorrt` shares
its parsing and building with it; its own few lines, and plain TensorRT as a whole, were not
executed here: it needs an NVIDIA GPU. They were reviewed against the Python API of TensorRT 10 and
11 and use nothing that 11 removed (EXPLICIT_BATCH, the FP16 and INT8 flags, calibrators).
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

import onnx

from realmnet_compression.export_onnx import read_onnx
from realmnet_compression.graphs.arithmetic import count_products, typed_precision
from realmnet_compression.quantisation.tensorrt_qdq import spell_for_tensorrt
from realmnet_runtime.backends._engine_key import (
    ANY_GPU,
    EngineKey,
    EngineRecord,
    engine_folder,
    engine_name,
    write_engine,
)
from realmnet_runtime.backends._tensorrt import import_library, key_of_this_machine, library_log
from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.files import cannot_write, sha256_of, write_atomically
from realmnet_runtime.suggestions import nearest

WORKSPACE_BYTES: Final = 1 << 30
"""Most scratch memory a kernel of the engine may ask for while it runs."""

_CAPABILITY: Final = re.compile(r"SM(\d+)(\d)")


class _Source(NamedTuple):
    """A file of ours, as TensorRT takes it: its digest, its respelt graph, and that in bytes."""

    path: Path
    sha256: str
    model: onnx.ModelProto
    content: bytes


def build_ahead_of_time(
    onnx_path: str | Path, out_path: str | Path, compute_capability: str = "8.9"
) -> Path:
    """Build a TensorRT-RTX engine for a compute capability, without a GPU.

    The engine runs on every GPU of that capability, under the same release of TensorRT-RTX; it
    finishes compiling when it is first loaded. Its key and the build's size and time are written
    beside it (`EngineRecord`).

    Args:
        onnx_path: FP32 or FP16 file of `realmnet export`, or INT8 file of `realmnet quantise`.
        out_path: engine to write; its directory must exist.
        compute_capability: of the GPU, for example `8.9` (RTX 4090) or `12.0` (RTX 50).

    Returns:
        `out_path`.

    Raises:
        BackendUnavailable: TensorRT-RTX is not installed or does not load.
        MissingPath: there is no such file.
        ConfigurationError: a file from elsewhere, an operator the library has not (named with its
            node), or a capability it does not build for (all are listed).
        OutputError: the engine could not be written.
    """
    library, module = import_library("tensorrt-rtx")
    target = _capability(module, compute_capability)
    source = _read(onnx_path)
    key = EngineKey(
        built_with=library,
        built_with_version=str(module.__version__),
        gpu=ANY_GPU,
        compute_capability=compute_capability,
        driver=None,
        onnx_sha256=source.sha256,
    )
    builder = module.Builder(_emptied_log(module))
    config = _configure(module, builder)
    config.num_compute_capabilities = 1
    config.set_compute_capability(target, 0)
    path = Path(out_path)
    _build(module, builder, config, source=source, key=key, path=path)
    return path


def build_tensorrt(
    onnx_path: str | Path,
    out_dir: str | Path | None = None,
    *,
    workspace_bytes: int = WORKSPACE_BYTES,
    timing_cache: str | Path | None = None,
) -> Path:
    """Build an engine for this machine's GPU, with TensorRT 10 or 11. Not executed here.

    Args:
        onnx_path: FP32 or FP16 file of `realmnet export`, or INT8 file of `realmnet quantise`.
        out_dir: existing folder; by default the one where the runtime looks (`engine_folder`),
            which is made.
        workspace_bytes: most scratch memory a kernel may ask for.
        timing_cache: file that keeps how fast kernels were, so that the next build of a like
            network is quicker; made where it is not there.

    Returns:
        Path of the engine, named after its key.

    Raises:
        BackendUnavailable: TensorRT, a driver or a GPU are missing.
        MissingPath: there is no such file.
        ConfigurationError: a file from elsewhere, or an operator the library has not, named.
        OutputError: the engine could not be written.
    """
    library, module = import_library("tensorrt")
    source = _read(onnx_path)
    key = key_of_this_machine(library, module, source.sha256)
    # Not executed here, from here on.
    builder = module.Builder(_emptied_log(module))
    config = _configure(module, builder)
    config.set_memory_pool_limit(module.MemoryPoolType.WORKSPACE, workspace_bytes)
    cache = None
    if timing_cache is not None:
        known = Path(timing_cache).read_bytes() if Path(timing_cache).is_file() else b""
        cache = config.create_timing_cache(known)
        if not config.set_timing_cache(cache, ignore_mismatch=False):
            raise ConfigurationError(
                f"timing cache '{timing_cache}' is another GPU's or version's; delete it or name "
                "another"
            )
    path = (_own_folder() if out_dir is None else Path(out_dir)) / engine_name(key)
    _build(module, builder, config, source=source, key=key, path=path)
    if cache is not None and timing_cache is not None:
        write_atomically(timing_cache, bytes(cache.serialize()))
    return path


def capabilities(module: ModuleType) -> tuple[str, ...]:
    """Compute capabilities TensorRT-RTX builds for, for example `8.9`."""
    found = (_CAPABILITY.fullmatch(name) for name in module.ComputeCapability.__members__)
    return tuple(f"{match[1]}.{match[2]}" for match in found if match)


def _capability(module: ModuleType, wanted: str) -> object:
    allowed = capabilities(module)
    if wanted not in allowed:
        raise ConfigurationError(
            f"compute_capability = '{wanted}'; {module.__name__} {module.__version__} builds for "
            f"{', '.join(allowed)}{nearest(wanted, allowed)}"
        )
    target: object = getattr(module.ComputeCapability, f"SM{wanted.replace('.', '')}")
    return target


def _read(onnx_path: str | Path) -> _Source:
    path = Path(onnx_path)
    model, _ = read_onnx(path)
    spelt = spell_for_tensorrt(model)
    return _Source(path, sha256_of(path), spelt, spelt.SerializeToString(deterministic=True))


def _configure(module: ModuleType, builder: Any) -> Any:  # noqa: ANN401 - untyped library
    config = builder.create_builder_config()
    config.clear_flag(module.BuilderFlag.TF32)
    return config


def _build(
    module: ModuleType,
    builder: Any,  # noqa: ANN401 - untyped library
    config: Any,  # noqa: ANN401
    *,
    source: _Source,
    key: EngineKey,
    path: Path,
) -> None:
    """Parse, build and write an engine with its key."""
    begin = time.perf_counter()
    # TensorRT 11 always types strongly and keeps the flag for compatibility only.
    flags = 1 << int(module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = module.OnnxParser(network, library_log(module))
    if not parser.parse(source.content):
        raise _not_parsed(module, parser, source.path)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        errors = library_log(module).errors
        raise ConfigurationError(
            f"{module.__name__} {module.__version__} cannot build '{source.path}': "
            f"{errors[-1] if errors else 'no reason given'}; report it, or release for another "
            f"engine"
        )
    content = bytes(plan)
    products = count_products(source.model)
    record = EngineRecord(
        key=key,
        engine_sha256=sha256_of(content),
        engine_bytes=len(content),
        precision=typed_precision(products),
        products=products,
        build_seconds=round(time.perf_counter() - begin, 3),
    )
    write_engine(path, content, record)


def _not_parsed(module: ModuleType, parser: Any, path: Path) -> ConfigurationError:  # noqa: ANN401
    """The parser's first complaint, with the operator and the node it is about."""
    if not parser.num_errors:
        return ConfigurationError(f"{module.__name__} cannot parse '{path}'; export it again")
    error = parser.get_error(0)
    reason = " ".join(str(error.desc()).split())
    if not error.node_operator():
        return ConfigurationError(f"{module.__name__} cannot parse '{path}': {reason}")
    return ConfigurationError(
        f"'{path}': {module.__name__} {module.__version__} does not take operator "
        f"{error.node_operator()} of node '{error.node_name()}' ({reason}); export a network "
        f"without it, or release for another engine"
    )


def _emptied_log(module: ModuleType) -> Any:  # noqa: ANN401 - untyped library
    log = library_log(module)
    log.errors.clear()
    return log


def _own_folder() -> Path:
    """The folder of engines, for nobody else to write: what is in it is run."""
    folder = engine_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return folder
