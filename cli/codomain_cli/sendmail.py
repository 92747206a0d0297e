"""``codomain sendmail``: prints the lines of sendmail.mc that put codomain into Sendmail.

In flows the configuration; out flow m4 lines (cf/README) with their reasons for the
postmaster: the milter, which judges and changes recipients; the map ``route`` in ruleset 0,
which gives each recipient its next hop, as no milter can; the map ``mxserved``, which says
what may be relayed to; and a mailer for each way that port 25 is not.

Relaying is opened by no class R and no RELAY_DOMAIN: their sub-domains, and clients whose
verified name lies in them, could relay too.  Nor by FEATURE(access_db): a site has its own,
it would have to be a ``sequence`` of both, and that loses ``-T``, so that a map that is down
is 550; it is asked for parent domains as well; and the name that it gives to the map,
``access``, is that of Postfix's.  The rule of FEATURE(relay_based_on_MX) asks one map for
one domain.  A client without a name in DNS would hear 550 while that map is down, but
``route`` is asked before it, by the same server, and then says 451.
"""

from __future__ import annotations

import math
import re
import textwrap
from typing import TYPE_CHECKING

import click

from codomain.errors import ConfigError
from codomain.rules import rules_from
from codomain_cli.loading import config_option, load
from codomain_cli.mainlines import LEAST_TIMEOUT, is_here
from codomain_policyd.mailer import STOCK, way_to

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from codomain.config import Config, Endpoint
    from codomain_policyd.mailer import Way

WIDTH = 78
"""Columns of a comment."""

CONNECT_SECONDS = 10
"""A milter on the same host takes a connection at once, or is down (T=C:, cf/README)."""

END_SECONDS = 60
"""At the end of a message a thousand recipients may be changed (T=E:)."""

FLAGS = {"smtp": "mDFMuXa", "relay": "mDFMuXa8", "lmtp": "lmDFMuXz"}
"""``F=`` of the mailers: those of MAILER(smtp), and ``z`` for LMTP (op.me, section 5.4)."""

DIGESTS = {16: "md5", 20: "sha1", 32: "sha256", 48: "sha384", 64: "sha512"}
"""Digests by their octets, as OpenSSL names them (CertFingerprintAlgorithm)."""

_PLAIN = re.compile(r"[A-Za-z0-9_./:@\[\]+-]*")
"""What may stand in a .mc file and in a K line: no quote of m4, no blank, no comma."""

_RULES = r"""LOCAL_RULE_0
R$*	$: $&{addr_type} $| $1
Re s $| $*	$@ $1
R$* $| $*	$: <> $2
R<> $+ < @ $+ . >	$: < $(route $1@$2 $: NONE $) > $1 < @ $2 . >
R<> $+ < @ $+ >	$: < $(route $1@$2 $: NONE $) > $1 < @ $2 >
R<> $*	$@ $1
R< NONE > $+	$@ $1
R< $* <TMPF> > $*	$#error $@ 4.4.3 $: "451 Recipient cannot be checked now: try again later"
R< error : $+ > $*	$: < error : $1 $| $&{client_addr} > $2
R< error : 5 . $+ $| > $*	$#error $@ 5.$1 $: "550 Recipient refused"
R< error : $+ $| > $*	$#error $@ $1 $: "451 Recipient cannot be accepted now"
R< error : $* > $+	$@ $2
R< $={CodomainMailer} : $+ > $+ < @ $+ >	$#$1 $@ $2 $: $3 < @ $4 >
R< $* > $+	$#error $@ 4.3.5 $: "451 No mailer for this route"
"""
"""Ruleset 0, before Sendmail's own routes; a tab parts the sides of a rule."""


@click.command()
@config_option
def sendmail(files: Sequence[Path]) -> None:
    """Print the lines of sendmail.mc for this configuration."""
    click.echo(text(load(files)), nl=False)


