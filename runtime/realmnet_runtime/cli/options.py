"""Options that several verbs share: which bundle is opened, on whose word, and how it is run.

Options that go together are the fields of a dataclass, and a command that is `grouped` takes them
as one parameter of that type.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar, get_type_hints

import typer

from realmnet_runtime.answering.predictor import Predictor
from realmnet_runtime.answering.selection import AUTO
from realmnet_runtime.signatures.trust import ANY_BUNDLE, Trust

Result = TypeVar("Result")

BundleOption: TypeAlias = Annotated[
    Path | None, typer.Option("--bundle", help="Bundle; the installed default if none is named.")
]
EngineOption: TypeAlias = Annotated[
    str, typer.Option("--engine", help="auto, openvino or onnxruntime.")
]
VariantOption: TypeAlias = Annotated[
    str | None, typer.Option("--variant", help="Variant of the bundle, by name.")
]
ThreadsOption: TypeAlias = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Most threads; physical cores up to 4 by default."),
]
CacheOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--cache", help="Folder of `realmnet prepare`; the user's by default."),
]
RequirePrepared: TypeAlias = Annotated[
    bool, typer.Option("--require-prepared", help="Refuse (6) what was not prepared before.")
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="One JSON object.")]
TrustedKeys: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        "--trusted-key",
        help="Public key (.pem), or a folder of them; repeatable. The bundle must be signed.",
    ),
]
AllowUnsigned: TypeAlias = Annotated[
    bool, typer.Option("--allow-unsigned", help="Open a bundle that nobody signed all the same.")
]


def trust_of(trusted_key: list[Path] | None, *, allow_unsigned: bool) -> Trust:
    """What the two options say; errors as `Trust.of`."""
    return Trust.of(*(trusted_key or ()), unsigned="allow" if allow_unsigned else "refuse")


def trust_to_examine(trusted_key: list[Path] | None, *, allow_unsigned: bool) -> Trust:
    """The same for a verb that examines a bundle: where no key is named it looks at any."""
    trust = trust_of(trusted_key, allow_unsigned=allow_unsigned)
    return trust if trust.keys else ANY_BUNDLE


@dataclass(frozen=True)
class Opening:
    """Which bundle answers, on whose word, and how: what `predict`, `watch` and `serve` share."""

    bundle: BundleOption = None
    engine: EngineOption = AUTO
    variant: VariantOption = None
    threads: ThreadsOption = None
    cache: CacheOption = None
    require_prepared: RequirePrepared = False
    trusted_key: TrustedKeys = None
    allow_unsigned: AllowUnsigned = False

    @property
    def trust(self) -> Trust:
        """Whose bundles are opened; errors as `Trust.of`."""
        return trust_of(self.trusted_key, allow_unsigned=self.allow_unsigned)

    @property
    def says_which(self) -> bool:
        """Whether a bundle is named, or anything of how it is to be run."""
        said = (self.bundle, self.engine, self.variant, self.threads, self.require_prepared)
        return said != (None, AUTO, None, None, False)

    def open(self) -> Predictor:
        """Open the predictor that is asked for; errors as `Predictor.open` and `Trust.of`."""
        return Predictor.open(
            self.bundle,
            engine=self.engine,
            variant=self.variant,
            threads=self.threads,
            cache=self.cache,
            require_prepared=self.require_prepared,
            trust=self.trust,
        )


def grouped(command: Callable[..., Result]) -> Callable[..., Result]:
    """Let each parameter of a command that is a dataclass of options be given as those options.

    Typer knows functions of single options only: it is shown the fields in the parameter's place.

    Args:
        command: function of a verb.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[Any]] = {name: hint for name, hint in hints.items() if _is_group(hint)}

    @functools.wraps(command)
    def run(**words: Any) -> Result:  # noqa: ANN401 - whatever the options hold
        for name, kind in groups.items():
            words[name] = kind(**{each.name: words.pop(each.name) for each in fields(kind)})
        return command(**words)

    shown: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            shown += _as_parameters(groups[name])
        else:
            # By name alone, as Typer calls it: then an option without a default may follow others.
            by_name = inspect.Parameter.KEYWORD_ONLY
            shown.append(parameter.replace(kind=by_name, annotation=hints[name]))
    run.__annotations__ = {each.name: each.annotation for each in shown}
    run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    return run


def _is_group(hint: object) -> bool:
    return is_dataclass(hint)


def _as_parameters(group: type[Any]) -> Iterator[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    for name, parameter in inspect.signature(group).parameters.items():
        yield parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
