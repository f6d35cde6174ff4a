"""The command line: `evergrant COMMAND`.

Exit codes: 0 done; 1 failed otherwise; 2 usage, unknown provider, invalid scope or parameter, ambiguous grant; 3 not
configured; 4 needs a person; 5 provider unavailable; 6 store or key; 130 interrupted. Results go to standard output,
everything else to standard error.
"""

import sys


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: "list[str]") -> "int":
    """Run `arguments` and return the exit code; `token` is answered before click is imported."""
    if arguments[:1] == ["token"]:
        from evergrant.cli import _token

        code = _token.answer(arguments[1:])
        if code is not None:
            return code
    from evergrant.cli import _commands

    return _commands.run(arguments)
