"""Worlds and questions at random, from a seed: what the model and the decision are both asked.

A world is one configuration with its directories; the same seed always makes the same
worlds and the same questions.  What strangers write to confuse a gateway is drawn more
often than what people write, because the latter has few forms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.world import Asked, Domain, Entry, System, World

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

SHARED = ("shared.test", "two.test", "müller.test")
HOMES = ("auth.test", "home.test", "x.shared.test", "[192.0.2.1]")
OURS = (*SHARED, *HOMES, "relay.test")
FOREIGN = (
    "evil.test", "partner.test", "open.test", "closed.test", "wild.test", "a.wild.test",
    "b.shared.test", "y.x.shared.test", "sub.auth.test", "test", "[192.0.2.9]",
)  # fmt: skip
SPACES = (
    "shared.test", "two.test", "müller.test", "relay.test", "open.test", "closed.test",
    "*.shared.test", "*.x.shared.test", "*.wild.test",
)  # fmt: skip
ODD_DOMAINS = (
    "SHARED.TEST", "Auth.Test.", "auth.test..", ".auth.test", "auth..test", "auth.test ",
    "xn--mller-kva.test", "XN--MLLER-KVA.TEST", "MÜLLER.test", "mu\u0308ller.test",
    "muller.test", "xn--a.shared.test", "ａuth.test", "auth。test", "auth．test",
    "au\u200bth.test", "au\u00adth.test", "auth.te\u017ft", "two.te\u017ft", "autһ.test",
    "tẅo.test", "tw\u00f8.test", "\u2126.test", "\u212aelvin.test", "auth.test\u037e",
    "auth_.test", "-auth.test", "auth-.test", "auth.test\x00", "auth.test\r\n", "auth\t.test",
    "auth.test,evil.test", "auth.test> NOTIFY=NEVER", "", ".", "..", "[192.0.2.1].",
    "[192.0.2.01]", "[3221225985]", "[0300.0.2.1]", "[IPv6:2001:db8::1]", "[::1]", "192.0.2.1",
    "[192.0.2.1", "192.0.2.1]", "[]", "[ipv6:::ffff:192.0.2.1]", "x" * 64 + ".test",
    "x." * 130 + "test", "evil.test:auth.test", "auth.test%evil.test", 'a"uth.test',
)  # fmt: skip
NAMES = ("ann", "bob", "eve", "max", "a.b", "list+en", "odd%name", "zoë", "o'neil", "j doe")
ODD_LOCALS = (
    "nobody", "someone%evil.test", "evil.test!someone", "someone@evil.test", "a@b@c", "a%b%c",
    "％", "a＠b", "a！b", "a\ufe6ab", "a\ufe6bb", "a\u203cb", "a\u2048b", "ann+a%b", "bob+x@y",
    "bob+＠", "ann+", "+ann", "+", "ann++x", "ann-x", "ann+x-y", "ANN", "Bob", "zoe\u0308", "ZOË",
    "\u212aim", "an\u0144", "bob+\u212a", "a\u037eb", "\u1fefann", "ａnn", "a\u200bnn", "ann\u00ad",
    "ann\x00", "ann\r\nRCPT TO:<x@evil.test>", "ann\n", "a\tb", "ann\x7f", "ann+\x85x", "bob\u2028",
    "ann,eve@evil.test", "ann,eve", "ann> NOTIFY=NEVER", "ann>", "<ann", "ann bob", " ann", "ann ",
    ".", "..", "ann.", ".ann", "a..b", "", '""', '"ann"', '"ann', 'ann"', 'a"n"n', '"a\\"b"', "a\\",
    "\\ann", "a\\@b", '"a@b"', '"ann"+x', "(comment)ann", "postmaster", "PostMaster",
    "postmaster+x", "postmaster+a%b", '"postmaster"', "postmaster.", "x+postmaster", "postmaster-x",
    "x" * 64, "x" * 1000, "ann+" + "y" * 990, "@", "@evil.test:ann", "@evil.test", ":ann", "ann:x",
    "|/bin/sh", "/etc/passwd", "-oQ/tmp", "*", "(uid=*)", "ann\\2a",
)  # fmt: skip
ROUTES = (
    "@evil.test:", "@auth.test:", "@a.test,@b.test:", "@[192.0.2.9]:", "@[IPv6:2001:db8::1]:",
    "@a.test,@[192.0.2.9]:", "@:", "@a.test,b.test:", "@a.test,@:", "@x_y.test:", "@a.test: ",
    "@evil.test:@auth.test:", "@@evil.test:", "@a b:", "@ü.test:", "evil.test:", "@evil.test,",
)  # fmt: skip
CERTIFICATE = ":".join(["AB"] * 16)
CERTIFICATES = ("", CERTIFICATE.lower(), CERTIFICATE.replace(":", ""), "ab:ab")
STRANGERS = ("198.51.100.7", "2001:db8::7", "")


def some(draw: random.Random, values: tuple[str, ...], most: int) -> tuple[str, ...]:
    """Draw some of the values, each once."""
    return tuple(draw.sample(values, draw.randint(0, min(most, len(values)))))


def yes(draw: random.Random, share: float = 0.5) -> bool:
    """Draw yes or no."""
    return draw.random() < share


def world(draw: random.Random) -> World:
    """Draw a configuration, and the entries of its directories."""
    systems = [_system(draw, number) for number in range(1, draw.randint(3, 6))]
    if yes(draw, 0.3):
        for system in systems:  # a chain, each of which is asked
            system.spaces = tuple(dict.fromkeys((*system.spaces, SHARED[0])))
            system.relay = system.verify = True
    names = draw.sample(OURS, draw.randint(3, len(OURS)))
    if not set(names) & set(HOMES):  # codomain check asks for one that is authoritative
        names.append(HOMES[0])
    domains = [_domain(draw, name, tuple(s.name for s in systems)) for name in names]
    authoritative = {d.name for d in domains if d.type == "authoritative"}
    for system in systems:
        system.spaces = tuple(
            s
            for s in system.spaces
            if s.removeprefix("*.") not in authoritative
            and (s != "*.shared.test" or "x.shared.test" not in authoritative)
        )
    directories = ("people", "staff")
    return World(
        domains=domains,
        systems=systems,
        entries={name: list(_entries(draw, name)) for name in directories},
        down=frozenset(name for name in directories if yes(draw, 0.15)),
        allowed_hosts={name: ("host.test",) for name in directories if yes(draw)},
        allowed_targets=some(draw, ("partner.test", "*.wild.test", "shared.test"), 3),
        max_depth=draw.choice((1, 2, 5)),
        postmaster=draw.choice(
            ("", "hostmaster@auth.test", "ann@shared.test", "pm@evil.test", "postmaster@home.test",
             "ann@home.test", "postmaster@open.test")
        ),
        networks=draw.choice((("127.0.0.0/8",), ("127.0.0.0/8", "192.0.2.12"), ("::1",), ())),
        trust_sasl=yes(draw, 0.8),
        certificates=(CERTIFICATE,) if yes(draw) else (),
        contexts=("submission",) if yes(draw) else (),
        peers_may_relay=yes(draw, 0.3),
        on_failure=draw.choice(("accept", "defer")),
        answers=draw.randrange(1000),
    )  # fmt: skip


def _system(draw: random.Random, number: int) -> System:
    address = f"192.0.2.{10 + number}"
    return System(
        name=f"system{number}",
        hosts=draw.choice(((f"[{address}]",), (f"[{address}]:2525", f"mail{number}.test"))),
        spaces=some(draw, SPACES, 5),
        relay=yes(draw, 0.6),
        cost=draw.choice((5, 10, 10, 20)),
        peers=draw.choice(
            ((address,), (address, "203.0.113.0/24"), (address, "2001:db8:5::/64"), ("192.0.2.11",))
        ),
        verify=yes(draw),
    )


def _domain(draw: random.Random, name: str, systems: tuple[str, ...]) -> Domain:
    kind = "authoritative" if name in HOMES else "shared" if name in SHARED else "relay"
    deliver_to = draw.choice(("", *systems))
    return Domain(
        name=name,
        type=kind,
        subdomains=yes(draw, 0.3),
        directories=draw.choice((("people",), ("people", "staff"), ("staff", "people"))),
        deliver_to=deliver_to,
        deliver_as=draw.choice(("given", "given", "primary")),
        delimiters=draw.choice(("+", "+", "+-", "-", "")),
        keep_extension=yes(draw, 0.7),
        catch_all=""
        if yes(draw, 0.8)
        else draw.choice(
            ("ann@home.test", "all@auth.test", "x@evil.test", "x@partner.test", "none@shared.test",
             "zz@relay.test")
        ),
        fallback="mx" if yes(draw, 0.2) else "refuse",
        on_outage="deliver" if deliver_to and yes(draw, 0.4) else "defer",
    )  # fmt: skip


def _entries(draw: random.Random, directory: str) -> Iterator[Entry]:
    for number in range(draw.randint(5, 25)):
        addresses = tuple(
            f"{_written(draw.choice((*NAMES, *NAMES, 'postmaster', 'ann+two', 'all')))}"
            f"@{draw.choice((*SHARED, *HOMES))}"
            for _ in range(draw.randint(1, 4))
        )
        contact = yes(draw, 0.5)
        yield Entry(
            dn=f"cn={number},o={directory}",
            addresses=addresses,
            contact=contact,
            primary=draw.choice(("", addresses[0], addresses[-1], _target(draw))),
            target=draw.choice((_target(draw), _target(draw), addresses[-1]))
            if contact or yes(draw, 0.05)
            else "",
            host=draw.choice(
                ("", "", "", "", "gateway.test", "GATEWAY.test", "mail1.test", "[192.0.2.12]",
                 "Host.Test", "other.test")
            ),
            restricted=yes(draw, 0.1),
        )  # fmt: skip


def _target(draw: random.Random) -> str:
    if yes(draw, 0.15):
        return draw.choice(
            ("", "a@evil.test, b@evil.test", "@evil.test:a@auth.test", "a%evil.test@shared.test",
             "a@evil.test> NOTIFY=NEVER", '"a b"@open.test', '"a@evil.test"@shared.test', "a b@x",
             "a", "@auth.test", "a@", "a@[192.0.2.9]", "＠@shared.test", "a\x00@shared.test",
             "ann@auth.test,", '"ann"@auth.test', "<ann@auth.test>", "a..b@shared.test",
             "a@b@auth.test", "a\u2028@auth.test", "ann@au\u200bth.test", "x@müller.test")
        )  # fmt: skip
    name = draw.choice((*NAMES, "ann+two", "ann-two", "nobody", "postmaster"))
    return f"{_written(name)}@{draw.choice((*OURS, *OURS, *FOREIGN))}"


def _written(local: str) -> str:
    return f'"{local}"' if " " in local else local


def questions(draw: random.Random, asked_of: World, number: int) -> Iterator[Asked]:
    """Draw questions for a world."""
    known = [a for entries in asked_of.entries.values() for e in entries for a in e.addresses]
    for _ in range(number):
        door = draw.choice(("policy", "policy", "policy", "milter", "milter", "map"))
        text = _recipient(draw, known)
        if door == "milter":
            text = _path(draw, text)
        elif yes(draw, 0.05):
            text = _requoted(text)
        raw = text.encode("utf-8", "surrogatepass")
        if yes(draw, 0.01):
            raw = raw.replace(b"t", b"\xff", 1)
        told = door != "map"
        yield Asked(
            recipient=raw,
            door=door,
            client=_client(draw) if told else "",
            sasl=told and yes(draw, 0.1),
            certificate=draw.choice(CERTIFICATES) if told else "",
            context=draw.choice(("", "", "", "inbound", "submission")) if told else "",
            smtputf8=draw.choice((True, True, False)) if door == "milter" else None,
            probe=told and yes(draw, 0.2),
        )


def _client(draw: random.Random) -> str:
    near = ("127.0.0.1", "::1", "203.0.113.9", "2001:db8:5::9", "::ffff:127.0.0.1")
    peers = tuple(f"192.0.2.{10 + number}" for number in range(1, 6))
    pool = draw.choice((STRANGERS, STRANGERS, near, peers, ("::ffff:192.0.2.11",)))
    return draw.choice(pool)


def _recipient(draw: random.Random, known: list[str]) -> str:
    """Draw a recipient as it is written without quotes."""
    if yes(draw, 0.02):
        return draw.choice(("", "postmaster", "PostMaster", "webmaster", "ann", "@", "postmaster@"))
    if yes(draw, 0.1):
        return f"{draw.choice(NAMES)}@{draw.choice(SHARED)}"
    if known and yes(draw, 0.4):
        local, _, domain = draw.choice(known).rpartition("@")
        local = local.strip('"')
        if yes(draw, 0.3):
            local += draw.choice(("+x", "-x", "+x+y", "+a%b", "+", "+two", "-two", "+\u212a"))
        if yes(draw, 0.2):
            local = draw.choice((local.upper(), local.title()))
    else:
        local = draw.choice((*NAMES, *ODD_LOCALS, *ODD_LOCALS))
        domain = draw.choice((*OURS, *OURS, *FOREIGN))
    if yes(draw, 0.12):
        domain = draw.choice(ODD_DOMAINS)
    route = draw.choice(ROUTES) if yes(draw, 0.1) else ""
    return f"{route}{local}@{domain}"


def _requoted(text: str) -> str:
    """Quote a local part as SMTP would."""
    local, _, domain = text.rpartition("@")
    local = local.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{local}"@{domain}'


def _path(draw: random.Random, text: str) -> str:
    """Write a recipient as SMTP does: right, or as a careless or hostile client does."""
    local, at, domain = text.rpartition("@")
    kind = draw.randrange(6)
    if kind == 0 and local:
        text = f'{local[:1]}"{local[1:]}"@{domain}' if '"' not in local else text
    elif kind == 1 and local:
        text = f"\\{local}{at}{domain}"
    elif kind <= 3 and (set(local) & set(' "\\@,<>:()') or kind == 3):
        text = _requoted(text)
    return f"<{text}>"


def ini(asked_of: World) -> str:
    """Write a world's configuration as codomain.ini has it."""
    parts = [_common(asked_of)]
    parts += [_domain_lines(domain) for domain in asked_of.domains]
    parts += [_system_lines(system) for system in asked_of.systems]
    for name in asked_of.entries:
        hosts = ", ".join(asked_of.allowed_hosts.get(name, ()))
        parts.append(
            f"[directory {name}]\ntype = ldap\nservers = ldaps://dc.test\nbase = dc=test\n"
            f"allowed_hosts = {hosts}"
        )
    parts += [f"[context {name}]\ntrusted = yes" for name in asked_of.contexts]
    return "\n".join(parts) + "\n"


