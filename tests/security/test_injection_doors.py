"""What a client sends, at the doors as they are: nothing of it comes out as an answer's syntax.

A whole runtime stands behind each door: configuration, directory, decision, replies.  The
octets are those that smuggle through SMTP (bare LF and CR, a second command, an end of data
of one's own) and whatever hypothesis thinks of.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ldap3.operation.search import parse_filter
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from codomain.address import parse_path, parse_recipient
from codomain.config import parse
from codomain.directory.schema import SCHEMAS, spellings
from codomain.log import set_up
from codomain.metrics import OTHER, Metrics
from codomain.runtime import InForce, Runtime
from codomain_milter.door import MilterDoor
from codomain_milter.session import Outcome, Session
from codomain_policyd.door import Asked
from codomain_policyd.errors import ProtocolError
from codomain_policyd.journal import Throttle
from codomain_policyd.map_door import MapDoor
from codomain_policyd.policy import READ, PolicyDecoder, parse_request
from codomain_policyd.policy_door import PolicyDoor
from codomain_policyd.reply import DOMAIN_MAPS, MAPS
from codomain_policyd.socketmap import MapDecoder, MapRequest
from support.decisions import no_lookup
from support.doors import POSTFIX_ORDER, policy_request
from support.milters import TRACER, FakeContext

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INI = """\
[codomain]
hostname = gateway.test
postfix = off
[policyd]
redirect = {redirect}
[trust]
trusted_networks = 127.0.0.0/8
[domain example.com]
type = shared
deliver_to = exchange
[domain corp.local]
type = authoritative
deliver_to = exchange
[domain unix.example.net]
type = relay
[connector exchange]
smart_hosts = [192.0.2.20]
[connector unix]
smart_hosts = [192.0.2.10]
address_spaces = example.com, unix.example.net
allow_relay = yes
[directory people]
type = files
path = {folder}/people.csv
"""

PEOPLE = """\
DN,objectClass,mailNickname,proxyAddresses,targetAddress
cn=ann,user,ann,SMTP:ann@example.com,
cn=bob,contact,bob,SMTP:bob@example.com,SMTP:bob@unix.example.net
"""

HOPS = {b"smtp:[192.0.2.10]", b"smtp:[192.0.2.20]"}
OURS = {"example.com", "corp.local", "unix.example.net", OTHER}

SMUGGLED = [
    b"ann@example.com\r\n.\r\nMAIL FROM:<x@evil.test>",
    b"ann@example.com\n.\nMAIL FROM:<x@evil.test>",
    b"ann@example.com\r.\rMAIL FROM:<x@evil.test>",
    b"ann@example.com>\r\nRCPT TO:<x@evil.test",
    b"ann@example.com>\nRCPT TO:<x@evil.test",
    b"ann@example.com>\rRCPT TO:<x@evil.test",
    b"ann@example.com> NOTIFY=NEVER ORCPT=rfc822;x@evil.test",
    b"ann@example.com\0@evil.test",
    b"ann@example.com,x@evil.test",
    b"ann@example.com\x1b[2J@evil.test",
    b"x@evil.test\naction=OK\n\n",
    b"x@evil.test\n\naction=OK\n\n",
    b"x@evil.test%0aaction=OK",
    b"*)(mail=*@evil.test",
    b'"x@evil.test\r\n"@evil.test',
    b"\xe2\x80\xa8x@evil.test\xe2\x80\xa9",
    b"x@evil.test\xc2\x85",
    b'x@evil.test"} 1\ncodomain_fake{a="',
]
"""Arguments that would be another command, line, header, filter, answer or metric; the second
of two addresses is at evil.test."""

PARTS = [b"\r\n.\r\n", b"\n", b"\r", b"\0", b"<", b">", b"@", b",", b" ", b'"', b"\\", b"%s", b"(",
    b")", b"*", b"\x1b[", b"ann@example.com", b"bob", b"example.com", b"corp.local", b"action=OK",
    b"recipient=", b"\xff", b"\xe2\x80\xa8", b"{", b"}"]  # fmt: skip
OCTETS = st.binary(max_size=40) | st.lists(st.sampled_from(PARTS), max_size=8).map(b"".join)
KNOWN = st.sampled_from([b"bob@example.com", b'"bob"@example.com', b"BOB@Example.COM"])
ADDRESSES = st.one_of(
    OCTETS, OCTETS.map(lambda local: local + b"@example.com"), st.sampled_from(SMUGGLED), KNOWN
)
NAMES = st.sampled_from([b"ORCPT=rfc822;", b"ORCPT=", b"NOTIFY=", b"NOTIFY=SUCCESS", b"SIZE=", b""])
PARAMETERS = st.lists(st.tuples(NAMES, OCTETS).map(b"".join), max_size=3)
FEW = settings(max_examples=150, deadline=None)
CONTROL = re.compile(rb"[\x00-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]")


class House:
    """One runtime, and the doors in front of it."""

    def __init__(self, folder: Path, redirect: str) -> None:
        (folder / "people.csv").write_text(PEOPLE)
        self.metrics = Metrics("0")
        config = parse(INI.format(folder=folder, redirect=redirect))
        self.runtime = Runtime(config, self.metrics, lookup=no_lookup)
        in_force = InForce(self.runtime)
        self.policy = PolicyDoor(in_force, Throttle())
        self.maps = MapDoor(in_force, Throttle())
        self.loop = asyncio.new_event_loop()
        self.milter = MilterDoor(in_force, self.loop, TRACER)

    def ask(self, request: bytes) -> bytes:
        """Return the policy server's answer to one request."""
        answer = self.policy.answer(parse_request(request), time.monotonic())
        assert not isinstance(answer, Asked)
        return answer

    def look(self, name: bytes, key: bytes) -> bytes:
        """Return a map's answer."""
        text = name + b" " + key
        frame = b"%d:%s," % (len(text), text)
        answer = self.maps.answer(MapRequest(frame, name, key), time.monotonic())
        assert not isinstance(answer, Asked)
        return answer

    def close(self) -> None:
        """Let go of all."""
        self.runtime.close()
        self.loop.close()


