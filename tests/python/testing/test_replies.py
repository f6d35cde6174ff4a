"""What evergrant makes of what servers really do: each row of the section Replies of docs/faults.md."""

from __future__ import annotations

import urllib.request
from urllib.error import HTTPError

import pytest

import evergrant
from evergrant import (
    AccessToken,
    ConnectFailed,
    ConnectTimeout,
    MissingScopes,
    ProviderRejected,
    ProviderUnavailable,
    ReauthorizationRequired,
    Workspace,
)
from evergrant.testing import Clock, MockProvider

HOUR = 3600.0  # what an access token of the kit's server lives

# A reply that is odd, and what it does to the token that it brings: it is handed out, or refused by this rule.
ODD = {
    "expires_in_huge": None,
    "expires_in_negative": None,
    "expires_in_text": None,
    "expires_in_zero": None,
    "no_expires_in": None,
    "narrower_scopes": None,
    "new_refresh_token": None,
    "dripped": None,
    "form_encoded": None,
    "wrong_content_type": None,
    "no_token_type": "the reply names no token_type (RFC 6749 section 5.1)",
    "control_characters": "the access token is not text that fits a header (RFC 6750 section 2.1)",
    "malformed_json": "the reply is not well-formed",
    "cut": "the reply is not whole",
    "huge_body": "the reply is not whole",
    "gzip_bomb": "the reply is not whole",
}


def token() -> AccessToken:
    return evergrant.get_token("mock")


def sent(provider: MockProvider) -> list[int]:
    """The refresh tokens that were sent, each by its number: 0 is the first that was issued."""
    issued = list(provider.server.ledger.refresh_tokens)
    return [issued.index(one.form["refresh_token"]) for one in provider.server.requests_to("token", "refresh_token")]


def refused(error: type[evergrant.EvergrantError]) -> evergrant.EvergrantError:
    """The error that asking for a token raises."""
    with pytest.raises(error) as caught:
        token()
    return caught.value


def is_kept(provider: MockProvider, clock: Clock, wait: float = 0.0) -> None:
    """The grant is there still: later the same refresh token is sent again, and works."""
    assert evergrant.status("mock").state == "connected"
    clock.advance(wait or 2.0)
    token()
    assert sent(provider) == [0, 0]


# --- every odd reply, played as a refresh's ---------------------------------------------------------------------------


@pytest.mark.parametrize("behaviour", ODD)
def test_the_refresh_after_an_odd_reply_sends_the_refresh_token_that_was_in_it(
    connected: MockProvider, oauth_clock: Clock, behaviour: str
) -> None:
    oauth_clock.advance(HOUR)
    connected.next(behaviour)
    if ODD[behaviour] is None:
        token()
    else:
        assert refused(ProviderRejected).reason == ODD[behaviour]

    evergrant.refresh("mock")
    oauth_clock.advance(5.0)
    evergrant.refresh("mock")

    assert sent(connected)[:2] == [0, 1]
    assert connected.server.reused == 0
    assert evergrant.status("mock").state == "connected"


# --- rotation ---------------------------------------------------------------------------------------------------------


def test_a_used_refresh_token_that_comes_back_ends_the_grant(connected: MockProvider, oauth_clock: Clock) -> None:
    oauth_clock.advance(HOUR)
    token()
    somebody_uses_the_old_one(connected)
    oauth_clock.advance(HOUR)

    assert isinstance(refused(ReauthorizationRequired), ReauthorizationRequired)

    assert connected.server.reused == 1
    assert sent(connected) == [0, 0, 1]
    refused(ReauthorizationRequired)
    assert connected.refreshes == 3, "nothing is asked any more"


def somebody_uses_the_old_one(provider: MockProvider) -> None:
    first = next(iter(provider.server.ledger.refresh_tokens))
    form = f"grant_type=refresh_token&refresh_token={first}"
    with pytest.raises(HTTPError) as refusal:
        urllib.request.urlopen(basic(provider, form))
    with refusal.value:
        assert refusal.value.code == 400


