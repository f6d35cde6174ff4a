"""Tokens and records."""

import copy
import json
import pickle
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import evergrant
from evergrant import AccessToken, Problem, Provider, Report, Status, Step
from evergrant._types import PendingConnection

NOW = 1_700_000_000_000
SECRET = "ya29.a0AfH6SMBx-very-secret"

STATUS = {
    "provider": "google_drive",
    "grant_type": "authorization_code",
    "connection": "default",
    "state": "connected",
    "client_id": "123.apps",
    "redirect_uri": "http://127.0.0.1/callback",
    "requested_scopes": ["a", "b"],
    "granted_scopes": ["a"],
    "missing_scopes": ["b"],
    "account": "ann@example.com",
    "expires_at": NOW,
    "refreshed_at": None,
    "last_error": None,
    "reason": None,
    "hint": None,
}


def made(expires_at=NOW + 3_500_000, now=NOW, **parts):
    fields = {
        "scopes": ("a", "b"),
        "token_type": "Bearer",
        "resource": "",
        "workspace": "default",
        "provider": "google_drive",
        "grant_type": "authorization_code",
        "connection": "default",
        "extra": {"instance_url": "https://x"},
        **parts,
    }
    clock = now if callable(now) else lambda: now
    return AccessToken._make(SECRET, expires_at, *fields.values(), clock)


# Tokens


def test_a_token_is_its_value_as_text():
    token = made()

    assert token == SECRET
    assert hash(token) == hash(SECRET)
    assert str(token) == f"{token}" == "%s" % token == format(token) == SECRET  # noqa: UP031 - all ways count
    assert f"{token:>40}" == f"{SECRET:>40}"
    assert type(str(token)) is str
    assert json.dumps(token) == json.dumps(SECRET)


def test_a_tokens_repr_has_no_part_of_its_value():
    assert repr(made()) == "<AccessToken google_drive/default, 58 min left>"
    assert f"{made()!r}" == "%r" % made()  # noqa: UP031 - both ways count


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (None, "no known expiry"),
        (-5, "expired"),
        (0, "expired"),
        (42.9, "42 s left"),
        (3599, "59 min left"),
        (6 * 3600, "6 h left"),
        (30 * 86400, "30 d left"),
    ],
)
def test_a_tokens_repr_says_how_long_it_lasts(left, words):
    token = made(None if left is None else NOW + int(left * 1000))

    assert repr(token) == f"<AccessToken google_drive/default, {words}>"


def test_a_token_says_what_it_is_for():
    token = made(resource="https://api", connection="ann", extra={"team_id": "T1"})

    assert (token.provider, token.connection, token.resource) == ("google_drive", "ann", "https://api")
    assert (token.workspace, token.grant_type, token.token_type) == ("default", "authorization_code", "Bearer")
    assert token.scopes == ("a", "b")
    assert token.extra == {"team_id": "T1"}


def test_a_token_says_when_it_ends_in_utc():
    assert made().expires_at == datetime(2023, 11, 14, 23, 11, 40, tzinfo=timezone.utc)
    assert made().expires_at.tzinfo is timezone.utc
    assert made().expires_in == 3500.0
    assert made(None).expires_at is None
    assert made(None).expires_in is None


def test_a_token_that_ends_after_all_calendars_ends_with_them():
    assert made(2**62).expires_at == datetime.max.replace(tzinfo=timezone.utc)


def test_what_is_left_of_a_token_never_grows_when_the_clock_is_set_back():
    times = iter([NOW, NOW - 86_400_000])
    token = made(now=lambda: next(times))

    assert token.expires_in == 3500.0


def test_a_token_without_a_clock_reads_the_machines():
    token = AccessToken("x", expires_at=datetime.now(timezone.utc) + timedelta(hours=1))

    assert 3590 < token.expires_in <= 3600


def test_the_extra_values_of_a_token_are_read_only():
    with pytest.raises(TypeError):
        made().extra["team_id"] = "other"


def test_a_token_cannot_be_changed():
    token = made()

    with pytest.raises(AttributeError, match="immutable"):
        token.provider = "github"
    with pytest.raises(AttributeError, match="immutable"):
        del token.scopes
    with pytest.raises(AttributeError):
        token.other = 1


def test_copies_of_a_token_are_the_token():
    token = made()

    assert copy.copy(token) is token
    assert copy.deepcopy({"headers": [token]})["headers"][0] is token


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_token_pickles_as_a_reference(core, protocol):
    token = made(connection="ann", resource="https://api")

    pickled = pickle.dumps(token, protocol)

    assert SECRET.encode() not in pickled
    assert pickle.loads(pickled) is core.token
    assert core.last("get_token") == {
        "workspace": "default",
        "provider": "google_drive",
        "grant_type": "authorization_code",
        "connection": "ann",
        "resource": "https://api",
    }


def test_a_token_of_another_workspace_is_asked_for_there(core):
    pickle.loads(pickle.dumps(made(workspace="team")))

    assert core.opened == [("team",)]
    assert core.last("get_token")["workspace"] == "team"
    assert core.last("get_token")["resource"] is None


def test_a_token_made_by_hand_needs_only_its_value():
    token = AccessToken("fake")

    assert (token, token.scopes, token.token_type, token.expires_at) == ("fake", (), "Bearer", None)
    assert repr(token) == "<AccessToken /default, no known expiry>"


# Records


def test_a_status_has_the_cores_values():
    status = Status(STATUS)

    assert status.requested_scopes == ("a", "b")
    assert status.missing_scopes == ("b",)
    assert status.expires_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc)
    assert status.refreshed_at is None
    assert status.account == "ann@example.com"


