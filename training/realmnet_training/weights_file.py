"""Weights of one network and what is to be said of them: safetensors with JSON in its header."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import safetensors
import safetensors.torch
from safetensors import SafetensorError
from torch import nn

from realmnet_runtime.errors import IntegrityError, MissingPath
from realmnet_runtime.files import write_atomically
from realmnet_runtime.structs import decode_json

T = TypeVar("T", bound=msgspec.Struct)


class WeightsFormat(NamedTuple):
    """One kind of weights file: its entry in the header, and the command that writes it."""

    key: str
    command: str

    def save(self, path: Path, network: nn.Module, facts: msgspec.Struct) -> None:
        """Write weights and facts, whole or not at all.

        Raises:
            OutputError: the file cannot be written; an older one is untouched.
        """
        state = {
            name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()
        }
        header = {self.key: msgspec.json.encode(facts).decode()}
        write_atomically(path, safetensors.torch.save(state, metadata=header))

    def read_facts(self, path: Path, kind: type[T]) -> T:
        """Read the facts without the weights.

        Raises:
            MissingPath: no such file.
            IntegrityError: not a whole safetensors file of this kind.
            ConfigurationError: facts that `kind` refuses.
        """
        if not path.is_file():
            raise MissingPath(f"checkpoint '{path}' does not exist; give one of `{self.command}`")
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
        except SafetensorError as error:
            raise IntegrityError(f"'{path}' is not a whole safetensors file: {error}") from error
        if self.key not in header:
            raise IntegrityError(
                f"'{path}' has no '{self.key}' entry in its header; it was not written by "
                f"`{self.command}`"
            )
        return decode_json(header[self.key].encode(), kind, str(path))

    def fill(self, path: Path, network: nn.Module) -> None:
        """Load the weights into a network and put it into evaluation mode.

        Raises:
            IntegrityError: they do not fit.
        """
        try:
            network.load_state_dict(safetensors.torch.load_file(path))
        except (RuntimeError, SafetensorError) as error:
            raise IntegrityError(f"the weights in '{path}' do not fit its own facts") from error
        network.eval()