def _common(asked_of: World) -> str:
    return f"""[codomain]
hostname = {asked_of.hostname}
postmaster = {asked_of.postmaster}
postfix = off
[callout]
on_failure = {asked_of.on_failure}
[trust]
trusted_networks = {", ".join(asked_of.networks)}
trust_sasl = {_word(asked_of.trust_sasl)}
trust_certificates = {", ".join(asked_of.certificates)}
peers_may_relay = {_word(asked_of.peers_may_relay)}
[redirect]
allowed_targets = {", ".join(asked_of.allowed_targets)}
max_depth = {asked_of.max_depth}"""


def _domain_lines(domain: Domain) -> str:
    return f"""[domain {domain.name}]
type = {domain.type}
subdomains = {_word(domain.subdomains)}
directory = {", ".join(domain.directories)}
deliver_to = {domain.deliver_to}
deliver_as = {domain.deliver_as}
recipient_delimiter = {domain.delimiters}
keep_extension = {_word(domain.keep_extension)}
catch_all = {domain.catch_all}
fallback = {domain.fallback}
on_outage = {domain.on_outage}"""


def _system_lines(system: System) -> str:
    return f"""[connector {system.name}]
smart_hosts = {", ".join(system.hosts)}
address_spaces = {", ".join(system.spaces)}
allow_relay = {_word(system.relay)}
cost = {system.cost}
peers = {", ".join(system.peers)}
verify = {"callout" if system.verify else "none"}
verify_control = {"postmaster@open.test" if system.verify else ""}"""


def _word(value: bool) -> str:  # noqa: FBT001  # a formatter of one value
    return "yes" if value else "no"