@pytest.fixture(scope="module", params=["socketmap", "filter"])
def house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """Give a house for either value of ``[policyd] redirect``."""
    made = House(tmp_path_factory.mktemp("h"), request.param)
    yield made
    made.close()


@pytest.fixture(autouse=True, scope="module")
def silent() -> Iterator[None]:
    """Log nothing: what a line looks like is another test's."""
    import io  # noqa: PLC0415  # here alone
    import logging  # noqa: PLC0415

    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    set_up("info", "logfmt", io.StringIO())
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("codomain").setLevel(logging.NOTSET)


@FEW
@given(ADDRESSES, OCTETS, OCTETS)
def test_a_policy_answer_is_one_action_whatever_is_asked(
    house: House, recipient: bytes, sender: bytes, instance: bytes
) -> None:
    """access(5): one line and an empty one, of the few actions; nothing of the client's in it."""
    recipient, sender, instance = (o.replace(b"\n", b"") for o in (recipient, sender, instance))
    request = policy_request().replace(b"recipient=ann@example.com", b"recipient=" + recipient)
    request = request.replace(b"sender=someone@elsewhere.test", b"sender=" + sender)
    request = request.replace(b"instance=5e3a.65d0c1d2.8f0a1.0", b"instance=" + instance)
    answer = house.ask(request)
    assert answer.startswith(b"action=")
    assert answer.endswith(b"\n\n")
    action = answer[7:-2]
    assert not CONTROL.search(action), answer
    word, _, rest = action.partition(b" ")
    if word == b"FILTER":
        assert rest in HOPS
    elif word == b"REDIRECT":
        assert rest == b"bob@unix.example.net"
    else:
        assert word == b"DUNNO" or (word.isdigit() and word[:1] in b"45")
    if b"evil.test" in recipient.rpartition(b"@")[2]:
        assert word == b"554", (recipient, answer)


