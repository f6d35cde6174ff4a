"""The pages of the test kit's server, plain enough for a script and clear enough for a person."""

from __future__ import annotations

from html import escape

_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:32em;margin:4em auto;padding:0 1em}button{font:inherit;margin-right:1em}"
)


def consent(client_id: str, scopes: tuple[str, ...], ticket: str, *, action: str) -> str:
    """Who asks for what, and two buttons."""
    wishes = "".join(f"<li>{escape(scope)}</li>" for scope in scopes) or "<li>nothing in particular</li>"
    return _page(
        "Consent",
        f"<p><b>{escape(client_id)}</b> asks for:</p><ul>{wishes}</ul>"
        f"{_form(action, ('ticket', ticket), label='Sign in as', name='login', value='ada')}",
    )


def device(user_code: str, *, action: str) -> str:
    """The code that a device shows, and two buttons."""
    form = _form(action, ("login", "ada"), label="Code on your device", name="user_code", value=user_code)
    return _page("Connect a device", form)


def done() -> str:
    """The end of a device's sign-in."""
    return _page("Done", "<p>You may close this page.</p>")


def error(code: str, description: str) -> str:
    """What went wrong, for the person: the client is told nothing."""
    return _page("Error", f"<p><code>{escape(code)}</code>: {escape(description)}</p>")


def _form(action: str, hidden: tuple[str, str], *, label: str, name: str, value: str) -> str:
    return (
        f'<form method="post" action="{escape(action)}">'
        f'<input type="hidden" name="{hidden[0]}" value="{escape(hidden[1])}">'
        f'<p><label>{label} <input name="{name}" value="{escape(value)}" autocomplete="off"></label></p>'
        '<button name="decision" value="allow">Allow</button><button name="decision" value="deny">Deny</button></form>'
    )


def _page(title: str, content: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><h1>{title}</h1>{content}</html>"
    )
