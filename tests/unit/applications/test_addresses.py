import ipaddress
import socket
import time
from typing import Any

import pytest

from apps.applications import addresses
from apps.applications.addresses import BadUrl, Forbidden

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "99.255.255.255",  # just below and above 100.64.0.0/10
    "100.128.0.0",
    "172.15.255.255",  # just below and above 172.16.0.0/12
    "172.32.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001:80b::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]
NOT_PUBLIC = [
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.0",  # carrier-grade NAT
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",  # the metadata server
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",  # documentation
    "192.168.0.1",
    "198.18.0.0",  # benchmarks
    "198.19.255.255",
    "198.51.100.1",  # documentation
    "203.0.113.1",  # documentation
    "224.0.0.1",  # multicast
    "239.255.255.255",
    "240.0.0.1",  # reserved
    "255.255.255.255",  # broadcast
    "::",
    "::1",
    "::127.0.0.1",  # IPv4-compatible
    "::8.8.8.8",
    "::ffff:127.0.0.1",  # IPv4-mapped
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",  # IPv4-translated
    "64:ff9b::127.0.0.1",  # NAT64
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::8.8.8.8",  # NAT64 of somebody's own network
    "64:ff9b:1:ffff::a00:1",
    "100::1",  # discard
    "2001::1",  # Teredo
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",  # benchmarks
    "2001:10::1",  # ORCHID
    "2001:db8::1",  # documentation
    "2002:7f00:1::1",  # 6to4 with 127.0.0.1 inside
    "2002:a00:1::1",
    "2002:a9fe:a9fe::1",
    "3fff::1",  # documentation
    "4000::1",  # not given out
    "5f00::1",  # segment routing
    "fc00::1",  # unique local
    "fd00:ec2::254",
    "fdff:ffff::1",
    "fe80::1",  # link-local
    "fec0::1",  # site-local
    "ff02::1",  # multicast
    "ff0e::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_may_be_dialled(address: str) -> None:
    assert addresses.is_public(ipaddress.ip_address(address))
    addresses.check_dial(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_any_other_address_is_refused_at_creation_and_at_dial(address: str) -> None:
    assert not addresses.is_public(ipaddress.ip_address(address))
    with pytest.raises(Forbidden, match="not a public address"):
        addresses.check_dial(address)
    with pytest.raises(BadUrl, match="private address"):
        addresses.check_url(f"https://{f'[{address}]' if ':' in address else address}/hook")


@pytest.mark.parametrize("address", ["fe80::1%eth0", "fe80::1%1", "fd00::1%lo"])
def test_an_address_with_a_scope_is_refused_at_dial(address: str) -> None:
    with pytest.raises(Forbidden):
        addresses.check_dial(address)


@pytest.mark.parametrize(
    "host", ["localhost", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "127.0.1", "0"]
)
def test_every_spelling_of_this_machine_is_refused(host: str) -> None:
    with pytest.raises(BadUrl, match="private address"):
        addresses.check_url(f"http://{host}:8080/")


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_the_local_runtime_may_dial_anything(address: str, settings: Any) -> None:
    settings.WAYBILL_ALLOW_PRIVATE_ENDPOINTS = True
    addresses.check_dial(address)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "https://"),
        ("example.com/hook", "https://"),
        ("//example.com/hook", "https://"),
        ("/hook", "https://"),
        ("ftp://example.com/", "https://"),
        ("file:///etc/passwd", "https://"),
        ("javascript:alert(1)", "https://"),
        ("https://", "https://"),
        ("https:///hook", "https://"),
        ("https://:443/hook", "https://"),
        ("https://user@example.com/", "endpoint header"),
        ("https://user:password@example.com/", "endpoint header"),
        ("https://@example.com/", "endpoint header"),
        ("https://:@example.com/", "endpoint header"),
        ("https://127.0.0.1\\@example.com/", "endpoint header"),
        ("https://example.com/a b", "white space"),
        ("https://exa mple.com/", "white space"),
        (" https://example.com/", "white space"),
        ("https://example.com/\n", "white space"),
        ("https://exam\tple.com/", "white space"),
        ("https://example.com/a\r\nX-Injected: 1", "white space"),
        ("https://example.com/\x00", "white space"),
        ("https://example.com/\x7f", "white space"),
        ("https://example.com:65536/", "Not a URL"),
        ("https://example.com:http/", "Not a URL"),
        ("https://example.com:-1/", "Not a URL"),
        ("https://example.com:0/", "Not a URL"),
        ("https://[::1/", "Not a URL"),
        ("https://[zz::1]/", "Not a URL"),
        ("https://exa\u2100mple.com/", "Not a URL"),  # a character that turns into a/c
        ("https://a..example.com/", "no host name"),
        (f"https://{'a' * 64}.example.com/", "no host name"),
        (f"https://{'\u00fc' * 64}.example.com/", "no host name"),
    ],
)
@pytest.mark.parametrize("private", [True, False])
def test_what_is_no_url_to_send_to_is_refused_with_a_reason(
    url: str, says: str, private: bool, settings: Any
) -> None:
    settings.WAYBILL_ALLOW_PRIVATE_ENDPOINTS = private
    with pytest.raises(BadUrl, match=says):
        addresses.check_url(url)


def resolve_to(monkeypatch: pytest.MonkeyPatch, *found: str) -> None:
    """A name server's answer, which no test can have without one."""
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in found]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "HTTP://Example.COM:8080/a/b?c=d%20e#f",
        "https://b\u00fccher.example/\u00fc",
        "https://example.com:/",
        "https://example.com/?a=@:[]",
    ],
)
def test_a_url_whose_name_leads_to_the_internet_is_accepted(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, "8.8.8.8", "1.1.1.1")
    addresses.check_url(url)


def test_a_name_that_leads_to_a_private_address_too_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "8.8.8.8", "10.0.0.1")
    with pytest.raises(BadUrl, match="leads to a private address"):
        addresses.check_url("https://example.com/")


def test_a_name_that_does_not_resolve_yet_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    addresses.check_url("https://not-yet.example.com/")


def test_a_name_server_that_does_not_answer_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(1))
    monkeypatch.setattr(addresses, "RESOLVE_S", 0.05)
    started = time.monotonic()
    addresses.check_url("https://slow.example.com/")
    assert time.monotonic() - started < 0.5