def text(config: Config) -> str:
    """Return the lines of sendmail.mc, each group with its reason above it.

    Raises:
        ConfigError: codomain listens nowhere where Sendmail could ask, or a connector is
            one that no mailer of Sendmail can serve.

    """
    lines = [
        "divert(0)dnl",
        *_comment(
            "sendmail.mc, for codomain. Put these lines at its end, below the MAILER lines,"
            " make sendmail.cf, start codomain, and restart Sendmail. Run codomain sendmail"
            " again when connectors have changed."
        ),
        *_filter(config),
        *_certificates(config),
    ]
    if config.policyd.socketmap_listen:
        lines += [*_relaying(), *_maps(config), *_mailers(_ways(config)), *_rules()]
    else:
        lines += _comment("[policyd] socketmap_listen is empty: nothing is routed (shadow mode).")
    return "\n".join([*lines, *_hints(config), ""])


def _filter(config: Config) -> Iterator[str]:
    if config.milter.listen is None:
        raise ConfigError(["[milter] listen: it is empty, and Sendmail could ask nobody"])
    seconds = max(LEAST_TIMEOUT, math.ceil(2 * config.milter.deadline))
    times = f"C:{CONNECT_SECONDS}s;S:{seconds}s;R:{seconds}s;E:{END_SECONDS}s"
    yield from _comment(
        "The milter judges each recipient, and turns contacts into their targets. F=T: while"
        " codomain does not run, clients are told to come again; nothing passes unchecked."
        f" Sendmail waits for {seconds} s at RCPT (R:), which is at least twice [milter]"
        f" deadline, {config.milter.deadline:g} s, so that codomain's own 451 4.4.3 comes first;"
        " for as long until an argument is sent (S:); and for longer at the end of a message,"
        " where recipients are changed (E:)."
    )
    yield from _comment(
        "It has to be the last of your milters. A milter is not told when one that stands after"
        " it refuses a recipient: a contact's target would be added all the same. These lines"
        " at the end of sendmail.mc make it the last; where confINPUT_MAIL_FILTERS names the"
        " order, name codomain at its end."
    )
    where = _socket(config.milter.listen, "[milter] listen")
    yield f"INPUT_MAIL_FILTER(`codomain', `S={where}, F=T, T={times}')dnl"


def _certificates(config: Config) -> Iterator[str]:
    """Have the fingerprint made as trust_certificates has it; Sendmail's own choice is MD5."""
    octets = {len(one.split(":")) for one in config.trust.trust_certificates}
    if not octets:
        return
    if len(octets) > 1:
        fault = "Sendmail makes fingerprints by one digest; write all of them by that"
        raise ConfigError([f"[trust] trust_certificates: {fault}"])
    yield from _comment(
        "The clients of trust_certificates are known by this digest (8.17 and newer). Sendmail"
        " must trust the authority that signed their certificates (confCACERT), and permit them"
        " to relay: CERTISSUER: or CERTSUBJECT: entries in the access database."
    )
    yield f"define(`confCERT_FINGERPRINT_ALGORITHM', `{DIGESTS[octets.pop()]}')dnl"


def _relaying() -> Iterator[str]:
    yield from _comment(
        "Which domains strangers may send to is asked of codomain, domain by domain, through"
        " the rule that FEATURE(relay_based_on_MX) brings, over our map in place of its look-up"
        " in DNS. Take your shared and relayed domains out of RELAY_DOMAIN, of class R and of"
        " To: entries in the access database: those open all sub-domains, too, and RELAY_DOMAIN"
        " lets clients relay whose name lies in the domain. Your own clients still need their"
        " Connect: entries: codomain narrows what Sendmail permits, and never widens it."
    )
    yield "define(`_RELAY_MX_SERVED_', `1')dnl"


def _maps(config: Config) -> Iterator[str]:
    endpoints = sorted(config.policyd.socketmap_listen, key=lambda e: e.kind != "unix")
    where = _socket(endpoints[0], "[policyd] socketmap_listen")
    yield from _comment(
        "The maps. The words in angle brackets mark an answer that is temporary, such as a"
        " directory that is down; without them it would count as not found."
    )
    yield "LOCAL_CONFIG"
    yield f"Kmxserved socket -T<TEMP> `{where}'"
    yield f"Kroute socket -T<TMPF> `{where}'"
    names = dict.fromkeys([*STOCK.values(), *(way.mailer for way in _ways(config))])
    yield " ".join(["C{CodomainMailer}", *(f"`{name}'" for name in names)])