@FEW
@given(
    st.sampled_from(POSTFIX_ORDER),
    st.sampled_from(sorted(READ)),
    OCTETS.map(lambda octets: octets.replace(b"\n", b"")),
)
def test_a_line_feed_in_a_value_never_adds_what_is_read(
    name: str, added: str, value: bytes
) -> None:
    """A second attribute of a name is a fault: two readers would see two requests."""
    before = policy_request()
    line = re.compile(rb"^%s=.*$" % name.encode(), re.MULTILINE)
    injected = b"%s=x\n%s=%s" % (name.encode(), added.encode(), value)
    assert line.search(before) is not None
    if added.encode() + b"=" not in before:
        return  # Postfix sends all of those that are read
    with pytest.raises(ProtocolError):
        parse_request(line.sub(lambda _: injected, before))


@FEW
@given(st.sampled_from(POSTFIX_ORDER), OCTETS, st.integers(1, 7))
def test_an_empty_line_in_a_value_ends_the_connection(name: str, value: bytes, step: int) -> None:
    """What follows it is no request of its own: no answer is read as that to another request."""
    line = re.compile(rb"^%s=.*$" % name.encode(), re.MULTILINE)
    octets = line.sub(lambda _: name.encode() + b"=x\n\n" + value, policy_request())
    decoder = PolicyDecoder()
    read: list[object] = []

    def feed() -> None:
        for at in range(0, len(octets), step):
            decoder.feed(octets[at : at + step])
            while (request := decoder.next()) is not None:
                read.append(request)

    with pytest.raises(ProtocolError):
        feed()
    assert len(read) <= 1


@FEW
@given(st.sampled_from([*MAPS, *DOMAIN_MAPS, "mailertable", "nonsense"]), ADDRESSES)
@example("alias", b"bob@example.com")
def test_a_map_answer_is_one_netstring_of_known_words(house: House, name: str, key: bytes) -> None:
    """socketmap_table(5): a value is a hop of the configuration, a target, or a word of ours."""
    answer = house.look(name.encode(), key)
    length, _, rest = answer.partition(b":")
    assert length.isdigit()
    assert len(rest) == int(length) + 1
    assert rest.endswith(b",")
    word, _, value = rest[:-1].partition(b" ")
    assert word in {b"OK", b"NOTFOUND", b"TEMP"}
    assert not CONTROL.search(value)
    if word == b"OK" and name == "alias":
        assert value == b"bob@unix.example.net"
    elif word == b"OK" and name == "transport":
        assert value in HOPS or value.startswith((b"error:5.", b"retry:4.")), answer
    if b"evil.test" in key.rpartition(b"@")[2]:
        assert word != b"OK", (key, answer)


@FEW
@given(st.lists(OCTETS, min_size=1, max_size=4), st.integers(1, 5))
def test_netstrings_are_cut_by_their_length_alone(keys: list[bytes], step: int) -> None:
    """Commas, colons and digits in a key are part of it (netstrings: the length decides)."""
    wanted = [b"alias " + key + b",9:x y,0:,".replace(b"y", key[:3]) for key in keys]
    octets = b"".join(b"%d:%s," % (len(key), key) for key in wanted)
    decoder = MapDecoder()
    found: list[bytes] = []
    for at in range(0, len(octets), step):
        decoder.feed(octets[at : at + step])
        while (request := decoder.next()) is not None:
            found.append(request.name + b" " + request.key)
    assert found == wanted


