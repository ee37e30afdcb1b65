"""The bundle that is used where none is named: exactly one entry point may offer it.

An entry point of the group `realmnet.bundles` names an attribute that holds the bundle's path.
Beside it the module may state the bundle's digest, under the attribute's name and `_SHA256`: who
installed the package trusts it, so a bundle of that digest needs no signature, wherever it lies.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final

from realmnet_runtime.errors import MissingPath, UsageError

GROUP: Final = "realmnet.bundles"
DIGEST_SUFFIX: Final = "_SHA256"

DEMONSTRATION_DIGEST: Final = "794df18ef1edac2bb079ffb577037de9f37daa812ee9bf38aae685032106044d"
"""Of the bundle that comes with the toolkit, which is tried where the runtime is alone, too."""


def find_default_bundle() -> Path:
    """Path of the one bundle offered in the entry-point group `realmnet.bundles`.

    Raises:
        MissingPath: nothing offers a bundle, or what is offered is not there.
        UsageError: several packages offer one, or the entry point does not give a path.
    """
    # A package that is on the path twice (editable and installed) offers the same bundle twice.
    offers = list(
        {(offer.name, offer.value): offer for offer in entry_points(group=GROUP)}.values()
    )
    if not offers:
        raise MissingPath(
            "no bundle named and no default bundle installed; name one with --bundle, or "
            "pip install realmnet for the demonstration bundle"
        )
    if len(offers) > 1:
        raise UsageError(
            f"{len(offers)} default bundles are installed "
            f"({', '.join(sorted(offer.value for offer in offers))}); name one with --bundle"
        )
    offer = offers[0]
    try:
        value = offer.load()
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"default bundle '{offer.value}' cannot be loaded ({error}); name one with --bundle"
        ) from error
    if not isinstance(value, str | os.PathLike):
        raise UsageError(
            f"default bundle '{offer.value}' is of type {type(value).__name__}, not a path; "
            f"name one with --bundle"
        )
    path = Path(value)
    if not path.exists():
        raise MissingPath(
            f"default bundle '{offer.value}' is not at its place; reinstall the package or name "
            f"one with --bundle"
        )
    return path


def offered_digests() -> frozenset[str]:
    """Digests that installed packages carry for the bundles they offer, 64 hex digits each.

    A package that cannot be loaded offers none.
    """
    return frozenset(filter(None, map(_carried_digest, entry_points(group=GROUP))))


def _carried_digest(offer: EntryPoint) -> str | None:
    try:
        offer.load()
    except (ImportError, AttributeError):
        return None
    digest = getattr(sys.modules[offer.module], f"{offer.attr}{DIGEST_SUFFIX}", None)
    return digest if isinstance(digest, str) else None
