"""One eye, painted once and photographed several times."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from realmnet_benchmarks.phantoms.canvas import Canvas
from realmnet_benchmarks.phantoms.cases import PERIPHERAL_SIGNS, SIGNS, PhantomCase
from realmnet_benchmarks.phantoms.choroid import channels, paint_choroid, visibility
from realmnet_benchmarks.phantoms.fundus import Disc, paint_background, paint_disc, paint_fovea
from realmnet_benchmarks.phantoms.lesions.atrophy import (
    paint_diffuse,
    paint_macular,
    paint_patches,
)
from realmnet_benchmarks.phantoms.lesions.confusers import (
    paint_arc_shadow,
    paint_bright_pole,
    paint_drusen,
    paint_floater,
    paint_macular_pigment,
    paint_nevus,
    paint_pale_halo,
    paint_reflex,
)
from realmnet_benchmarks.phantoms.lesions.peripheral import (
    paint_detachment,
    paint_hole,
    paint_lattice,
    paint_scars,
)
from realmnet_benchmarks.phantoms.lesions.staphyloma import Staphyloma, paint_staphyloma
from realmnet_benchmarks.phantoms.streams import stream
from realmnet_benchmarks.phantoms.vessels import grow_tree, paint_vessels

LESIONS: Final = (*(n for n in SIGNS if n not in ("NoPS", "NoMRL")), *PERIPHERAL_SIGNS)
"""Signs whose place is known, in the order of their bits in `EyeSheet.truth`."""

_CACHE_BYTES: Final = 192 * 2**20

_PERIPHERAL: Final = {
    "LDoCRT": paint_lattice,
    "HoT": paint_hole,
    "RRD": paint_detachment,
    "PC": paint_scars,
}
_CONFUSERS: Final = {
    "drusen": paint_drusen,
    "bright_pole": paint_bright_pole,
    "macular_pigment": paint_macular_pigment,
    "floater": paint_floater,
    "nevus": paint_nevus,
    "reflex": paint_reflex,
}


@dataclass(frozen=True, slots=True)
class EyeSheet:
    """A painted eye in the frame of a right eye.

    Attributes:
        px: pixels per eye unit.
        planes: (H, W, 2) uint8, reflectance of red and green in 1/255.
        truth: (H, W, 2) uint8; bit k of the two bytes is the k-th of LESIONS.
        present: names of the lesions that were painted.
    """

    px: float
    planes: np.ndarray
    truth: np.ndarray
    present: tuple[str, ...]


_cache: OrderedDict[tuple[object, ...], EyeSheet] = OrderedDict()
_lock = threading.Lock()


def eye_sheet(case: PhantomCase, px: float) -> EyeSheet:
    """The painted eye of a case at a scale, from a cache of at most 192 MiB where possible."""
    key = (case.seed, case.eye, case.severity, case.peripheral, case.confusers, px)
    with _lock:
        if key in _cache:
            _cache.move_to_end(key)
            return _cache[key]
    sheet = paint_eye(case, px)
    with _lock:
        _cache[key] = sheet
        while len(_cache) > 1 and sum(_size(kept) for kept in _cache.values()) > _CACHE_BYTES:
            _cache.popitem(last=False)
        if _size(sheet) > _CACHE_BYTES:
            del _cache[key]
    return sheet


def tessellation(case: PhantomCase) -> float:
    """How clearly the choroid shows, 0.04..1.

    The ranges of NoMRL and TFO overlap, as graders' opinions do; higher grades keep the
    tessellation of the grade below.
    """
    if "NoMRL" in case.labels:
        return 0.04 + 0.30 * case.strength("NoMRL")
    if "TFO" in case.labels:
        return 0.26 + 0.74 * case.strength("TFO")
    return float(stream(case.seed, "tessellation", case.eye).uniform(0.3, 1.0))


def paint_eye(case: PhantomCase, px: float) -> EyeSheet:
    """Paint the eye of a case, from the sclera forwards."""
    seed, eye = case.seed, case.eye
    canvas, disc = Canvas(px), Disc.of(seed, eye)
    paint_background(canvas, seed, eye)
    paint_fovea(canvas, seed, eye)
    strength = tessellation(case)
    layer = channels(seed, eye, px, disc.centre)
    seen = visibility(canvas, seed, eye)
    paint_choroid(canvas, layer, seen, strength)
    if "TFO" in case.labels:
        everything = (slice(0, canvas.shape[0]), slice(0, canvas.shape[1]))
        canvas.mark("TFO", everything, layer * seen, 0.3)
    pouch = _paint_signs(canvas, case, disc, layer)
    for name in case.peripheral:
        _PERIPHERAL[name](canvas, stream(seed, name, eye))
    tree = grow_tree(seed, eye, disc)
    paint_vessels(canvas, tree, disc, pouch.bend if pouch else None)
    for name in case.confusers:
        if name in _CONFUSERS:
            _CONFUSERS[name](canvas, stream(seed, name, eye))
    return _sealed(canvas)


def _paint_signs(
    canvas: Canvas, case: PhantomCase, disc: Disc, layer: np.ndarray
) -> Staphyloma | None:
    seed, eye = case.seed, case.eye
    pouch = None
    if "PS" in case.labels:
        pouch = Staphyloma.of(stream(seed, "PS", eye), disc, case.strength("PS"))
        paint_staphyloma(canvas, stream(seed, "PS surface", eye), pouch)
    elif "arc_shadow" in case.confusers:
        paint_arc_shadow(canvas, stream(seed, "arc_shadow", eye), disc)
    advanced = max(case.strength(name) for name in ("DCA", "PCA", "MA"))
    extra = stream(seed, "milder", eye)
    if "DCA" in case.labels:
        paint_diffuse(canvas, stream(seed, "DCA", eye), disc, advanced, layer)
    elif advanced and extra.uniform() < 0.5:
        # A higher grade often keeps the grade below it as its background.
        paint_diffuse(canvas, extra, disc, float(extra.uniform(0.05, 0.6)), layer)
    if "pale_halo" in case.confusers:
        paint_pale_halo(canvas, stream(seed, "pale_halo", eye), disc)
    crescent = stream(seed, "crescent", eye).uniform(0.0, 0.55)
    paint_disc(canvas, disc, seed, eye, float(crescent + 0.25 * (advanced > 0) + 0.2 * bool(pouch)))
    if "PCA" in case.labels or ("MA" in case.labels and extra.uniform() < 0.35):
        severity = case.strength("PCA") or float(extra.uniform(0.05, 0.6))
        paint_patches(canvas, stream(seed, "PCA", eye), disc, severity, layer)
    if "MA" in case.labels:
        paint_macular(canvas, stream(seed, "MA", eye), advanced, layer)
    return pouch


def _sealed(canvas: Canvas) -> EyeSheet:
    height, width = canvas.shape
    planes = np.empty((height, width, 2), np.uint8)
    for k, plane in enumerate((canvas.red, canvas.green)):
        planes[..., k] = cv2.convertScaleAbs(np.clip(plane, 0.0, 1.0, out=plane), alpha=255)
    truth = np.zeros((height, width, 2), np.uint8)
    for name, mask in canvas.masks.items():
        byte, bit = divmod(LESIONS.index(name), 8)
        truth[..., byte] |= (mask > 0).astype(np.uint8) << np.uint8(bit)
    planes.setflags(write=False)
    truth.setflags(write=False)
    present = tuple(name for name in LESIONS if name in canvas.masks)
    return EyeSheet(canvas.px, planes, truth, present)


def _size(sheet: EyeSheet) -> int:
    return int(sheet.planes.nbytes + sheet.truth.nbytes)
