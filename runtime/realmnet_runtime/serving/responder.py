"""One request's work, done in a thread: decide, draw what was asked for, record, say."""

from __future__ import annotations

import base64
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.answering.deadline import Deadline
from realmnet_runtime.answering.explain import bounded_size
from realmnet_runtime.answering.prediction import Prediction
from realmnet_runtime.answering.predictor import Predictor
from realmnet_runtime.audit import AuditLog
from realmnet_runtime.drawing.heat_overlay import FULL_EVIDENCE, heat_layer
from realmnet_runtime.errors import OutputError, RealmnetError, UsageError
from realmnet_runtime.files import sha256_of
from realmnet_runtime.pictures.images import read_image
from realmnet_runtime.serving.bodies import Body
from realmnet_runtime.serving.replies import Reply, answer_reply, error_reply
from realmnet_runtime.serving.wishes import Wishes

_JPEG: Final = (".jpg", (cv2.IMWRITE_JPEG_QUALITY, 90))
# Smooth layers shrink to about the same at every level; this one takes a third of the time.
_PNG: Final = (".png", (cv2.IMWRITE_PNG_COMPRESSION, 2))


class Responder:
    """Answers bodies; any number of threads may.

    Args:
        predictor: open; it stays the caller's to close.
        log: every answer and refusal is recorded there before it is given; None records none.
    """

    def __init__(self, predictor: Predictor, log: AuditLog | None = None) -> None:
        self._predictor = predictor
        self._log = log

    def reply(self, body: Body, wishes: Wishes, limit: Deadline) -> Reply:
        """The answer, or why there is none; errors of this toolkit become replies."""
        digest = None
        try:
            limit.require("waiting for its turn")
            data = body.picture()
            digest = sha256_of(data)
            return self._answer(data, wishes, limit)
        except RealmnetError as error:
            return self._refusal(digest, error)

    def _answer(self, data: bytes, wishes: Wishes, limit: Deadline) -> Reply:
        prediction = self._predictor.predict(
            data,
            frame=wishes.frame,
            # Nothing left is for the predictor to find; 0 is no deadline to it.
            deadline=max(limit.remaining or 0.0, 1e-3),
            answer_ungradable=wishes.answer_ungradable,
        )
        said = prediction.to_dict() | _drawings(data, prediction, wishes, limit)
        if self._log is not None:
            self._log.append(prediction)
        return answer_reply(said, withheld=prediction.withheld)

    def _refusal(self, digest: str | None, error: RealmnetError) -> Reply:
        # A wrong request says nothing of a picture, and what cannot be written, cannot be here.
        recorded = not isinstance(error, OutputError | UsageError)
        if self._log is not None and recorded:
            try:
                self._log.append_refusal(digest, error)
            except RealmnetError as unrecorded:
                return error_reply(unrecorded, digest)
        return error_reply(error, digest)


def _drawings(
    data: bytes, prediction: Prediction, wishes: Wishes, limit: Deadline
) -> dict[str, Any]:
    """What the query asked for beside the answer, all of one size."""
    drawn: dict[str, Any] = {}
    height, width = size = bounded_size(prediction.original_size, wishes.side)
    if wishes.picture:
        small = _small(data, prediction, size)
        drawn["picture"] = {"width": width, "height": height, "jpeg": _encoded(small, *_JPEG)}
        limit.require("picture")
    if wishes.heat_maps is not None:
        names = prediction.findings if wishes.heat_maps == "findings" else prediction.thresholds
        layers = {}
        for name in () if prediction.withheld else names:
            heat = prediction.heat_map(name, size=size)
            layers[name] = _encoded(heat_layer(heat / np.float32(FULL_EVIDENCE)), *_PNG)
            limit.require("heat maps")
        drawn["heat_maps"] = {
            "width": width,
            "height": height,
            "full_evidence": FULL_EVIDENCE,
            "png": layers,
        }
    return drawn


def _small(data: bytes, prediction: Prediction, size: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = size
    # Half, as the decoder leaves twice what it is asked for.
    half = -(-min(size) // 2)
    pixels = read_image(data, model_size=half, frame=prediction.frame)
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _encoded(pixels: NDArray[np.uint8], suffix: str, options: tuple[int, int]) -> str:
    """Base64 of a picture file of (H, W, 3) RGB or (H, W, 4) RGBA."""
    turned = [2, 1, 0, 3][: pixels.shape[2]]
    done, content = cv2.imencode(suffix, np.ascontiguousarray(pixels[..., turned]), options)
    if not done:
        raise OutputError(f"{pixels.shape} pixels could not be written as {suffix}; ask for none")
    return base64.b64encode(content.tobytes()).decode()
