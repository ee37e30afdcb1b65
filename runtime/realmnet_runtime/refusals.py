"""What is written of a picture that is not answered."""

from __future__ import annotations

from typing import Any

from realmnet_runtime.errors import ImageRefused


def refused_answer(sha256: str | None, error: ImageRefused) -> dict[str, Any]:
    """What takes the place of an answer, so that answers and pictures stay aligned.

    Args:
        sha256: of the file's bytes; None where they could not be read.
        error: why it is not answered; its message names no file.

    Returns:
        JSON-ready, with the keys of `Prediction.to_dict` that it shares: `input` and `error`.
    """
    return {
        "input": {"sha256": sha256},
        "error": {
            "kind": type(error).__name__,
            "exit_code": error.exit_code,
            "message": str(error),
        },
    }
