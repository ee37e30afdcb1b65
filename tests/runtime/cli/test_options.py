"""Options in groups: shown to Typer one by one, given to the command as one parameter."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

typer = pytest.importorskip("typer", reason="the command needs the extra 'cli'")
from typer.testing import CliRunner  # noqa: E402

from realmnet_runtime.cli.options import Opening, VariantOption, grouped  # noqa: E402
from realmnet_runtime.cli.predict import predict  # noqa: E402
from realmnet_runtime.cli.slot import activate, rollback  # noqa: E402
from realmnet_runtime.cli.watch import watch  # noqa: E402


@dataclass(frozen=True)
class Pair:
    store: Annotated[Path, typer.Option(help="A folder.")]
    variant: VariantOption = None


@grouped
def command(words: Annotated[list[str], typer.Argument()], pair: Pair, loud: bool = False) -> None:
    """A line of help."""
    typer.echo(f"{words} {pair} {loud}")


def run(*words: str) -> tuple[int, str]:
    application = typer.Typer(rich_markup_mode=None)
    application.command()(command)
    done = CliRunner().invoke(application, list(words))
    return done.exit_code, done.output


def test_the_fields_are_options_and_arrive_as_one() -> None:
    code, said = run("a", "b", "--store", "x", "--variant", "v", "--loud")

    assert code == 0
    assert said == f"{['a', 'b']} {Pair(Path('x'), 'v')} True\n"
    assert run("a", "--store", "x")[1] == f"{['a']} {Pair(Path('x'))} False\n"


def test_help_and_mistakes_are_those_of_single_options() -> None:
    code, said = run("--help")
    assert code == 0
    for part in ("A line of help.", "--store", "A folder.", "--variant", "--loud"):
        assert part in said
    assert run("a")[0] == 2
    assert "--store" in run("a")[1]


@pytest.mark.parametrize("verb", [predict, watch, activate, rollback])
def test_no_group_is_left_in_a_verbs_signature(verb: object) -> None:
    assert callable(verb)
    names = set(inspect.signature(verb).parameters)

    assert {"engine", "variant", "threads", "cache", "trusted_key", "allow_unsigned"} <= names
    assert names.isdisjoint({"opening", "proof"})


@pytest.mark.parametrize(
    ("opening", "says"),
    [
        (Opening(), False),
        (Opening(cache=Path("x"), allow_unsigned=True, trusted_key=[Path("k")]), False),
        (Opening(bundle=Path("x")), True),
        (Opening(engine="openvino"), True),
        (Opening(variant="x"), True),
        (Opening(threads=1), True),
        (Opening(require_prepared=True), True),
    ],
)
def test_a_bundle_or_how_it_is_run_is_said_or_not(opening: Opening, says: bool) -> None:
    assert opening.says_which is says