@FEW
@given(ADDRESSES, ADDRESSES, PARAMETERS)
@example(b"bob@example.com", b"", [b"ORCPT=rfc822;x@evil.test> X=1", b"NOTIFY=NEVER\r\nDATA"])
def test_the_milter_says_and_adds_nothing_of_the_client_s(
    house: House, recipient: bytes, sender: bytes, parameters: list[bytes]
) -> None:
    """smfi_setreply, smfi_addrcpt: no line end, one mailbox, parameters that are known."""
    context = FakeContext()
    session = Session(house.milter, context)
    session.connect(("198.51.100.7", 40114))
    session.mail(b"<" + sender + b">", *parameters)
    outcome = session.rcpt(b"<" + recipient + b">", *parameters)
    for name in ("Received", "X-Codomain-Trace", "Subject"):
        session.header(name, recipient)
    session.eom()
    session.close()
    for code, enhanced, *lines in context.replies:
        assert code[0] == enhanced[0]
        for line in lines:
            assert not CONTROL.search(line.encode()), line
            assert "evil" not in line
    for action, *values in context.done:
        if action == "addrcpt":
            mailbox, said = values
            assert mailbox == "<bob@unix.example.net>"
            assert re.fullmatch(
                r"(NOTIFY=[A-Z,]+)?( ?ORCPT=[A-Za-z0-9-]+;[!-~]+)?", str(said or "")
            )
        if action == "addheader":
            assert re.fullmatch(r"[0-9a-f]{8} [\w,-]+ [\w-]{16}", str(values[1]))
    if parse_path(b"<" + recipient + b">").domain not in OURS:
        assert outcome is not Outcome.CONTINUE, (recipient, context.replies)


@pytest.mark.parametrize("smuggled", SMUGGLED)
def test_a_smuggled_argument_reaches_nobody_elsewhere(house: House, smuggled: bytes) -> None:
    """Whatever the MTA lets through as one argument: it is one recipient, and not a foreign one."""
    for path in (smuggled, b"<" + smuggled + b">"):
        context = FakeContext()
        session = Session(house.milter, context)
        session.connect(("198.51.100.7", 40114))
        session.mail(b"<>")
        outcome = session.rcpt(path)
        session.close()
        address = parse_path(path)
        assert outcome is not Outcome.CONTINUE, (path, address)
    # In the policy protocol a line feed is the end of an attribute, so none arrives in one.
    address = parse_recipient(smuggled)
    assert address.domain in {"", "evil.test"} or not address.key


@FEW
@given(ADDRESSES, st.sampled_from(sorted(SCHEMAS)))
@example(b"*)(objectClass=*@example.com", "active-directory")
def test_a_filter_has_the_same_form_whatever_is_asked(raw: bytes, name: str) -> None:
    """RFC 4515 section 3: every octet of an address is data."""
    schema = SCHEMAS[name]
    for address in (parse_recipient(raw), parse_path(raw)):
        key = address.key or "x@example.com"
        text = schema.filter(key)
        assert re.fullmatch(r"[A-Za-z0-9()&|=:;\\-]+", text), text
        values = len(spellings(key)) * len(schema.assertions)
        assert text.count("(") - (text.count("(|") + text.count("(&")) == values
        parse_filter(
            text, None, auto_escape=False, auto_encode=False, validator=None, check_names=False
        )


def test_labels_are_of_the_configuration_after_all_of_it(house: House) -> None:
    """Whatever was asked above and here: no label holds a client's text, and none is added."""
    for recipient in SMUGGLED:
        one = recipient.replace(b"\n", b"")
        house.ask(policy_request().replace(b"recipient=ann@example.com", b"recipient=" + one))
        house.look(b"domain", recipient)
        house.look(recipient.replace(b" ", b"") or b"x", recipient)
    text = generate_latest(house.metrics.registry).decode()
    assert "evil" not in text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if "domain" in sample.labels:
                assert sample.labels["domain"] in OURS
            assert all(re.fullmatch(r"[\w.+-]*", value) for value in sample.labels.values()), sample
