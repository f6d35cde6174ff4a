"""The commands: each is a verb, its options, and how its result is printed."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from typing import Any

import click

import evergrant
from evergrant._api import Verbs, default
from evergrant._types import Problem, Report, Status
from evergrant.cli import _actions, _exit, _output, _token
from evergrant.cli._options import common, pairs, verbs_of
from evergrant.exceptions import EvergrantError, UnknownProvider


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a name shows it escaped.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = commands.main(args=list(arguments), prog_name="evergrant", standalone_mode=False)
        sys.stdout.flush()
    except EvergrantError as error:
        return _exit.fail(error)
    except click.ClickException as error:
        return _fail(error)
    except click.Abort:
        click.echo(err=True)
        return _exit.INTERRUPTED
    except BrokenPipeError:
        return _exit.leave_broken_pipe()
    return code if isinstance(code, int) else _exit.DONE


def _fail(error: click.ClickException) -> int:
    """Say a mistake in the words that other errors are said in; no command at all is answered with the help."""
    context = getattr(error, "ctx", None)
    if context is None or isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        error.show()
    else:
        _exit.say("error", error.format_message())
        _exit.suggest(f"{context.command_path} --help")
    return error.exit_code


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 not configured, 4 needs a person, 5 provider unavailable, "
    "6 store or key.",
)
@click.version_option(evergrant.__version__, prog_name="evergrant")
def commands() -> None:
    """Fresh OAuth 2.0 access tokens, from an encrypted local store."""


@commands.command()
@click.argument("provider", metavar="[ID]", required=False)
@common("json")
def providers(provider: str | None, *, as_json: bool) -> None:
    """List the catalogue, or describe a provider."""
    if provider is None:
        catalogue = default.providers()
        _output.as_json(catalogue) if as_json else _output.providers(catalogue)
    else:
        found = default.provider(provider)
        _output.as_json(found) if as_json else _output.provider(found)


@commands.command()
@click.argument("provider", metavar="ID")
@click.option("--client-id", metavar="X", help="The client id the vendor gave you.")
@click.option("--client-secret-file", metavar="F", type=click.File(), help="File with the client secret.")
@click.option("--client-secret-stdin", is_flag=True, help="Read the client secret from standard input.")
@click.option("--scope", "scopes", metavar="S", multiple=True, help="An additional scope; may be repeated.")
@click.option("--parameter", "parameters", metavar="K=V", multiple=True, help="A parameter; may be repeated.")
@click.option("--redirect-uri", metavar="U", help="Where the provider sends the browser back.")
@click.option("--issuer", metavar="U", help="Issuer, for a provider of your own.")
@click.option("--endpoint", "endpoints", metavar="NAME=URL", multiple=True, help="An endpoint; may be repeated.")
@click.option("--api-host", "api_hosts", metavar="H", multiple=True, help="A host that may get the token, too.")
@common("grant_type", "workspace", "store", "json")
def configure(
    provider: str,
    *,
    client_id: str | None,
    client_secret_file: Any,
    client_secret_stdin: bool,
    scopes: tuple[str, ...],
    parameters: tuple[str, ...],
    redirect_uri: str | None,
    issuer: str | None,
    endpoints: tuple[str, ...],
    api_hosts: tuple[str, ...],
    grant_type: str | None,
    workspace: str | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Set up an integration. A secret that is missing is asked for."""
    verbs = verbs_of(workspace, store)
    secret = _secret("--client-secret", client_secret_file, from_stdin=client_secret_stdin)
    if secret is None and sys.stdin.isatty() and (client_id or not _is_configured(verbs, provider, grant_type)):
        client_id = client_id or click.prompt("Client id", default="", show_default=False, err=True) or None
        secret = (
            click.prompt("Client secret (empty for none)", default="", show_default=False, hide_input=True, err=True)
            or None
        )
    _show(
        verbs.configure(
            provider,
            grant_type=grant_type,
            client_id=client_id,
            client_secret=secret,
            scopes=scopes or None,
            parameters=pairs("--parameter", parameters),
            redirect_uri=redirect_uri,
            issuer=issuer,
            endpoints=pairs("--endpoint", endpoints),
            api_hosts=api_hosts or None,
        ),
        as_json=as_json,
    )


@commands.command()
@click.argument("path", metavar="FILE", type=click.Path(exists=True, dir_okay=False))
@click.option("--check", is_flag=True, help="Change nothing; exit 1 when something differs.")
@common("workspace", "store", "json")
def apply(path: str, *, check: bool, workspace: str | None, store: str | None, as_json: bool) -> int:
    """Configure what a file names."""
    return _report(verbs_of(workspace, store).apply(path, check=check), as_json=as_json)


