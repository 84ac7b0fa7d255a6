"""Which addresses a message may be sent to: none inside the network of the server.

Used twice, when an endpoint is created and on the address that is then dialled: a name may resolve
differently the second time.
"""

import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from urllib.parse import urlsplit

from django.conf import settings

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# IPv6 addresses that carry an IPv4 address, which is what is reached in the end.
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052
NAT64_LOCAL = ipaddress.ip_network("64:ff9b:1::/48")  # RFC 8215: inside somebody's network by definition
COMPATIBLE = ipaddress.ip_network("::/96")  # RFC 4291, 2.5.5.1, deprecated

RESOLVE_S = 3.0
_resolver = ThreadPoolExecutor(4, thread_name_prefix="resolve")


class Forbidden(OSError):
    """The address lies inside a private network, or is no place to send a message to."""


class BadUrl(ValueError):
    """The text is no URL that messages can be sent to. Its message says what to do."""


def check_dial(host: str) -> None:
    """Raise Forbidden unless messages may be sent to this numeric address."""
    if settings.WAYBILL_ALLOW_PRIVATE_ENDPOINTS:
        return
    if not is_public(ipaddress.ip_address(host.partition("%")[0])):
        raise Forbidden(f"{host} is not a public address")


def check_url(url: str) -> None:
    """Raise BadUrl unless messages can be sent to `url`, as far as can be told now.

    A name that does not resolve yet is accepted: the address is checked again at each dial.
    """
    host = _host(url)
    try:
        addresses = _resolver.submit(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM).result(
            RESOLVE_S
        )
    except (OSError, UnicodeError, TooSlow):
        return
    for *_, sockaddr in addresses:
        try:
            check_dial(str(sockaddr[0]))
        except Forbidden as error:
            raise BadUrl(
                f"{host} leads to a private address; use one that is reachable from the internet."
            ) from error


def is_public(address: Address) -> bool:
    """Whether an address is on the public internet, the IPv4 address inside an IPv6 one included."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in NAT64_LOCAL:
            return False
        if inner := _embedded(address):
            return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in NAT64 or address in COMPATIBLE:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  raises ValueError for a port that is none
    except ValueError as error:
        raise BadUrl(f"Not a URL: {error}.") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadUrl("Give an absolute URL that begins with https:// (or http://).")
    if parts.username is not None or parts.password is not None:
        raise BadUrl("Credentials in the URL are not supported; use an endpoint header.")
    if any(ord(c) <= 32 or ord(c) == 127 for c in url):
        raise BadUrl("The URL contains white space or control characters; encode them.")
    return parts.hostname