def _mailers(ways: list[Way]) -> Iterator[str]:
    special = {way.mailer: way for way in ways if way.argument}
    if not special:
        return
    yield from _comment("Connectors that take mail on another port than 25, or by LMTP.")
    yield "MAILER_DEFINITIONS"
    for name, way in special.items():
        yield (
            f"M`{name}',\tP=[IPC], F={FLAGS[way.transport]}, S=EnvFromSMTP/HdrFromSMTP,"
            " R=EnvToSMTP, E=\\r\\n, L=990,"
        )
        yield f"\t\tT=DNS/RFC822/SMTP, A=`{way.argument}'"


def _rules() -> Iterator[str]:
    yield from _comment(
        "The next hop of each recipient. Senders are not looked up. What is refused is left to"
        " the milter while a client is there to be told; mail that has passed no milter, such"
        " as what an alias leads to, is returned when it is refused later. A mailer that"
        " is not defined above makes mail wait."
    )
    yield from _RULES.splitlines()
    yield "divert(0)dnl"


def _hints(config: Config) -> Iterator[str]:
    here = [domain.name for domain in config.domains if is_here(domain)]
    if here:
        yield from _comment(
            "Domains whose mailboxes are on this host; they belong in class w, that is in"
            f" /etc/mail/local-host-names, and no other domain of codomain does: {', '.join(here)}."
        )
    else:
        yield from _comment(
            "No domain of codomain belongs in class w (/etc/mail/local-host-names): the"
            " mailboxes of all of them are on other systems."
        )
    yield from _comment(
        "Yours to decide, and therefore not set here: leave domains as they are written, and"
        " tell strangers nothing about who exists. Both stand above the MAILER lines."
    )
    yield "dnl FEATURE(`nocanonify')"
    yield "dnl define(`confPRIVACY_FLAGS', confPRIVACY_FLAGS``,novrfy,noexpn'')"


def _ways(config: Config) -> list[Way]:
    """Return the ways to all connectors, as ``route`` names them."""
    connectors = rules_from(config, lambda _name: []).connectors.by_name.values()
    ways = {connector.name: way_to(connector) for connector in connectors}
    faults = [
        f"[connector {name}] smart_hosts: a mailer of Sendmail has one port for all hosts, and"
        " speaks smtp, relay or lmtp; a socket is unix:/PATH, alone, with transport = lmtp"
        for name, way in ways.items()
        if way is None
    ]
    faults += [
        f"[connector {name}] smart_hosts: {way.argument!r} cannot stand in sendmail.mc"
        for name, way in ways.items()
        if way is not None and not _PLAIN.fullmatch(way.argument.replace(" ", "").replace("$", ""))
    ]
    if faults:
        raise ConfigError(faults)
    return [way for way in ways.values() if way is not None]


def _socket(endpoint: Endpoint, key: str) -> str:
    """Write a listener as Sendmail reaches it: ``local:PATH``, ``inet:PORT@HOST``."""
    if endpoint.kind == "unix":
        written = f"local:{endpoint.path}"
    else:
        if not endpoint.port:
            raise ConfigError([f"{key}: any free port is none that Sendmail can be told of"])
        anywhere = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # read, not opened
        host = anywhere.get(endpoint.host, endpoint.host)
        written = f"{'inet6' if ':' in host else 'inet'}:{endpoint.port}@{host}"
    if not _PLAIN.fullmatch(written):
        raise ConfigError([f"{key}: {written!r} cannot stand in sendmail.mc"])
    return written


def _comment(text: str) -> list[str]:
    wrapped = textwrap.wrap(
        text, WIDTH - len("dnl "), break_long_words=False, break_on_hyphens=False
    )
    return ["dnl", *(f"dnl {line}" for line in wrapped)]