@commands.command()
@click.argument("provider", metavar="ID")
@click.option("--scope", "scopes", metavar="S", multiple=True, help="A scope to ask for, too; may be repeated.")
@click.option("--again", is_flag=True, help="Ask the person even when connected.")
@click.option("--no-browser", is_flag=True, help="Only print the URL.")
@click.option(
    "--timeout",
    metavar="S",
    type=click.FloatRange(min=0),
    default=300.0,
    help="Seconds the person has, 300 unless given.",
)
@common("connection", "grant_type", "workspace", "store", "json")
def connect(
    provider: str,
    *,
    scopes: tuple[str, ...],
    again: bool,
    no_browser: bool,
    timeout: float,
    connection: str,
    grant_type: str | None,
    workspace: str | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Sign in and consent, or fetch a service token."""
    _show(
        verbs_of(workspace, store).connect(
            provider,
            grant_type=grant_type,
            connection=connection,
            scopes=scopes or None,
            again=again,
            open_browser=False if no_browser else None,
            timeout=timeout,
        ),
        as_json=as_json,
    )


@commands.command("complete-connect")
@common("workspace", "store", "json")
def complete_connect(*, workspace: str | None, store: str | None, as_json: bool) -> None:
    """Finish a sign-in with a callback URL.

    The URL that the browser ended at is asked for, or read from standard input.
    """
    url = (click.prompt("Callback URL", err=True) if sys.stdin.isatty() else sys.stdin.read()).strip()
    if not url:
        message = "standard input is empty: give it the whole URL that the browser ended at"
        raise click.UsageError(message)
    _show(verbs_of(workspace, store).complete_connect(url), as_json=as_json)


@commands.command()
@click.argument("provider", metavar="ID")
@common("connection", "grant_type", "workspace", "store", "json")
def test(
    provider: str,
    *,
    connection: str,
    grant_type: str | None,
    workspace: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Ask the provider whether a connection works."""
    found = verbs_of(workspace, store).test(provider, grant_type=grant_type, connection=connection)
    return _report(found, as_json=as_json)


@commands.command()
@click.argument("provider", metavar="ID")
@click.option("--header", is_flag=True, help="Print a whole Authorization header.")
@click.option("--min-ttl", metavar="S", type=float, help="Seconds the token must last at least.")
@click.option("--scope", "scopes", metavar="S", multiple=True, help="A scope that is needed; may be repeated.")
@common("connection", "grant_type", "workspace", "store", "json")
def token(
    provider: str,
    *,
    header: bool,
    min_ttl: float | None,
    scopes: tuple[str, ...],
    connection: str,
    grant_type: str | None,
    workspace: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Print a fresh access token."""
    return _token.show(
        provider,
        workspace=workspace,
        store=store,
        grant_type=grant_type,
        connection=connection,
        scopes=list(scopes) or None,
        min_ttl=min_ttl,
        header=header,
        as_json=as_json,
    )


@commands.command()
@click.argument("provider", metavar="[ID]", required=False)
@common("connection", "grant_type", "workspace", "store", "json")
def status(
    provider: str | None,
    *,
    connection: str,
    grant_type: str | None,
    workspace: str | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Show a connection, or all of them."""
    verbs = verbs_of(workspace, store)
    if provider is not None:
        _show(verbs.status(provider, grant_type=grant_type, connection=connection), as_json=as_json)
        return
    connections = verbs.connections(grant_type=grant_type)
    connected = {(one.provider, one.grant_type) for one in connections}
    found = [
        *connections,
        *(
            one
            for one in verbs.integrations()
            if (one.provider, one.grant_type) not in connected and grant_type in (None, one.grant_type)
        ),
    ]
    _output.as_json(found) if as_json else _output.statuses(found)


@commands.command()
@click.argument("provider", metavar="ID")
@click.option("--no-revoke", is_flag=True, help="Only delete the tokens here.")
@common("connection", "grant_type", "workspace", "store", "json")
def disconnect(
    provider: str,
    *,
    no_revoke: bool,
    connection: str,
    grant_type: str | None,
    workspace: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Revoke and delete a connection's tokens."""
    found = verbs_of(workspace, store).disconnect(
        provider, grant_type=grant_type, connection=connection, revoke=not no_revoke
    )
    return _report(found, as_json=as_json)


@commands.command()
@click.argument("provider", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--no-revoke", is_flag=True, help="Only delete the tokens here.")
@common("grant_type", "workspace", "store", "json")
def remove(
    provider: str,
    *,
    yes: bool,
    no_revoke: bool,
    grant_type: str | None,
    workspace: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Delete an integration with all its connections."""
    verbs = verbs_of(workspace, store)
    if not yes:
        if not sys.stdin.isatty():
            message = "there is no terminal to ask at: confirm with --yes"
            raise click.UsageError(message)
        names = ", ".join(one.connection for one in verbs.connections(provider, grant_type=grant_type))
        question = f"Remove {provider} with its connections ({names})?" if names else f"Remove {provider}?"
        if not click.confirm(question, err=True):
            _exit.say("error", "nothing was removed")
            return _exit.FAILED
    return _report(verbs.remove(provider, grant_type=grant_type, revoke=not no_revoke), as_json=as_json)


@commands.command()
@click.argument("provider", metavar="[ID]", required=False)
@click.option("--due", is_flag=True, help="Refresh all connections that are due.")
@click.option("--lead", metavar="S", type=click.FloatRange(min=0), help="Those due within S seconds, too.")
@common("connection", "grant_type", "workspace", "store", "json")
def refresh(
    provider: str | None,
    *,
    due: bool,
    lead: float | None,
    connection: str,
    grant_type: str | None,
    workspace: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Refresh a connection now, or all that are due."""
    if due == (provider is not None):
        message = "name a provider, or say --due"
        raise click.UsageError(message)
    if lead is not None and not due:
        message = "--lead goes with --due"
        raise click.UsageError(message)
    found = verbs_of(workspace, store).refresh(provider, grant_type=grant_type, connection=connection, lead=lead or 0.0)
    return _report(found, as_json=as_json)


@commands.command("import-refresh-token")
@click.argument("provider", metavar="ID")
@click.option("--refresh-token-file", metavar="F", type=click.File(), help="File with the refresh token.")
@click.option("--refresh-token-stdin", is_flag=True, help="Read the refresh token from standard input.")
@click.option("--scope", "scopes", metavar="S", multiple=True, help="A scope it was granted; may be repeated.")
@common("connection", "grant_type", "workspace", "store", "json")
def import_refresh_token(
    provider: str,
    *,
    refresh_token_file: Any,
    refresh_token_stdin: bool,
    scopes: tuple[str, ...],
    connection: str,
    grant_type: str | None,
    workspace: str | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Connect with a refresh token from elsewhere."""
    secret = _secret("--refresh-token", refresh_token_file, from_stdin=refresh_token_stdin)
    if secret is None:
        if not sys.stdin.isatty():
            message = "give the refresh token with --refresh-token-file or --refresh-token-stdin"
            raise click.UsageError(message)
        secret = click.prompt("Refresh token", hide_input=True, err=True)
    _show(
        verbs_of(workspace, store).import_refresh_token(
            provider, secret, grant_type=grant_type, connection=connection, scopes=scopes or None
        ),
        as_json=as_json,
    )


@commands.command("check-provider")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(exists=True))
@common("json")
def check_provider(paths: tuple[str, ...], *, as_json: bool) -> int:
    """Say what is wrong in provider files."""
    found = [problem for path in paths for problem in default.check_provider(path)]
    _output.as_json(found) if as_json else _output.problems(found)
    return _exit.FAILED if any(problem.severity == "error" for problem in found) else _exit.DONE


commands.add_command(_actions.run)
commands.add_command(_actions.actions)


@commands.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(exists=True))
@common("json")
def validate(paths: tuple[str, ...], *, as_json: bool) -> int:
    """Say what is wrong in action templates, and what they need, without running them."""
    from evergrant.actions import _validate

    report = _validate.report(paths)
    found = list(map(Problem, report["problems"]))
    if as_json:
        _output.as_json(found)
    else:
        _output.problems(found, [problem["excerpt"] for problem in report["problems"]])
        _output.templates(report["templates"], found)
    return _exit.USAGE if any(problem.severity == "error" for problem in found) else _exit.DONE


@commands.command()
@common("json")
def demo(*, as_json: bool) -> None:
    """Tell a short story on a server of the test kit, in a store of its own."""
    from evergrant.cli import _demo

    story: list[str] = []
    _demo.tell(story.append if as_json else lambda sentence: click.echo(f"• {sentence}"))
    if as_json:
        click.echo(json.dumps(story, indent=2))


def _show(found: Status, *, as_json: bool) -> None:
    _output.as_json(found) if as_json else _output.status(found)


def _report(found: Report, *, as_json: bool) -> int:
    if not as_json:
        return _output.report(found)
    _output.as_json(found)
    return _output.code_of(found)


def _is_configured(verbs: Verbs, provider: str, grant_type: str | None) -> bool:
    try:
        return verbs.status(provider, grant_type=grant_type).state != "not_configured"
    except UnknownProvider:
        return False


def _secret(option: str, file: Any, *, from_stdin: bool) -> str | None:
    """A secret from a file or from standard input, without the line break that editors and `echo` add."""
    if file is not None and from_stdin:
        message = f"{option}-file and {option}-stdin exclude each other"
        raise click.UsageError(message)
    source = sys.stdin if from_stdin else file
    if source is None:
        return None
    text: str = source.read()
    secret = text.rstrip("\r\n")
    if not secret:
        message = f"{option}-{'stdin' if from_stdin else 'file'} is empty"
        raise click.UsageError(message)
    return secret