def basic(provider: MockProvider, form: str) -> urllib.request.Request:
    from base64 import b64encode
    from urllib.parse import quote_plus

    pair = f"{quote_plus(provider.client_id)}:{quote_plus(str(provider.client_secret))}"
    headers = {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
    return urllib.request.Request(provider.endpoints["token_endpoint"], data=form.encode(), headers=headers)


def test_a_lost_reply_costs_the_grant_where_used_refresh_tokens_have_no_grace(
    connected: MockProvider, oauth_clock: Clock
) -> None:
    oauth_clock.advance(HOUR)
    connected.next("dropped")
    assert isinstance(refused(ProviderUnavailable), ProviderUnavailable)
    oauth_clock.advance(2.0)

    assert "the reply of mock to an earlier refresh was lost" in str(refused(ReauthorizationRequired).reason)

    assert sent(connected) == [0, 0]
    assert connected.server.reused == 1


def test_a_lost_reply_costs_nothing_within_the_grace(connected: MockProvider, oauth_clock: Clock) -> None:
    connected.always("grace", seconds=60.0)
    oauth_clock.advance(HOUR)
    connected.next("dropped")
    refused(ProviderUnavailable)

    is_kept(connected, oauth_clock)


def test_a_lost_reply_costs_nothing_until_the_first_use_of_the_new_token(
    connected: MockProvider, oauth_clock: Clock
) -> None:
    connected.always("grace_until_first_use")
    oauth_clock.advance(HOUR)
    connected.next("dropped")
    refused(ProviderUnavailable)

    is_kept(connected, oauth_clock)


def test_a_refresh_without_a_refresh_token_keeps_the_old_one(connected: MockProvider, oauth_clock: Clock) -> None:
    for _ in range(2):
        connected.next("no_refresh_token")
        oauth_clock.advance(HOUR)
        token()
    assert sent(connected) == [0, 0]


def test_a_refresh_with_an_empty_refresh_token_keeps_the_old_one(connected: MockProvider, oauth_clock: Clock) -> None:
    connected.always("no_rotation")
    connected.always("empty_refresh_token")
    for _ in range(2):
        oauth_clock.advance(HOUR)
        token()
    assert sent(connected) == [0, 0]


def test_a_changed_refresh_token_replaces_the_old_one_even_where_the_server_does_not_rotate(
    connected: MockProvider, oauth_clock: Clock
) -> None:
    connected.always("no_rotation")
    for behaviour in ("new_refresh_token", "no_rotation"):
        connected.next(behaviour)
        oauth_clock.advance(HOUR)
        token()
    assert sent(connected) == [0, 1]


def test_a_sign_in_without_a_refresh_token_ends_with_its_access_token(
    mock_provider: MockProvider, oauth_clock: Clock
) -> None:
    mock_provider.next("no_refresh_token")
    mock_provider.connect()
    token()
    oauth_clock.advance(HOUR)
    refused(ReauthorizationRequired)
    assert mock_provider.refreshes == 0


# --- expiry, scopes, type ---------------------------------------------------------------------------------------------


def test_a_token_without_expiry_is_refreshed_after_an_hour(mock_provider: MockProvider, oauth_clock: Clock) -> None:
    mock_provider.next("no_expires_in")
    mock_provider.connect()
    assert token().expires_at is None
    oauth_clock.advance(HOUR - 1)
    token()
    assert mock_provider.refreshes == 0
    oauth_clock.advance(1)
    token()
    assert mock_provider.refreshes == 1


def test_an_expiry_in_quotes_is_a_number(mock_provider: MockProvider) -> None:
    mock_provider.next("expires_in_text")
    mock_provider.connect()
    assert token().expires_in == HOUR


@pytest.mark.parametrize("behaviour", ["expires_in_zero", "expires_in_negative"])
def test_a_token_that_lives_no_time_serves_those_who_waited_for_it_once(
    connected: MockProvider, oauth_clock: Clock, behaviour: str
) -> None:
    oauth_clock.advance(HOUR)
    connected.always(behaviour)
    first = token()
    assert first != token()
    assert connected.refreshes == 2


def test_an_expiry_beyond_all_calendars_is_a_long_time(mock_provider: MockProvider, oauth_clock: Clock) -> None:
    mock_provider.next("expires_in_huge")
    mock_provider.connect()
    oauth_clock.advance(365 * 24 * HOUR)
    token()
    assert mock_provider.refreshes == 0


def test_narrower_scopes_are_the_tokens_and_not_the_grants(connected: MockProvider, oauth_clock: Clock) -> None:
    oauth_clock.advance(HOUR)
    connected.next("narrower_scopes")
    assert token().scopes == ("openid",)
    assert evergrant.status("mock").granted_scopes == ("openid", "email")
    oauth_clock.advance(HOUR)
    assert token().scopes == ("openid", "email")


def test_a_sign_in_that_granted_less_says_what_is_missing(mock_provider: MockProvider) -> None:
    mock_provider.next("narrower_scopes")
    assert mock_provider.connect().missing_scopes == ("email",)
    with pytest.raises(MissingScopes) as missing:
        evergrant.get_token("mock", scopes=["email"])
    assert missing.value.missing == ("email",)


def test_a_token_without_a_type_is_not_handed_out(connected: MockProvider, oauth_clock: Clock) -> None:
    oauth_clock.advance(HOUR)
    connected.next("no_token_type")
    assert "names no token_type" in str(refused(ProviderRejected).reason)


def test_a_token_with_control_characters_is_not_handed_out(connected: MockProvider, oauth_clock: Clock) -> None:
    oauth_clock.advance(HOUR)
    connected.next("control_characters")
    assert "not text that fits a header" in str(refused(ProviderRejected).reason)


# --- errors -----------------------------------------------------------------------------------------------------------


def test_an_invalid_grant_ends_the_connection_and_nothing_is_asked_again(
    connected: MockProvider, oauth_clock: Clock
) -> None:
    oauth_clock.advance(HOUR)
    connected.next("invalid_grant")
    error = refused(ReauthorizationRequired)
    assert isinstance(error, ReauthorizationRequired)
    assert (error.error, error.description) == ("invalid_grant", "the grant is over")
    refused(ReauthorizationRequired)
    assert connected.refreshes == 1


def test_an_error_with_status_200_is_an_error(connected: MockProvider, oauth_clock: Clock) -> None:
    oauth_clock.advance(HOUR)
    connected.next("error_with_200")
    refused(ReauthorizationRequired)
    assert connected.refreshes == 1


def test_a_refused_client_costs_no_grant(connected: MockProvider, oauth_clock: Clock) -> None:
    oauth_clock.advance(HOUR)
    connected.next("invalid_client")
    error = refused(ProviderRejected)
    assert "evergrant configure mock" in str(error.hint)
    is_kept(connected, oauth_clock)


@pytest.mark.parametrize("behaviour", ["temporarily_unavailable", "500", "502", "503"])
def test_a_server_that_is_away_costs_a_little_time(connected: MockProvider, oauth_clock: Clock, behaviour: str) -> None:
    oauth_clock.advance(HOUR)
    connected.next(behaviour)
    assert isinstance(refused(ProviderUnavailable), ProviderUnavailable)
    refused(ProviderUnavailable)
    assert connected.refreshes == 1, "during the back-off nothing is asked"
    is_kept(connected, oauth_clock)


@pytest.mark.parametrize("behaviour", ["429", "503"])
def test_a_server_that_asks_to_wait_is_left_alone_so_long(
    connected: MockProvider, oauth_clock: Clock, behaviour: str
) -> None:
    oauth_clock.advance(HOUR)
    connected.next(behaviour, retry_after=120)
    error = refused(ProviderUnavailable)
    assert isinstance(error, ProviderUnavailable)
    assert error.retry_after == 120.0
    oauth_clock.advance(119.0)
    refused(ProviderUnavailable)
    assert connected.refreshes == 1
    is_kept(connected, oauth_clock, wait=1.0)


@pytest.mark.parametrize("behaviour", ["500", "502", "503", "temporarily_unavailable"])
def test_a_server_that_is_away_in_the_middle_of_a_sign_in_is_called_away(
    mock_provider: MockProvider, behaviour: str
) -> None:
    mock_provider.next(behaviour)
    with pytest.raises(ProviderUnavailable):
        mock_provider.connect()
    assert evergrant.status("mock").state == "configured"


def test_secrets_in_an_errors_words_are_masked(connected: MockProvider, oauth_clock: Clock) -> None:
    oauth_clock.advance(HOUR)
    connected.next("secrets_in_error")
    error = refused(ProviderRejected)
    shown = f"{error!r} {error} {error.hint} {evergrant.status('mock')!r} {evergrant.status('mock').to_dict()}"
    assert "grant_type=refresh_token" in shown
    assert [kind for kind, value in connected.server.secrets() if value[-16:] in shown] == []


# --- how a reply travels ----------------------------------------------------------------------------------------------


def test_a_reply_that_is_late_serves_the_next_caller(connected: MockProvider, oauth_clock: Clock) -> None:
    oauth_clock.advance(HOUR)
    connected.next("slow")
    with pytest.raises(ProviderUnavailable):
        evergrant.get_token("mock", timeout=0.2)
    connected.server.release()
    token()
    assert connected.refreshes == 1


def test_a_reply_that_comes_byte_by_byte_is_a_reply(connected: MockProvider, oauth_clock: Clock) -> None:
    oauth_clock.advance(HOUR)
    connected.next("dripped")
    token()
    assert connected.refreshes == 1


def test_a_reply_cut_before_its_refresh_token_is_lost(connected: MockProvider, oauth_clock: Clock) -> None:
    connected.always("grace")
    oauth_clock.advance(HOUR)
    connected.next("cut", part=0.1)
    assert isinstance(refused(ProviderUnavailable), ProviderUnavailable)
    is_kept(connected, oauth_clock)


def test_a_reply_cut_behind_its_refresh_token_gives_that_one_up_only(
    connected: MockProvider, oauth_clock: Clock
) -> None:
    oauth_clock.advance(HOUR)
    connected.next("cut", part=0.98)
    assert refused(ProviderRejected).reason == "the reply is not whole"
    oauth_clock.advance(2.0)
    token()
    assert sent(connected) == [0, 1]


def test_malformed_json_costs_the_access_token_only(connected: MockProvider, oauth_clock: Clock) -> None:
    oauth_clock.advance(HOUR)
    connected.next("malformed_json")
    assert refused(ProviderRejected).reason == "the reply is not well-formed"
    oauth_clock.advance(2.0)
    token()
    assert sent(connected) == [0, 1]


@pytest.mark.parametrize("behaviour", ["form_encoded", "wrong_content_type"])
def test_a_reply_of_another_type_is_read_as_what_it_is(
    connected: MockProvider, oauth_clock: Clock, behaviour: str
) -> None:
    oauth_clock.advance(HOUR)
    connected.next(behaviour)
    assert token().expires_in == HOUR
    assert connected.refreshes == 1


@pytest.mark.parametrize("behaviour", ["huge_body", "gzip_bomb"])
def test_a_reply_beyond_all_measure_is_read_to_a_limit(
    connected: MockProvider, oauth_clock: Clock, behaviour: str
) -> None:
    oauth_clock.advance(HOUR)
    connected.next(behaviour)
    assert refused(ProviderRejected).reason == "the reply is not whole"
    oauth_clock.advance(2.0)
    token()
    assert sent(connected) == [0, 1]


def test_a_redirect_is_not_followed(connected: MockProvider, oauth_clock: Clock) -> None:
    oauth_clock.advance(HOUR)
    elsewhere = connected.server.url("/api/elsewhere")
    connected.next("redirect", location=elsewhere)
    assert isinstance(refused(ProviderUnavailable), ProviderUnavailable)
    assert connected.server.requests_to("api") == ()
    is_kept(connected, oauth_clock)


# --- the way back of the person ---------------------------------------------------------------------------------------

HERE = "http://127.0.0.1/callback"


@pytest.mark.parametrize("behaviour", ["wrong_state", "no_state"])
def test_a_callback_with_another_state_consumes_nothing(mock_provider: MockProvider, behaviour: str) -> None:
    begun = evergrant.begin_connect("mock", redirect_uri=HERE, session="s-1")
    mock_provider.next(behaviour)
    with pytest.raises(ConnectFailed):
        evergrant.complete_connect(mock_provider.person().consent(begun.authorization_url), session="s-1")
    assert mock_provider.server.requests_to("token") == ()

    callback = mock_provider.person().consent(begun.authorization_url)
    assert evergrant.complete_connect(callback, session="s-1").state == "connected"


@pytest.mark.parametrize("behaviour", ["wrong_state", "no_state"])
def test_a_wrong_state_on_the_loopback_port_is_ignored(mock_provider: MockProvider, behaviour: str) -> None:
    mock_provider.next(behaviour)
    with pytest.raises(ConnectTimeout):
        mock_provider.connect(timeout=0.5)
    assert mock_provider.server.requests_to("token") == ()
    assert evergrant.status("mock").state == "configured"


def test_a_callback_of_another_issuer_is_refused(mock_provider: MockProvider, oauth_workspace: Workspace) -> None:
    oauth_workspace.configure("mock", issuer=mock_provider.issuer)
    begun = evergrant.begin_connect("mock", redirect_uri=HERE, session="s-1")
    mock_provider.next("wrong_iss")
    with pytest.raises(ConnectFailed):
        evergrant.complete_connect(mock_provider.person().consent(begun.authorization_url), session="s-1")
    assert mock_provider.server.requests_to("token") == ()
    assert evergrant.status("mock").state == "configured"


# --- the API ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 404, 400, 200])
def test_a_token_that_the_api_calls_expired_is_replaced_once(connected: MockProvider, status: int) -> None:
    first = token()
    connected.next("expired", status=status)
    assert ask_the_api(connected, first) == status

    second = evergrant.get_token("mock", replacing=first)

    assert evergrant.get_token("mock", replacing=first) is second
    assert ask_the_api(connected, second) == 200
    assert connected.server.requests_to("api")[1].subject == "ada"
    assert connected.refreshes == 1


def ask_the_api(provider: MockProvider, access_token: str) -> int:
    request = urllib.request.Request(provider.api_url, headers={"Authorization": f"Bearer {access_token}"})
    try:
        with urllib.request.urlopen(request) as response:
            return int(response.status)
    except HTTPError as refusal:
        with refusal:
            return refusal.code
