"""NNCF as this toolkit uses it: it reports nothing, prints nothing and compiles nothing."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from realmnet_runtime.backends import silence_openvino


def load_nncf() -> Any:  # noqa: ANN401 - an untyped package
    """Import NNCF with its PyTorch part.

    NNCF's quantisers are C++ that it compiles with the machine's compiler when first used, and
    operators of torch where there is no compiler. Here they always are torch's: nothing is built
    on a user's machine, and training does not depend on what is installed there.
    """
    silence_openvino()
    with quietly():
        nncf = importlib.import_module("nncf")
        importlib.import_module("nncf.torch")
        nncf.set_log_level(logging.ERROR)
        functions: Any = importlib.import_module("nncf.torch.quantization.quantize_functions")
        reference: Any = importlib.import_module("nncf.torch.quantization.reference")
    plain = _PlainFunctions(reference.ReferenceQuantize(reference.ReferenceBackendType.TORCH))
    functions.QuantizedFunctionsCPU = plain
    functions.QuantizedFunctionsCUDA = plain
    return nncf


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep NNCF's bars and torch's notes on tracing off stdout, where results go."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


class _PlainFunctions:
    """What NNCF asks for its quantisers' arithmetic, in operators of torch."""

    def __init__(self, reference: Any) -> None:  # noqa: ANN401 - an untyped package
        self._functions: dict[str, Callable[..., Any]] = {
            "Quantize_forward": reference.forward,
            "Quantize_backward": reference.backward,
        }

    def get(self, name: str) -> Callable[..., Any]:
        """The function of this name."""
        return self._functions[name]


def is_smoothing(module: nn.Module) -> bool:
    """Whether a module multiplies a linear layer's inputs by NNCF's smoothing factors."""
    return type(module).__name__ == "SQMultiply"


def is_quantiser(module: nn.Module) -> bool:
    """Whether a module is one of NNCF's quantisers."""
    return type(module).__name__ in {"SymmetricQuantizer", "AsymmetricQuantizer"}
