"""A CI job that has no network at all, ci.yaml: the providers are on loopback, and a vendor is never asked."""

import socket

import pytest

import evergrant
from evergrant.testing import MockProvider, Providers


def test_there_is_no_network() -> None:
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on the machine
        socket.create_connection(("192.0.2.1", 443), timeout=1)


@pytest.mark.parametrize("vendor", ["google", "microsoft", "github", "slack"])
def test_a_vendor_is_played(vendor: str, mock_provider_as: Providers) -> None:
    mock_provider_as(vendor).connect()
    assert evergrant.get_token(vendor).token_type


def test_a_vendor_is_never_asked(mock_provider: MockProvider) -> None:
    evergrant.configure("google_drive", client_id="mine", client_secret="mine")
    evergrant.import_refresh_token("google_drive", "a-refresh-token")
    with pytest.raises(evergrant.ProviderUnavailable):
        evergrant.get_token("google_drive")
    assert mock_provider.requests == ()