def test_a_status_is_a_dict_on_request_that_json_takes():
    plain = Status(STATUS).to_dict()

    assert json.loads(json.dumps(plain)) == plain
    assert plain == {**STATUS, "expires_at": "2023-11-14T22:13:20Z"}


def test_a_status_reads_as_one_line():
    assert repr(Status(STATUS)) == "<Status google_drive/default: connected as ann@example.com>"
    broken = Status({**STATUS, "state": "reauthorization_required", "account": None, "reason": "Access was revoked"})
    assert repr(broken) == "<Status google_drive/default: reauthorization_required (Access was revoked)>"


def test_a_status_in_a_notebook_is_escaped():
    html = Status({**STATUS, "account": "<script>alert(1)</script>"})._repr_html_()

    assert "<script>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "google_drive" in html


RECORDS = [
    Status(STATUS),
    Report({"ok": False, "steps": [{"what": "revoke", "ok": False, "detail": "503"}], "reason": "no", "hint": None}),
    Problem({"severity": "error", "path": "a.yaml", "line": 3, "column": 1, "message": "no", "hint": None}),
    Provider(
        {
            "id": "github",
            "aliases": ["gh"],
            "name": "GitHub",
            "links": {"api": "https://docs", "setup": None},
            "grant_types": ["authorization_code"],
            "parameters": {"authorization_code": {"host": {"label": "Host"}}},
            "api_hosts": ["api.github.com"],
            "base_scopes": {"authorization_code": ["user"]},
            "suggested_scopes": {"authorization_code": {"repo": "x"}},
            "setup": {"authorization_code": {"console_url": "https://c", "steps": ["a"]}},
        }
    ),
]


@pytest.mark.parametrize("record", RECORDS)
def test_records_are_equal_by_value(record):
    same = pickle.loads(pickle.dumps(record))

    assert same == record
    assert hash(same) == hash(record)
    assert record != "something else"
    assert copy.deepcopy(record) is record


@pytest.mark.parametrize("record", RECORDS)
def test_records_cannot_be_changed(record):
    with pytest.raises(AttributeError, match="immutable"):
        setattr(record, record.__slots__[0], "other")
    with pytest.raises(AttributeError, match="immutable"):
        delattr(record, record.__slots__[0])


@pytest.mark.parametrize("record", RECORDS)
def test_records_are_dicts_that_json_takes(record):
    assert json.loads(json.dumps(record.to_dict())) == record.to_dict()


def test_statuses_that_differ_are_not_equal():
    assert Status(STATUS) != Status({**STATUS, "connection": "work"})


def test_a_step_unpacks():
    (step,) = RECORDS[1].steps
    what, ok, detail = step

    assert (what, ok, detail) == (step.what, step.ok, step.detail) == ("revoke", False, "503")
    assert repr(step) == "Step(what='revoke', ok=False, detail='503')"
    assert pickle.loads(pickle.dumps(step)) == Step("revoke", ok=False, detail="503")


def test_a_provider_answers_for_each_grant_type():
    provider = RECORDS[3]

    assert provider.parameters == {"host": {"label": "Host"}}
    assert provider.links == {"api": "https://docs"}
    assert provider.base_scopes("authorization_code") == ("user",)
    assert provider.suggested_scopes() == {"repo": "x"}
    assert provider.setup("authorization_code") == ("a",)
    assert repr(provider) == "<Provider github: GitHub (authorization_code)>"
    with pytest.raises(evergrant.InvalidParameter, match="GitHub offers authorization_code, not 'client_credentials'"):
        provider.setup("client_credentials")


def test_a_pending_connection_shows_no_state():
    pending = PendingConnection({"authorization_url": "https://a?state=s3cret", "state": "s3cret", "expires_at": NOW})

    assert "s3cret" not in repr(pending)
    assert pending.state == "s3cret"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(pending)


# Importing


# `-S` keeps the .pth files of this environment out; what `site` itself loads, every interpreter has: `os`.
BARE = """
import os, sys
before = set(sys.modules)
core = type(sys)("evergrant._core")
core.__version__ = "0"
core.get_token = core.call = print
core.Call = core.Workspace = core.Handle = object
sys.modules["evergrant._core"] = core
sys.path.insert(0, {folder!r})
import evergrant
{then}
print(sorted(name for name in set(sys.modules) - before if not name.startswith("evergrant")))
"""


@pytest.mark.parametrize(
    "then",
    [
        "",
        "import evergrant.exceptions",
        "import evergrant._types; repr(evergrant.AccessToken('x'))",
        "evergrant.status",
        "evergrant.Workspace",
        "core.get_token = lambda x, **_: evergrant.AccessToken(x)\nfrom evergrant.cli import run; run(['token', 'x'])",
    ],
)
def test_importing_loads_no_module_that_a_bare_interpreter_has_not(then):
    folder = str(Path(evergrant.__file__).parents[1])
    program = BARE.format(folder=folder, then=then)

    shown = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)

    assert shown.stdout.splitlines()[-1] == "[]"


def test_the_public_get_token_is_the_cores_own():
    assert evergrant.get_token is sys.modules["evergrant._core"].get_token


def test_every_public_name_can_be_had():
    for name in evergrant.__all__:
        assert getattr(evergrant, name) is not None
        assert name in dir(evergrant)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'evergrant' has no attribute 'nothing'"):
        evergrant.nothing  # noqa: B018 - asking is the test
