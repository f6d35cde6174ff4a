"""The person's side of `connect`: a browser, a URL to copy or a code to type; a callback, or a URL to paste."""

import os
import sys

from evergrant import _core
from evergrant.exceptions import ConnectDenied, ConnectFailed, InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


# What a browser has no business to know.
_KEY_VARIABLES = ("EVERGRANT_KEY", "EVERGRANT_KEY_FILE", "EVERGRANT_KEY_COMMAND")

# The child opens the browser from a child of its own: ours ends at once, even if the browser stays in the foreground.
_OPEN_URL = "import os, sys, webbrowser\nif os.fork() == 0: webbrowser.open(sys.argv[1])"

# Seconds for an interpreter to start on a loaded machine.
_START_DEADLINE = 10.0

# Bytes: a terminal hands over one line at most, which is shorter.
_LINE = 65536


def show(
    started: "Mapping[str, Any]",
    *,
    open_browser: "bool | Callable[[str], object] | None",
    pasting: "bool" = True,
    environment: "Mapping[str, str]" = os.environ,
) -> None:
    """Bring the person to a sign-in that the core began: by a browser, by a URL to open, by a code to type."""
    url, code = started["url"], started["device"]
    if code is not None:
        _show_code(code, alone=url is None)
    if url is None:
        if code is not None and callable(open_browser):
            open_browser(code["verification_uri_complete"] or code["verification_uri"])
        return
    if callable(open_browser):
        open_browser(url)
        return
    redirect_uri = started["redirect_uri"]
    wanted = not is_headless(open_browser, environment)
    if wanted and _open(url, environment):
        _tell(f"Opening your browser. If it stays closed, visit:\n\n  {url}\n")
    else:
        _tell(f"{'Or, on this machine,' if code else 'To connect,'} visit:\n\n  {url}\n")
        _tell_tunnel(redirect_uri, environment)
    by_itself = _loopback_port(redirect_uri) is not None
    if pasting and _terminal() is not None:
        how = (
            "Waiting for the browser; or paste the URL it ends at" if by_itself else "Paste the URL the browser ends at"
        )
        _tell(f"{how}, and press Enter:")
    elif not (wanted and by_itself):
        how = "Waiting for the browser; or give the URL it ends at" if by_itself else "Give the URL the browser ends at"
        _tell(f"{how} to:\n\n  {started['complete']}\n")


def is_headless(
    open_browser: "bool | Callable[[str], object] | None", environment: "Mapping[str, str]" = os.environ
) -> "bool":
    """Whether nobody opens a browser here, so that a code to type elsewhere is worth asking for."""
    if callable(open_browser):
        return False
    return not (has_browser(environment) if open_browser is None else open_browser)


def wait(waiting: "_core.Call", complete: "Callable[[str], Any]", *, pasting: "bool" = True) -> "Any":
    """The status of the sign-in, however it is finished: elsewhere, or by a callback URL pasted here."""
    terminal = _terminal() if pasting else None
    while (outcome := waiting.wait(watch=terminal)) is _core.WATCHED:
        assert terminal is not None, "only a terminal is watched"  # noqa: S101 - an invariant, for the reader
        line = os.read(terminal, _LINE)
        if not line:
            # The end of input: there will be no paste.
            terminal = None
        elif pasted := line.decode(errors="replace").strip():
            try:
                return complete(pasted)
            except ConnectDenied:
                raise
            except (ConnectFailed, InvalidParameter) as error:
                # Not the URL that was meant: it consumed nothing, so the browser may still finish.
                _tell(f"{error.reason}. Paste the whole URL, and press Enter:")
    return outcome


def has_browser(environment: "Mapping[str, str]") -> "bool":
    """Whether a browser that this process opens would be seen by the person."""
    if environment.get("BROWSER"):
        return True
    if environment.get("SSH_CONNECTION") or environment.get("SSH_TTY"):
        return False
    return sys.platform == "darwin" or bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def _open(url: "str", environment: "Mapping[str, str]") -> "bool":
    import subprocess

    if not sys.executable:
        return False
    clean = {name: value for name, value in environment.items() if name not in _KEY_VARIABLES}
    try:
        subprocess.run(  # noqa: S603 - our own interpreter; the URL is one argument, and no shell reads it
            [sys.executable, "-I", "-c", _OPEN_URL, url],
            env=clean,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_START_DEADLINE,
            check=True,
            start_new_session=True,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _show_code(code: "Mapping[str, Any]", *, alone: "bool") -> None:
    """Say which code to type where (RFC 8628 section 3.3); the link that holds it saves the typing."""
    _tell(
        f"To connect, visit on any device:\n\n  {code['verification_uri']}\n\nand enter the code {code['user_code']}\n"
    )
    if complete := code["verification_uri_complete"]:
        _tell(f"or visit\n\n  {complete}\n")
    if alone:
        _tell("Waiting until you have decided there.")


def _tell_tunnel(redirect_uri: "str", environment: "Mapping[str, str]") -> None:
    """Over SSH, say how the browser of the person's own machine reaches the port that listens here."""
    port = _loopback_port(redirect_uri)
    if port and environment.get("SSH_CONNECTION"):
        _tell(
            "The browser on your own machine reaches this one after:\n\n"
            f"  ssh -L {port}:127.0.0.1:{port} {_here(environment)}\n"
        )


def _loopback_port(redirect_uri: "str") -> "int | None":
    """The port that listens here; `None` where the browser is sent elsewhere, and its URL has to be brought."""
    from urllib.parse import urlsplit

    target = urlsplit(redirect_uri)
    return target.port if target.hostname in {"127.0.0.1", "::1", "localhost"} else None


def _here(environment: "Mapping[str, str]") -> "str":
    """This machine as the SSH client knows it: the third word of SSH_CONNECTION is the server's address."""
    words = environment.get("SSH_CONNECTION", "").split()
    host = words[2] if len(words) > 2 else os.uname().nodename  # noqa: PLR2004 - the words are client and server
    user = environment.get("USER") or environment.get("LOGNAME")
    return f"{user}@{host}" if user else host


def _terminal() -> "int | None":
    """Descriptor of the terminal that the person types at, unless this process runs in its background."""
    try:
        descriptor = sys.stdin.fileno()
        # Reading from the background would stop the process (SIGTTIN).
        foreground = os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp()
    except (AttributeError, OSError, ValueError):
        return None
    return descriptor if foreground else None


def _tell(text: "str") -> None:
    if sys.stderr is not None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - the person reads it
