"""The sections of codomain.ini that have a name and may stand more than once.

Declared as those of :mod:`codomain.settings.sections` are; beside its keys each has the
``name`` that stands in its header.
"""

# ruff: noqa: RUF009 -- key() is our dataclasses.field(): it is meant to run once, here.

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from codomain.settings import names, template
from codomain.settings.kinds import (
    PERCENTAGE,
    TEXT,
    YES_NO,
    duration,
    key,
    listing,
    whole,
    words,
)
from codomain.settings.sections import SHORTEST

DomainType = Literal["authoritative", "shared", "relay"]
DeliverAs = Literal["given", "primary"]
OwnMode = Literal["", "enforce", "shadow"]
Fallback = Literal["refuse", "mx"]
OnOutage = Literal["defer", "deliver"]
Transport = Literal["smtp", "relay", "lmtp"]
Verify = Literal["none", "callout"]
Tls = Literal["none", "may", "encrypt", "verify"]
DirectoryType = Literal["ldap", "files"]
Schema = Literal["active-directory", "inetlocalmail", "inetorgperson"]
Scope = Literal["subtree", "onelevel", "base"]
DirectoryMode = Literal["live", "sync"]
OnMiss = Literal["live", "none"]

LONGEST_WAIT = "60s"
"""A directory that needs longer than a minute is down, for mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainSection:
    """A domain of ours, and what becomes of its recipients."""

    name: str
    """The domain in lower-case A-labels."""

    type: DomainType = key(words(DomainType), "shared")
    """Unknown recipients are refused (`authoritative`) or go to the other system (`shared`);
    with `relay` all go there, and no directory is asked."""

    subdomains: bool = key(YES_NO, "no")
    """The domains below it are treated as it is."""

    directory: tuple[str, ...] = key(listing(names.LABEL), otherwise="every directory, in order")
    """The directories that are asked for its recipients, in this order."""

    deliver_to: str = key(names.MAYBE_LABEL, example="exchange")
    """The connector of its mailboxes; empty: this host delivers them."""

    deliver_as: DeliverAs = key(words(DeliverAs), "given")
    """The mailbox system gets the address as it was given, or the entry's primary one."""

    mode: OwnMode = key(words(OwnMode), otherwise="the mode of [codomain]")
    """With `shadow` decisions on its recipients are counted and logged, and the mail passes."""

    recipient_delimiter: str = key(
        names.DELIMITER, "+", otherwise="main.cf's recipient_delimiter, if it is read"
    )
    """The characters that part an extension from the address; empty: there is none."""

    keep_extension: bool = key(YES_NO, "yes")
    """The extension goes on to a contact's target."""

    catch_all: str = key(names.MAILBOX)
    """Takes what is unknown; empty: nobody does."""

    fallback: Fallback = key(words(Fallback), "refuse")
    """Where no connector takes the unresolved: they are refused, or the MX is tried."""

    on_outage: OnOutage = key(words(OnOutage), "defer")
    """While the directory is down, who is not in the cache gets 451, or goes to `deliver_to`,
    unchecked. What `deliver` costs: unknown recipients go there, too, and so do contacts, whose
    mail belongs elsewhere. So that system must refuse at RCPT whom it does not know; for each
    one that it refuses, this host sends a bounce to the sender, who may be forged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorSection:
    """A way out to another mail system."""

    name: str
    """The name by which domains and logs call it."""

    smart_hosts: tuple[str, ...] = key(
        listing(names.SMART_HOST), example="[192.0.2.10]:25, relay2.example.net"
    )
    """The hosts of the system, in the order in which they are tried; never an MX look-up.
    With `transport = lmtp` also unix:PATH."""

    address_spaces: tuple[str, ...] = key(
        listing(names.SPACE), example="example.com, *.example.net"
    )
    """The domains that it carries; `*.` stands for all below a domain, and not for itself."""

    allow_relay: bool = key(YES_NO, "no", example="yes")
    """Strangers may send to these domains through it."""

    cost: int = key(whole(0, 65535), "10")
    """Of several for one domain the cheaper one is taken first."""

    transport: Transport = key(words(Transport), "smtp")
    """The MTA's delivery agent."""

    peers: tuple[str, ...] = key(listing(names.PEER), otherwise="the addresses of the smart hosts")
    """Networks and hosts of this system and of all behind it: mail from them never goes back."""

    verify: Verify = key(words(Verify), "none")
    """Whether this system is asked first if it knows a recipient that no directory has, or a
    contact's target."""

    verify_control: str = key(names.MAILBOX)
    """With `verify = callout`: an address that this system surely knows. It refuses a recipient
    as unknown only where it takes this one in the same session; without it no refusal counts."""

    tls: Tls = key(words(Tls), "may")
    """With `verify = callout`: how the connection to it is protected. `verify` wants a
    certificate of the smart host's name, by an authority that the host trusts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectorySection:
    """Where recipients are looked up."""

    name: str
    """The name by which domains, logs and metrics call it."""

    type: DirectoryType = key(words(DirectoryType), "ldap")
    """A directory server, or files on this host."""

    servers: tuple[str, ...] = key(
        listing(names.LDAP_SERVER),
        only="ldap",
        example="ldaps://dc1.corp.example.com, ldaps://dc2.corp.example.com",
    )
    """The servers, in the order in which they are asked."""

    schema: Schema = key(words(Schema), "active-directory", only="ldap")
    """Which attributes hold the addresses and the target."""

    base: str = key(TEXT, only="ldap", example="dc=corp,dc=example,dc=com")
    """The entry below which is searched."""

    scope: Scope = key(words(Scope), "subtree", only="ldap")
    """How deep is searched."""

    filter: str = key(names.LDAP_FILTER, only="ldap", otherwise="that of the schema")
    """The search, where %s is the address, always escaped; without %s it is one more condition
    beside the schema's, and with `mode = sync` only that is possible."""

    bind_dn: str = key(
        TEXT, only="ldap", example="cn=codomain,ou=services,dc=corp,dc=example,dc=com"
    )
    """Who is searching; empty: anonymous, or SASL EXTERNAL over ldapi."""

    bind_password_file: str = key(names.SECRET, only="ldap", example="/etc/codomain/ldap.password")
    """Holds the password of `bind_dn`; a relative path or %d/NAME is a systemd credential."""

    starttls: bool = key(YES_NO, "no", only="ldap")
    """Connections to ldap:// go on in TLS."""

    ca_file: str = key(names.PATH, only="ldap", otherwise="those that the host trusts")
    """The certificates that vouch for the servers'."""

    connect_timeout: float = key(duration(SHORTEST, LONGEST_WAIT), "2s", only="ldap")
    """A server that does not take the connection for so long is down."""

    timeout: float = key(duration(SHORTEST, LONGEST_WAIT), "3s", only="ldap")
    """A search that has no answer for so long is given up: the MTA gets 451."""

    pool_size: int = key(whole(1, 16), "4", only="ldap")
    """Connections, and threads that search."""

    mode: DirectoryMode = key(words(DirectoryMode), "live", only="ldap")
    """With `sync` answers come from the local index that `codomain sync` keeps, also while the
    directory is down; while there is no index that can be used, every address is searched for."""

    canary: str = key(names.MAILBOX, only="ldap", example="postmaster@corp.example.com")
    """An address that must be found: while it is not, "not found" counts as "directory down".
    Without one, whoever was found since the last start or reload stands in: a server that
    had lost its entries, or our rights to them, before that looks empty."""

    allowed_hosts: tuple[str, ...] = key(listing(names.HOST), only="ldap")
    """The values of mailHost that may be next hops."""

    max_shrink: float = key(PERCENTAGE, "20%", only="ldap")
    """With `mode = sync`: a sync that would take away a larger part of all entries, or of one
    domain's addresses, stops and asks; a loss of fewer than five passes."""

    max_age: float = key(duration("1m", "30d"), "1h", only="ldap")
    """With `mode = sync`: an older index is alarmed; who is in it is still served, and who is
    not gets 451, because nobody knows."""

    on_miss: OnMiss = key(words(OnMiss), "live", only="ldap")
    """With `mode = sync`: what becomes of an address that is not in the index while this is not
    known to be in step. `live`: it is searched for, five times a second at most; beyond that
    number, and while the directory is down, it gets 451. `none`: it is never searched for, and
    taken for unknown up to `max_age`: who was added since the index was last in step is refused
    with 550 for so long, whenever `codomain sync` is stopped or the directory is down."""

    path: tuple[str, ...] = key(
        listing(names.PATH),
        only="files",
        example="/etc/codomain/recipients.d/*.ldif, /etc/codomain/recipients.d/*.csv",
    )
    """The files, as patterns: LDIF content records and csvde CSV."""

    encoding: str = key(names.ENCODING, "utf-8", only="files")
    """The encoding of the files."""

    skip_bad_records: bool = key(YES_NO, "no", only="files")
    """A start goes on without the records that cannot be read; their people become unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySection:
    """A recipient policy: which entries are given which addresses.

    Nothing is changed by it before `codomain policies apply`.  Entries are those of
    directories with `schema = active-directory` that have a mailNickname.
    """

    name: str
    """The policy's name."""

    address_spaces: tuple[str, ...] = key(
        listing(template.DOMAIN), example="corp.example.com, example.com"
    )
    """The domains in which it gives addresses; each has a `[domain]`."""

    primary: str = key(
        template.MAYBE_DOMAIN, example="corp.example.com", otherwise="the first of address_spaces"
    )
    """The domain of the primary address; with `default = yes` it is authoritative."""

    filter: str = key(names.LDAP_FILTER)
    """The LDAP filter of the entries that it is for, such as `(department=sales)`. Empty: none,
    and whose primary address is in its domains is never changed; with `default = yes` there
    is no filter."""

    templates: tuple[str, ...] = key(
        listing(template.TEMPLATE),
        example="%m@corp.example.com, %g.%s@example.com",
        otherwise="%m@ each domain that has none",
    )
    """The addresses, made of an entry's alias (`%m`), given name (`%g`), surname (`%s`), display
    name (`%d`) and middle initial (`%i`); `%1g` is the first letter of one, `%rxy` puts y for
    x in all that follow, `%%` is a percent sign. Of the primary domain the first one counts."""

    priority: int = key(whole(0, 65535), "0")
    """Of several that are for one entry the highest one is taken, of equal ones the first."""

    default: bool = key(YES_NO, "no", example="yes")
    """It is for the entries of no other policy; there is exactly one."""

    enabled: tuple[str, ...] = key(listing(template.DOMAIN), otherwise="all of address_spaces")
    """The domains in which addresses are given now."""

    authoritative: tuple[str, ...] = key(
        listing(template.DOMAIN), example="corp.example.com", otherwise="what each `[domain]` says"
    )
    """Those of address_spaces that are authoritative: if written, it must be what each `[domain]`
    says."""

    transliterate: tuple[str, ...] = key(listing(template.LETTERS))
    """What stands for letters that are not ASCII, such as `ü=ue, ß=ss`; `*` takes the marks off
    all others (é: e). Who has a letter in his name for which nothing is said gets no address
    of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextSection:
    """What holds for the smtpd that asks with this policy_context (postconf(5))."""

    name: str
    """The policy_context."""

    trusted: bool = key(YES_NO, "no")
    """Its clients are trusted."""

    mode: OwnMode = key(words(OwnMode), otherwise="the mode of [codomain]")
    """With `shadow` its decisions are counted and logged, and the mail passes."""
