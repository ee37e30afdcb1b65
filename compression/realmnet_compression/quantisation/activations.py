"""What flows through a network on calibration pictures: ranges, histograms, channel statistics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

Float32Array = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]

BINS: Final = 2048
LEVELS: Final = 255
_SHRINK: Final = 40
_PROVIDER: Final = "CPUExecutionProvider"


class Range(msgspec.Struct, frozen=True):
    """Scale and zero point of an unsigned 8-bit activation: real = scale * (code - zero_point)."""

    scale: float
    zero_point: int


class ChannelStatistics:
    """Largest magnitude and mean of each channel of one activation, over all pictures."""

    def __init__(self) -> None:
        self.largest: FloatArray = np.zeros(0)
        self._sum: FloatArray = np.zeros(0)
        self._count = 0

    def add(self, channels_last: Float32Array) -> None:
        """Take in one (rows, channels) activation."""
        largest = np.abs(channels_last).max(axis=0).astype(np.float64)
        total = channels_last.sum(axis=0, dtype=np.float64)
        if self._count:
            largest, total = np.maximum(largest, self.largest), total + self._sum
        self.largest, self._sum = largest, total
        self._count += channels_last.shape[0]

    @property
    def mean(self) -> FloatArray:
        """Mean of each channel."""
        return self._sum / max(self._count, 1)


def watch(
    model: onnx.ModelProto, names: Sequence[str], tensors: Iterable[Float32Array], threads: int
) -> Iterator[Mapping[str, Float32Array]]:
    """Run a model over pictures and yield the named inner values of each.

    Args:
        model: with one input.
        names: values of the graph, outputs or not.
        tensors: (1, 3, S, S) float32 each.
        threads: of the engine.
    """
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    present = {output.name for output in watched.graph.output}
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return  # onnxruntime would answer every output to a question for none
    for name in wanted:
        if name not in present:
            watched.graph.output.append(
                onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session: Any = onnxruntime.InferenceSession(
        watched.SerializeToString(), options, providers=[_PROVIDER]
    )
    entry = session.get_inputs()[0].name
    for tensor in tensors:
        yield dict(zip(wanted, session.run(wanted, {entry: tensor}), strict=True))


def rows_of_channels(value: Float32Array, channel_axis: int) -> Float32Array:
    """Reshape an activation to (rows, channels)."""
    moved = np.moveaxis(value, channel_axis, -1)
    return np.ascontiguousarray(moved.reshape(-1, moved.shape[-1]))


def calibrate_ranges(
    model: onnx.ModelProto,
    names: Sequence[str],
    tensors: Sequence[Float32Array],
    threads: int,
) -> dict[str, Range]:
    """Choose a range for each value that loses least in the mean square.

    Two passes: the extremes, then a histogram between them; the clipping that minimises the
    expected squared error of rounding and clipping together is searched on it.
    """
    low = dict.fromkeys(names, 0.0)
    high = dict.fromkeys(names, 0.0)
    for values in watch(model, names, tensors, threads):
        for name, value in values.items():
            low[name] = min(low[name], float(value.min()))
            high[name] = max(high[name], float(value.max()))
    counts = {name: np.zeros(BINS) for name in names}
    for values in watch(model, names, tensors, threads):
        for name, value in values.items():
            if high[name] > low[name]:
                counts[name] += np.histogram(value, BINS, (low[name], high[name]))[0]
    return {name: best_range(counts[name], low[name], high[name]) for name in counts}


def best_range(counts: FloatArray, low: float, high: float) -> Range:
    """The 8-bit range of least mean squared error for a histogram of values.

    Args:
        counts: (bins,) of equal width between `low` and `high`.
        low: at most 0; zero must be exactly representable.
        high: at least 0.
    """
    if not high > low:
        return Range(scale=1.0 / LEVELS, zero_point=0)
    centres = low + (np.arange(counts.size) + 0.5) * (high - low) / counts.size
    best, least = to_range(low, high), np.inf
    for keep_low in np.linspace(0.2, 1.0, _SHRINK) if low < 0 else (1.0,):
        for keep_high in np.linspace(0.2, 1.0, _SHRINK) if high > 0 else (1.0,):
            candidate = to_range(low * keep_low, high * keep_high)
            error = float(counts @ (rounded(centres, candidate) - centres) ** 2)
            if error < least:
                best, least = candidate, error
    return best


def to_range(low: float, high: float) -> Range:
    """The range whose 256 codes span `low` to `high`, with zero exactly one of them."""
    scale = float(np.float32((high - low) / LEVELS))
    return Range(scale=scale, zero_point=int(np.clip(round(-low / scale), 0, LEVELS)))


def rounded(values: FloatArray, chosen: Range) -> FloatArray:
    """Values after quantising and back."""
    codes = np.clip(np.rint(values / chosen.scale) + chosen.zero_point, 0, LEVELS)
    result: FloatArray = (codes - chosen.zero_point) * chosen.scale
    return result
