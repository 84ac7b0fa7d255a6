"""Which addresses a message may be sent to: none inside the network of the server.

Used twice, when an endpoint is created and on the address that is then dialled: a name may resolve
differently the second time.
"""

import errno
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from urllib.parse import urlsplit

from django.conf import settings

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address

NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052
# All that IANA has given out to be public. Outside of it lie, besides what Python knows to be private,
# fec0::/10 (site-local, deprecated), 64:ff9b:1::/48 (NAT64 inside one's own network) and the like.
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
# What is not public in there and younger than some Pythons' lists: documentation (RFC 9637) and 6to4.
NOT_PUBLIC = [ipaddress.ip_network("3fff::/20"), ipaddress.ip_network("2002::/16")]

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
    if not is_public(ipaddress.ip_address(host)):
        raise Forbidden(errno.EACCES, f"{host} is not a public address")


def check_url(url: str) -> None:
    """Raise BadUrl unless messages can be sent to `url`, as far as can be told now.

    A name that does not resolve yet is accepted: the address is checked again at each dial.
    """
    host = _host(url)
    try:
        addresses = _resolver.submit(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM).result(
            RESOLVE_S
        )
    except UnicodeError as error:
        raise BadUrl(f"{host} is no host name: its parts have 1 to 63 characters.") from error
    except (OSError, TooSlow):
        return
    for *_, sockaddr in addresses:
        try:
            check_dial(str(sockaddr[0]))
        except Forbidden as error:
            raise BadUrl(
                f"{host} leads to a private address; use one that is reachable from the internet."
            ) from error


def is_public(address: Address) -> bool:
    """Whether an address is on the public internet: by IANA's special-purpose registries, as Python has them.

    Of the IPv6 addresses that carry an IPv4 address, mapped and NAT64 ones are judged by that; the
    tunnels (6to4, Teredo) are not public.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if inner := _embedded(address):
            return is_public(inner)
        if address not in GLOBAL_UNICAST or any(address in network for network in NOT_PUBLIC):
            return False
    return address.is_global and not address.is_multicast


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        if parts.port == 0:
            raise ValueError("Port 0 can not be reached")
    except ValueError as error:
        raise BadUrl(f"Not a URL: {error}.") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadUrl("Give an absolute URL that begins with https:// (or http://).")
    if parts.username is not None:
        raise BadUrl("Credentials in the URL are not supported; use an endpoint header.")
    if any(ord(c) <= 32 or ord(c) == 127 for c in url):
        raise BadUrl("The URL contains white space or control characters; encode them.")
    return parts.hostname
