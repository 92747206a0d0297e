"""The sections of codomain.ini that stand once: one frozen dataclass each.

Each field is a key: its annotation and kind say the type, its default is declared in the
form in which one would write it, and the sentence below it is the reference.  From them
codomain.ini(5) and contrib/codomain.ini are generated (:mod:`codomain_cli.reference`).
"""

# ruff: noqa: RUF009 -- key() is our dataclasses.field(): it is meant to run once, here.

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from codomain.settings import names
from codomain.settings.kinds import (
    MODE,
    SHARE,
    YES_NO,
    duration,
    key,
    listing,
    whole,
    words,
)
from codomain.settings.sharedurl import SHARED_CACHE

if TYPE_CHECKING:
    from codomain.settings.names import Endpoint, Network

Mode = Literal["enforce", "shadow"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["logfmt", "json"]
RedirectBy = Literal["socketmap", "filter"]
OnFailure = Literal["accept", "defer"]

SHORTEST = "100ms"
"""The least wait: less than a directory on the same network needs now and then."""

LONGEST_DEADLINE = "50s"
"""Half of smtpd_policy_service_timeout's default, 100s (postconf(5)): twice ours must fit."""

LONGEST_LIFETIME = "30d"
"""No answer and no connection is kept for longer than a month."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodomainSection:
    """The program as a whole."""

    hostname: str = key(names.HOST_NAME, otherwise="main.cf's myhostname, else the host's name")
    """The name by which this host speaks of itself, to the next systems and in the logs."""

    mode: Mode = key(words(Mode), "enforce")
    """With `shadow` every decision is taken, counted and logged, and all mail passes."""

    postmaster: str = key(names.MAILBOX, example="postmaster@corp.example.com")
    """Takes the postmaster's mail of every domain of ours that has no entry for it."""

    state_directory: str = key(names.PATH, "/var/lib/codomain")
    """Where the local index and what must outlive a restart are kept."""

    log_level: LogLevel = key(words(LogLevel), "info")
    """`info` gives a line for each refusal and change of state, `debug` one for each request."""

    log_format: LogFormat = key(words(LogFormat), "logfmt")
    """The form of a line of the log."""

    control_socket: str = key(names.SOCKET_PATH, "/run/codomain/control")
    """Where `codomain cache`, `status` and the other commands reach the daemon, mode 0660;
    empty: nowhere."""

    control_group: str = key(names.MAYBE_LABEL, example="adm")
    """The group that may use the control socket; empty: the daemon's own."""

    postfix: str = key(names.POSTFIX, "auto")
    """Which main.cf gives defaults (mynetworks, relay_domains, recipient_delimiter, myhostname)
    and, by parameters named codomain_SECTION_KEY or codomain_SECTION_NAME_KEY, overrides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicydSection:
    """The door of Postfix: the policy server and the maps."""

    listen: tuple[Endpoint, ...] = key(
        listing(names.ENDPOINT), "unix:/var/spool/postfix/codomain/policy"
    )
    """Where the policy server listens; under Postfix's queue directory, if smtpd is chrooted."""

    socketmap_listen: tuple[Endpoint, ...] = key(
        listing(names.ENDPOINT), "unix:/var/spool/postfix/codomain/map"
    )
    """Where the maps listen; empty in shadow mode, because maps that route cannot be in shadow."""

    redirect: RedirectBy = key(words(RedirectBy), "socketmap")
    """How mail is led elsewhere: by maps, or by FILTER and REDIRECT for sites without them."""

    deadline: float = key(duration(SHORTEST, LONGEST_DEADLINE), "4s")
    """After so long a request is answered 451; Postfix's time-out must be at least twice this."""

    idle_timeout: float = key(duration("1s", "24h"), "10m")
    """A connection that asks nothing for so long is closed."""

    max_connections: int = key(whole(1, 100000), "2000")
    """More connections than these are closed at once."""

    socket_group: str = key(names.MAYBE_LABEL, "postfix")
    """The group of the unix sockets; empty: the daemon's own."""

    socket_mode: int = key(MODE, "0660")
    """The mode of the unix sockets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MilterSection:
    """The door of Sendmail, and of Postfix where a milter is preferred."""

    listen: Endpoint | None = key(
        names.MAYBE_ENDPOINT, example="unix:/var/spool/postfix/codomain/milter"
    )
    """Where the milter listens; empty: this door is closed."""

    deadline: float = key(duration(SHORTEST, LONGEST_DEADLINE), "4s")
    """After so long a recipient is answered 451."""

    max_hops: int = key(whole(1, 1000), "50")
    """More Received fields than these are a loop (hopcount_limit of postconf(5))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSection:
    """The door of the administrator."""

    listen: tuple[Endpoint, ...] = key(listing(names.ENDPOINT), "inet:127.0.0.1:9815")
    """Where /metrics, /healthz, /readyz and the status page are; empty: nowhere. Whoever has an
    account on this host reaches 127.0.0.1, too."""

    allow: tuple[Network, ...] = key(listing(names.NETWORK), example="192.0.2.0/24")
    """Networks that may ask, beside this host itself; needed where `listen` is not loopback."""

    hosts: tuple[str, ...] = key(listing(names.HTTP_HOST), example="status.example.com")
    """Names by which a browser may call it, beside 127.0.0.1, localhost, [::1] and `hostname`;
    to others it answers 421, so that no foreign site reads it through a browser."""

    show_addresses: bool = key(YES_NO, "no")
    """The status page shows addresses of people, their entries and clients whole; else masked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustSection:
    """Who may send to anywhere; the MTA must permit it too."""

    trusted_networks: tuple[Network, ...] = key(
        listing(names.NETWORK), "127.0.0.0/8, ::1", otherwise="main.cf's mynetworks, if it is read"
    )
    """Clients that may relay; empty: none."""

    trust_sasl: bool = key(YES_NO, "yes")
    """Clients that authenticated may relay."""

    trust_certificates: tuple[str, ...] = key(listing(names.FINGERPRINT))
    """Clients whose certificate has one of these fingerprints may relay."""

    peers_may_relay: bool = key(YES_NO, "no")
    """The peers of connectors may send to foreign domains too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedirectSection:
    """Where contacts may lead."""

    allowed_targets: tuple[str, ...] = key(listing(names.TARGET), example="partner.example.org")
    """Domains a contact may lead to beside ours and the connectors'."""

    max_depth: int = key(whole(1, 50), "5")
    """So many contacts may follow upon one another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSection:
    """What is remembered of the directories."""

    size: int = key(whole(0, 10_000_000), "100000")
    """So many entries are kept; 0: none."""

    found_ttl: float = key(duration("0s", LONGEST_LIFETIME), "5m")
    """The lifetime of an entry that was found."""

    not_found_ttl: float = key(duration("0s", LONGEST_LIFETIME), "1m")
    """The lifetime of the answer that there is no entry."""

    failed_ttl: float = key(duration("0s", "1h"), "5s")
    """So long a directory that did not answer is not asked for the same address again."""

    stale_ttl: float = key(duration("0s", LONGEST_LIFETIME), "24h")
    """Past its lifetime a found entry serves for so long while the directory is down."""

    refresh_ahead: float = key(SHARE, "0.8")
    """After this share of its lifetime an entry that is asked for is fetched anew beforehand."""

    shared: str = key(SHARED_CACHE, example="rediss://codomain@cache.corp.example.com:6379/0")
    """A Redis or Valkey that several gateways share as a second level; empty: none. redis://
    (in the clear), rediss:// (TLS) or unix:///PATH, perhaps with a user and a database."""

    shared_password_file: str = key(names.SECRET, example="/etc/codomain/cache.password")
    """Holds the password of the second level."""

    shared_ca_file: str = key(names.PATH)
    """With rediss://: the authorities that may vouch for the server; empty: the system's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalloutSection:
    """How the next system is asked about a recipient (`verify = callout`)."""

    sender: str = key(names.SENDER, otherwise="<>")
    """The envelope sender of the question."""

    timeout: float = key(duration(SHORTEST, "5m"), "10s")
    """The probe's end; past the request's deadline `on_failure` answers, and the probe goes on."""

    found_ttl: float = key(duration("0s", LONGEST_LIFETIME), "6h")
    """The lifetime of the answer that the next system takes the recipient."""

    not_found_ttl: float = key(duration("0s", LONGEST_LIFETIME), "10m")
    """The lifetime of the answer that it does not."""

    on_failure: OnFailure = key(words(OnFailure), "accept")
    """What becomes of the recipient while the next system does not say whether it knows it: it
    goes there, or the client gets 451."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HarvestSection:
    """The brake on clients that guess addresses.

    Who asks for too many unknown recipients gets 450 for every one, known or not, for a
    window's time. Trusted clients and peers are exempt.
    """

    limit: int = key(whole(0, 1_000_000), "0")
    """Unknown recipients per client and window (an IPv6 client: its /64); 0: off."""

    window: float = key(duration("1s", "24h"), "10m")
    """The time in which they are counted."""
