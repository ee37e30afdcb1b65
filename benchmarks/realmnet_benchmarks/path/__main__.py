"""`python -m realmnet_benchmarks.path`: the commands, with errors as one line and an exit code."""

from __future__ import annotations

import sys

import typer

from realmnet_benchmarks.path.commands import path
from realmnet_runtime.cli.outputs import say
from realmnet_runtime.errors import INTERRUPTED_EXIT_CODE, RealmnetError


def main(words: list[str] | None = None) -> int:
    """Run a command; the exit code is that of `realmnet`."""
    try:
        code = typer.main.get_command(path).main(
            args=words, prog_name="python -m realmnet_benchmarks.path", standalone_mode=True
        )
    except RealmnetError as error:
        say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED_EXIT_CODE
    except SystemExit as ended:
        code = ended.code
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
