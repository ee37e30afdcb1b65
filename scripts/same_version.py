"""Build hook: the toolkit requires the runtime of exactly its own version."""

from __future__ import annotations

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

VERSION_FILE = Path("runtime") / "realmnet_runtime" / "_version.py"


class SameVersion(MetadataHookInterface):
    """Fills `dependencies` from the one version file."""

    def update(self, metadata: dict[str, object]) -> None:
        """Write `realmnet-runtime==<version>` into the project's metadata."""
        text = (Path(self.root) / VERSION_FILE).read_text(encoding="utf-8")
        match = re.search(r'^__version__ = "([^"]+)"$', text, flags=re.MULTILINE)
        if match is None:
            raise ValueError(f'no __version__ in {VERSION_FILE}; write __version__ = "x.y.z"')
        metadata["dependencies"] = [f"realmnet-runtime=={match[1]}"]
