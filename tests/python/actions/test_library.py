"""The lambdas and scripts of the library, evaluated as runs evaluate them, on what the vendors reply."""

import base64
import email
import re
from email.policy import default
from pathlib import Path

import pytest
import yaml

import evergrant.actions
from evergrant.actions import _lambda, _script
from evergrant.exceptions import ActionError

LIBRARY = Path(evergrant.actions.__file__).parent / "library"
CASES = Path(__file__).parents[2] / "data" / "actions" / "library"

TEMPLATES = {path.relative_to(LIBRARY).with_suffix("").as_posix(): path for path in sorted(LIBRARY.glob("*/*.yaml"))}


def steps(name):
    return yaml.safe_load(TEMPLATES[name].read_text())["definition"]["steps"]


def step(name, ref):
    (found,) = [step["args"] for step in steps(name) if step["ref"] == ref]
    return found


PAGED = [name for name in TEMPLATES if any(step["action"] == "core.http_paginate" for step in steps(name))]


def pages(name):
    """What a lambda sees of the two pages of a template's case."""
    for case in yaml.safe_load((CASES / f"{name}.yaml").read_text())["cases"]:
        replies = [exchange["reply"] for exchange in case["exchanges"]]
        if len(replies) == 2:
            return [
                {"status_code": reply["status"], "headers": reply.get("headers", {}), "data": reply["json"]}
                for reply in replies
            ]
    pytest.fail(f"{name} has no case of two pages")


def filled(source):
    """A lambda with something in the place of its expressions."""
    return re.sub(r"\$\{\{.*?\}\}", "1", source)


@pytest.mark.parametrize("name", PAGED)
def test_pages_are_asked_for_until_the_last(name):
    (args,) = [step["args"] for step in steps(name) if step["action"] == "core.http_paginate"]
    first, last = pages(name)
    assert _lambda.evaluate(filled(args["stop_condition"]), first) is False
    assert _lambda.evaluate(filled(args["stop_condition"]), last) is True
    following = _lambda.evaluate(filled(args["next_request"]), first)
    if "url" in following:
        assert following["url"].startswith("https://")
        # What was asked first would take the place of the query of this URL.
        assert following["params"] is None
    else:
        assert following["params"]


def test_a_mail_is_composed_with_its_headers_encoded():
    script = step("google_gmail/send_message", "compose")["script"]
    inputs = {"to": ["a@example.com", "b@example.com"], "cc": [], "subject": "Grüße", "body": "<b>ü</b>"}
    raw = _script.run_python(script=script, inputs=inputs | {"body_type": "html"})
    message = email.message_from_bytes(base64.urlsafe_b64decode(raw), policy=default)
    assert message["To"] == "a@example.com, b@example.com"
    assert message["Cc"] is None
    assert message["Subject"] == "Grüße"
    assert message.get_content_type() == "text/html"
    assert message.get_content().strip() == "<b>ü</b>"


@pytest.mark.parametrize("field", ["subject", "to", "cc"])
def test_a_line_break_adds_no_header_to_a_mail(field):
    script = step("google_gmail/send_message", "compose")["script"]
    inputs = {"to": ["a@example.com"], "cc": [], "subject": "Hello", "body": "Hello", "body_type": "plain"}
    broken = "Hello\r\nBcc: b@example.com"
    inputs[field] = broken if field == "subject" else [broken]
    with pytest.raises(ActionError, match="ValueError"):
        _script.run_python(script=script, inputs=inputs)


@pytest.mark.parametrize(
    ("name", "refused", "taken"),
    [
        ("slack/post_message", {"reply": {"ok": False, "error": "channel_not_found"}}, {"reply": {"ok": True}}),
        ("slack/search_messages", {"reply": {"ok": False, "error": "missing_scope"}}, {"reply": {"ok": True}}),
        ("slack/look_up_user", {"reply": {"ok": False, "error": "users_not_found"}}, {"reply": {"ok": True}}),
        ("slack/list_channels", {"items": ["missing_scope"]}, {"items": [{"id": "C1"}]}),
        ("slack/list_users", {"items": [{"id": "W1"}, "ratelimited"]}, {"items": []}),
    ],
)
def test_what_slack_refuses_is_the_error_of_the_run(name, refused, taken):
    script = step(name, "accepted")["script"]
    assert [_script.run_python(script=script, inputs=taken)] == list(taken.values())
    (refusal,) = refused.values()
    error = refusal["error"] if isinstance(refusal, dict) else refusal[-1]
    with pytest.raises(ActionError, match=f"RuntimeError: {error}"):
        _script.run_python(script=script, inputs=refused)
