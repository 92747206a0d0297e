"""A good configuration: what each key becomes, what stands in for it, and what goes before what."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

import pytest

from codomain.config import (
    Config,
    ConnectorSection,
    Endpoint,
    ReplyOverride,
    load,
    parse,
    postfix_parameters,
    postfix_setting,
)
from codomain.errors import ConfigError
from codomain.settings.whole import REASONS, TEMPORARY

if TYPE_CHECKING:
    from pathlib import Path

MINIMAL = """\
[codomain]
postmaster = postmaster@corp.local

[domain example.com]
type = shared
deliver_to = exchange

[domain corp.local]
type = authoritative

[connector unix]
smart_hosts = [192.0.2.10]:25, relay2.example.net   ; the host that shares example.com
address_spaces = Example.COM, *.müller.example
allow_relay = yes
verify = callout
verify_control = known@example.com

[connector exchange]
smart_hosts = unix:private/dovecot-lmtp
transport = lmtp

[directory people]
type = files
path = /etc/codomain/*.ldif,
    ; a comment between two lines of a list
    /etc/codomain/*.csv

[domain müller.example]
type = relay
fallback = mx
"""


def connector(lines: str) -> ConnectorSection:
    """Return the one connector of an INI."""
    return parse(f"[connector unix]\n{lines}\n").connectors[0]


def faults(text: str, postfix: dict[str, str] | None = None) -> list[str]:
    """Return the faults of an INI that has some."""
    with pytest.raises(ConfigError) as caught:
        parse(text, postfix=postfix)
    return caught.value.faults


def test_a_minimal_configuration_says_what_it_means() -> None:
    """Domains and spaces are folded, smart hosts stay as written, lists go over lines."""
    config = parse(MINIMAL)
    assert [(d.name, d.type) for d in config.domains] == [
        ("example.com", "shared"),
        ("corp.local", "authoritative"),
        ("xn--mller-kva.example", "relay"),
    ]
    unix, exchange = config.connectors
    assert unix.smart_hosts == ("[192.0.2.10]:25", "relay2.example.net")
    assert unix.address_spaces == ("example.com", "*.xn--mller-kva.example")
    assert unix.allow_relay
    assert unix.peers == ()
    assert exchange.smart_hosts == ("unix:private/dovecot-lmtp",)
    assert config.directories[0].path == ("/etc/codomain/*.ldif", "/etc/codomain/*.csv")
    assert config.domains[0].deliver_to == "exchange"


def test_a_domain_that_names_no_directory_has_every_one_in_order() -> None:
    """config.md: directory's default is every directory, in order."""
    one = "[directory b]\ntype = files\npath = /b\n[directory a]\ntype = files\npath = /a\n"
    config = parse(f"{one}[domain example.com]\n[domain example.net]\ndirectory = a\n")
    assert [domain.directory for domain in config.domains] == [("b", "a"), ("a",)]


def test_an_empty_configuration_has_the_defaults_of_the_reference() -> None:
    """config.md's listing, value by value, durations in seconds."""
    config = parse("")
    policyd, cache, callout = config.policyd, config.cache, config.callout
    assert config.codomain.mode == "enforce"
    assert config.codomain.state_directory == "/var/lib/codomain"
    assert config.codomain.control_socket == "/run/codomain/control"
    assert policyd.listen == (Endpoint("unix", path="/var/spool/postfix/codomain/policy"),)
    assert policyd.socketmap_listen == (Endpoint("unix", path="/var/spool/postfix/codomain/map"),)
    assert (policyd.redirect, policyd.deadline, policyd.idle_timeout) == ("socketmap", 4.0, 600.0)
    assert (policyd.max_connections, policyd.socket_mode) == (2000, 0o660)
    assert config.milter.listen is None
    assert config.milter.max_hops == 50
    assert config.http.listen == (Endpoint("inet", host="127.0.0.1", port=9815),)
    assert config.trust.trusted_networks == (IPv4Network("127.0.0.0/8"), IPv6Network("::1"))
    assert config.trust.trust_sasl
    assert not config.trust.peers_may_relay
    assert (config.redirect.allowed_targets, config.redirect.max_depth) == ((), 5)
    assert (cache.size, cache.found_ttl, cache.not_found_ttl) == (100000, 300.0, 60.0)
    assert (cache.failed_ttl, cache.stale_ttl, cache.refresh_ahead) == (5.0, 86400.0, 0.8)
    assert (callout.sender, callout.timeout, callout.on_failure) == ("", 10.0, "accept")
    assert (callout.found_ttl, callout.not_found_ttl) == (21600.0, 600.0)
    assert (config.harvest.limit, config.harvest.window) == (0, 600.0)
    assert config.codomain.hostname


def test_named_sections_have_the_defaults_of_the_reference() -> None:
    """config.md's listing again, for what has a name."""
    config = parse(
        "[domain example.com]\n[connector c]\nsmart_hosts = a.example\n"
        "[directory d]\nservers = ldapi:///\n[context submission]\n"
    )
    domain, unix, directory = config.domains[0], config.connectors[0], config.directories[0]
    assert (domain.type, domain.subdomains, domain.deliver_as) == ("shared", False, "given")
    assert (domain.recipient_delimiter, domain.keep_extension) == ("+", True)
    assert (domain.fallback, domain.on_outage, domain.mode) == ("refuse", "defer", "")
    assert (unix.cost, unix.transport, unix.tls, unix.verify) == (10, "smtp", "may", "none")
    assert not unix.allow_relay
    assert (directory.schema, directory.scope) == ("active-directory", "subtree")
    assert (directory.connect_timeout, directory.timeout, directory.pool_size) == (2.0, 3.0, 4)
    assert (directory.max_shrink, directory.max_age) == (0.2, 3600.0)
    assert (directory.mode, directory.on_miss, directory.encoding) == ("live", "live", "utf-8")
    assert (config.contexts[0].trusted, config.contexts[0].mode) == (False, "")


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("500ms", 0.5), ("5s", 5.0), ("0.3s", 0.3), ("10 s", 10.0), ("0.5m", 30.0)],
)
def test_durations_are_seconds(written: str, seconds: float) -> None:
    """A number and its unit, as config.md has them."""
    assert parse(f"[policyd]\ndeadline = {written}\n").policyd.deadline == seconds


@pytest.mark.parametrize(
    "written",
    ["unix:/run/codomain/policy", "inet:127.0.0.1:10031", "inet:[::1]:1234", "inet:localhost:0"],
)
def test_a_socket_reads_back_as_it_was_written(written: str) -> None:
    """An endpoint's text is the form of the INI, IPv6 in brackets."""
    assert [str(e) for e in parse(f"[policyd]\nlisten = {written}\n").policyd.listen] == [written]


def test_an_ipv6_endpoint_holds_the_bare_address() -> None:
    """What bind(2) takes has no brackets."""
    config = parse("[milter]\nlisten = inet:[::1]:1234\n")
    assert config.milter.listen == Endpoint("inet", host="::1", port=1234)


def test_an_empty_list_closes_a_door() -> None:
    """config.md: a key that is there and empty is not the default."""
    assert parse("[policyd]\nsocketmap_listen =   ; none\n").policyd.socketmap_listen == ()


@pytest.mark.parametrize(
    "written",
    ["[192.0.2.1]", "[2001:db8::1]:25", "[ipv6:2001:db8::1]", "[mx.example.net]:587",
     "mx.example.net", "mx.example.net:2525", "mail"],
)  # fmt: skip
def test_smart_hosts_stay_as_they_are_written(written: str) -> None:
    """decisions.md: the next hop is text of the configuration, as it is written."""
    assert connector(f"smart_hosts = {written}").smart_hosts == (written,)


def test_peers_are_networks_or_names() -> None:
    """config.md: networks of this system and of all behind it; names are allowed."""
    peers = connector("smart_hosts = a.example\npeers = 192.0.2.0/24, ::1, [::1]/128, b.example")
    assert peers.peers == ("192.0.2.0/24", "::1", "[::1]/128", "b.example")


def test_networks_of_ipv4_in_ipv6_count_as_ipv4() -> None:
    """decisions.md, step 1: IPv4-mapped client addresses count as IPv4."""
    config = parse("[trust]\ntrusted_networks = ::ffff:192.0.2.0/120, [2001:db8::]/32\n")
    assert config.trust.trusted_networks == (
        IPv4Network("192.0.2.0/24"),
        IPv6Network("2001:db8::/32"),
    )


def test_fingerprints_are_in_the_form_that_postfix_sends() -> None:
    """SMTPD_POLICY_README: ccert_fingerprint is upper-case pairs with colons."""
    config = parse(f"[trust]\ntrust_certificates = {'ab' * 20}\n")
    assert config.trust.trust_certificates == (":".join(["AB"] * 20),)


def test_an_address_literal_may_be_a_domain() -> None:
    """decisions.md, step 2: an address literal is ours only if it is listed."""
    config = parse("[domain [192.0.2.1]] ; a comment with ]\n[domain [IPv6:2001:DB8::1]]\n")
    assert [d.name for d in config.domains] == ["[192.0.2.1]", "[ipv6:2001:db8::1]"]


@pytest.mark.parametrize(
    ("lines", "reply"),
    [
        ("unknown.code = 550", ReplyOverride(code=550)),
        ("unknown.code = 551 5.1.6", ReplyOverride(code=551, enhanced="5.1.6")),
        ("unknown.text = No such user # 5", ReplyOverride(text="No such user # 5")),
        ("unknown.text = Nein, Müller\nunknown.code = 550", ReplyOverride(550, "", "Nein, Müller")),
    ],
)
def test_replies_can_be_set(lines: str, reply: ReplyOverride) -> None:
    """replies.md: every text and code of a refusal can be set in the INI file."""
    assert dict(parse(f"[replies]\n{lines}\n").replies) == {"unknown": reply}


def test_a_text_of_400_octets_is_the_longest() -> None:
    """The limit is REPLY_OCTETS, 400; one more is a fault (see the bad ones)."""
    assert len(parse(f"[replies]\nunknown.text = {'x' * 400}\n").replies["unknown"].text) == 400


def test_each_reason_is_either_temporary_or_permanent() -> None:
    """replies.md: 4xx for what is down or ambiguous, our fault, another route, the brake."""
    temporary = {"directory", "ambiguous", "fault", "route", "callout", "harvest"}
    assert {reason.value for reason in TEMPORARY} == temporary
    for reason in REASONS:
        code = 451 if reason in temporary else 550
        assert parse(f"[replies]\n{reason}.code = {code}\n").replies[reason].code == code


def test_shadow_mode_goes_with_the_policy_door_alone() -> None:
    """decisions.md: maps that route cannot be in shadow; without them it is allowed."""
    config = parse("[codomain]\nmode = shadow\n[policyd]\nsocketmap_listen =\n")
    assert config.codomain.mode == "shadow"


def test_a_connector_may_lie_below_an_authoritative_domain_with_its_own_section() -> None:
    """The longest match decides whose a domain is (decisions.md, step 2)."""
    config = parse(
        "[domain example.com]\ntype = authoritative\nsubdomains = yes\n"
        "[domain unix.example.com]\ntype = relay\n"
        "[connector unix]\nsmart_hosts = [192.0.2.1]\naddress_spaces = unix.example.com\n"
    )
    assert config.connectors[0].address_spaces == ("unix.example.com",)


def test_a_wildcard_does_not_equal_the_domain_above_it() -> None:
    """decisions.md, step 6: *.x covers everything below x, not x itself."""
    config = parse(
        "[domain example.com]\ntype = authoritative\n"
        "[connector unix]\nsmart_hosts = [192.0.2.1]\naddress_spaces = *.example.com\n"
    )
    assert config.connectors[0].address_spaces == ("*.example.com",)


def test_policies_have_known_keys() -> None:
    """The recipient policies' keys are taken, whatever becomes of them."""
    policy = parse(
        "[domain example.com]\ntype = authoritative\n[domain example.net]\n"
        "[policy sales]\naddress_spaces = example.com, example.net\nprimary = example.com\n"
        "filter = (department=sales)\ntemplates = %m@example.com\npriority = 3\ndefault = no\n"
        "enabled = example.com\n"
        "[policy rest]\naddress_spaces = example.com\ndefault = yes\n"
    ).policies[0]
    assert (policy.name, policy.priority, policy.default) == ("sales", 3, False)
    assert policy.address_spaces == ("example.com", "example.net")
    assert policy.templates == ("%m@example.com",)


def test_later_files_add_and_override(tmp_path: Path) -> None:
    """config.md: --config more than once; conf.d/*.ini beside the first is read after it."""
    first, last = tmp_path / "codomain.ini", tmp_path / "last.ini"
    first.write_text("[policyd]\ndeadline = 1s\nmax_connections = 1\nidle_timeout = 1m\n")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "20.ini").write_text("[policyd]\nmax_connections = 20\n")
    (tmp_path / "conf.d" / "10.ini").write_text(
        "[policyd]\nmax_connections = 10\n[domain example.com]\ntype = relay\n"
    )
    (tmp_path / "conf.d" / "30.ini.bak").write_text("[nonsense]\n")
    last.write_text("[policyd]\nidle_timeout = 9m\n[domain example.com]\nsubdomains = yes\n")
    config = load([first, last])
    policyd, domain = config.policyd, config.domains[0]
    assert (policyd.deadline, policyd.max_connections, policyd.idle_timeout) == (1.0, 20, 540.0)
    assert (domain.type, domain.subdomains) == ("relay", True)
    folder = tmp_path / "conf.d"
    assert config.files == (first, folder / "10.ini", folder / "20.ini", last)


def test_faults_come_in_the_order_of_the_files(tmp_path: Path) -> None:
    """A fault names the file in which the value stands that counts."""
    first, last = tmp_path / "z.ini", tmp_path / "a.ini"
    first.write_text("[policyd]\ndeadline = x\nidle_timeout = x\n")
    last.write_text("\n[policyd]\ndeadline = y\n")
    with pytest.raises(ConfigError) as caught:
        load([first, last])
    places = [line.partition("] ")[0] for line in caught.value.faults]
    assert places == [f"{first}:3: [policyd", f"{last}:3: [policyd"]


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    """The other files are still checked in the same run."""
    missing, bad = tmp_path / "missing.ini", tmp_path / "bad.ini"
    bad.write_text("[nonsense]\n")
    with pytest.raises(ConfigError) as caught:
        load([missing, bad])
    assert caught.value.faults == [
        f"{missing}: cannot be read: No such file or directory; name a file that is there",
        f"{bad}:1: [nonsense]: unknown section; codomain.ini(5) lists the sections",
    ]


def test_main_cf_gives_defaults() -> None:
    """config.md: mynetworks, recipient_delimiter and myhostname where the INI says nothing."""
    postfix = {
        "mynetworks": "10.0.0.0/8 [::1]/128, 192.0.2.1",
        "recipient_delimiter": "-",
        "myhostname": "gw.example.com",
    }
    config = parse("[domain example.com]\n", postfix=postfix)
    assert config.trust.trusted_networks == (
        IPv4Network("10.0.0.0/8"),
        IPv6Network("::1"),
        IPv4Network("192.0.2.1"),
    )
    assert config.domains[0].recipient_delimiter == "-"
    assert config.codomain.hostname == "gw.example.com"


def test_an_empty_delimiter_in_main_cf_means_none() -> None:
    """postconf(5): recipient_delimiter is empty by default, and then there are no extensions."""
    config = parse("[domain example.com]\n", postfix={"recipient_delimiter": ""})
    assert config.domains[0].recipient_delimiter == ""


def test_the_ini_goes_before_the_defaults_of_main_cf() -> None:
    """What the INI says is no default any more, also where it says nothing on purpose."""
    config = parse(
        "[codomain]\nhostname = a.example\n[trust]\ntrusted_networks =\n"
        "[domain example.com]\nrecipient_delimiter = +\n",
        postfix={"mynetworks": "!10.0.0.1", "recipient_delimiter": "-", "myhostname": "b.example"},
    )
    assert config.trust.trusted_networks == ()
    assert config.domains[0].recipient_delimiter == "+"
    assert config.codomain.hostname == "a.example"


@pytest.mark.parametrize(
    "item",
    ["!10.0.0.1", "hash:/etc/postfix/networks", "/etc/postfix/networks", "0.0.0.0/0", "10.0.0.1/8",
     "socketmap:unix:x:y"],
)  # fmt: skip
def test_mynetworks_that_cannot_be_read_exactly_stop_the_start(item: str) -> None:
    """config.md, trust: ! mynetworks that cannot be read exactly, and ! 0.0.0.0/0."""
    said = faults("", postfix={"mynetworks": f"127.0.0.0/8 {item}"})
    assert len(said) == 1
    assert said[0].startswith(f'main.cf: mynetworks: "{item}" ')
    assert said[0].endswith("write [trust] trusted_networks, which goes before it")


def test_main_cf_overrides_the_sections_without_a_name() -> None:
    """config.md: codomain_* of main.cf go before the INI; other names of ours are no keys."""
    postfix = {
        "codomain_policyd_deadline": "2s",
        "codomain_trust_trusted_networks": "192.0.2.0/24",
        "codomain_policy_timeout": "5s",
        "codomain_check": "check_policy_service x",
    }
    config = parse("[policyd]\ndeadline = 9s\nmax_connections = 7\n", postfix=postfix)
    assert (config.policyd.deadline, config.policyd.max_connections) == (2.0, 7)
    assert config.trust.trusted_networks == (IPv4Network("192.0.2.0/24"),)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("soon", '"soon" is no duration; write a number and its unit, as 5s, 10m or 24h'),
        ("5s\0", "the control character U+0000 in the value; remove it"),
    ],
)
def test_a_bad_override_names_the_parameter(value: str, fault: str) -> None:
    """main.cf has no line for us: postconf does not tell it."""
    said = faults("", postfix={"codomain_policyd_deadline": value})
    assert said == [f"main.cf: codomain_policyd_deadline: {fault}"]


def test_a_bad_delimiter_in_main_cf_is_a_fault() -> None:
    """The domain's own key takes its place, as the line says by its form."""
    said = faults("[domain example.com]\n", postfix={"recipient_delimiter": "x"})
    assert said == [
        'main.cf: recipient_delimiter: "x" cannot part an address; write + or - or nothing'
    ]


def test_what_postfix_relays_for_is_not_foreign() -> None:
    """relay_domains as a default: relay where a connector covers it, else as Postfix would."""
    postfix = {
        "relay_domains": "example.com, example.net other.example hash:/etc/relay socketmap:x:y",
        "mydestination": "other.example",
        "parent_domain_matches_subdomains": "debug_peer_list,relay_domains",
    }
    config = parse("[domain example.com]\ntype = authoritative\n", postfix=postfix)
    assert [d.name for d in config.domains] == ["example.com", "example.net"]
    added = config.domains[1]
    assert (added.type, added.fallback, added.subdomains) == ("relay", "mx", True)
    assert [w for w in config.warnings if w.startswith("main.cf")] == [
        (
            'main.cf: relay_domains: "hash:/etc/relay" cannot be read, and its domains are foreign'
            " to us; write a [domain] for each"
        )
    ]


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("[codomain]\npostfix = off\n", "off"),
        ("[codomain]\npostfix = /etc/postfix-out\n[nonsense]\n", "/etc/postfix-out"),
        ("[codomain]\npostfix = nonsense\n", "auto"),
        ("", "auto"),
    ],
)
def test_where_postfix_is_can_be_asked_before_loading(
    tmp_path: Path, text: str, setting: str
) -> None:
    """It never raises: load() says the faults afterwards."""
    path = tmp_path / "codomain.ini"
    path.write_text(text)
    assert postfix_setting([path, tmp_path / "missing.ini"]) == setting


def test_the_parameters_of_main_cf_are_named() -> None:
    """What a reader of main.cf asks for: the defaults' sources, and an override for each key."""
    names = postfix_parameters()
    assert {"mynetworks", "codomain_policyd_deadline", "codomain_codomain_mode"} <= set(names)
    assert not [name for name in names if name.startswith("codomain_domain")]


def test_a_configuration_cannot_be_changed() -> None:
    """architecture.md: a runtime is swapped whole; nothing is changed in place."""
    config = parse("[replies]\nunknown.code = 550\n")
    with pytest.raises(AttributeError):
        config.codomain.mode = "shadow"  # type: ignore[misc]
    with pytest.raises(TypeError):
        config.replies["fault"] = ReplyOverride()  # type: ignore[index]
    assert isinstance(config, Config)


def test_files_of_other_systems_are_read(tmp_path: Path) -> None:
    """A byte order mark and CRLF line ends are what some editors write; neither is a fault."""
    path = tmp_path / "codomain.ini"
    path.write_bytes(b"\xef\xbb\xbf[policyd]\r\ndeadline = 2s\r\n\r\n; end\r\n")
    assert load([path]).policyd.deadline == 2.0
