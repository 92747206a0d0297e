"""The lines of main.cf: which ones, for which configuration (the facts of postconf(5))."""

from __future__ import annotations

import pytest

from codomain.config import Config, Endpoint, parse
from codomain.errors import ConfigError
from codomain_cli.mainlines import reach, settings

HOUSE = """\
[codomain]
postmaster = ann@corp.local
[domain corp.local]
type = authoritative
deliver_to = exchange
[domain example.com]
type = shared
deliver_to = exchange
[domain unix.example.net]
type = relay
[connector exchange]
smart_hosts = [192.0.2.20]
[connector unix]
smart_hosts = [192.0.2.10], [192.0.2.11]:26
address_spaces = example.com, unix.example.net
allow_relay = yes
"""

HERE = "[domain here.test]\ntype = authoritative\nrecipient_delimiter = -\n"
SECOND = "[connector late]\nsmart_hosts = [192.0.2.30]\naddress_spaces = example.com\ncost = 20\n"


def house(more: str = "") -> Config:
    """Return the configuration of a house, and more."""
    return parse(HOUSE + more)


def lines(config: Config, **options: str) -> dict[str, str]:
    """Return the parameters by name; none stands twice."""
    found = settings(config, **options)  # type: ignore[arg-type]
    by_name = {setting.name: setting.value for setting in found}
    assert len(by_name) == len(found)
    return by_name


def test_the_maps_are_asked_where_they_listen() -> None:
    """A socket below the queue directory is written relative to it: smtpd is chrooted there."""
    found = lines(house())
    assert found["codomain_map"] == "socketmap:unix:codomain/map"
    assert found["relay_domains"] == "${codomain_map}:domain"
    assert found["relay_recipient_maps"] == "${codomain_map}:recipient"
    assert found["virtual_alias_maps"] == "${codomain_map}:alias"
    assert found["transport_maps"] == "${codomain_map}:transport"


def test_empty_values_keep_postfix_from_asking_in_vain() -> None:
    """Their defaults refer to the maps (mta.md: 13 of 62 look-ups)."""
    found = lines(house())
    assert found["virtual_alias_domains"] == ""
    assert found["fast_flush_domains"] == ""


def test_the_check_stands_before_every_permit() -> None:
    """After a permit it would not be asked; with it first our replies show (mta.md)."""
    found = lines(house())
    assert found["smtpd_relay_restrictions"].split(", ") == [
        "codomain_check",
        "permit_mynetworks",
        "permit_sasl_authenticated",
        "reject_unauth_destination",
    ]
    assert found["smtpd_relay_before_recipient_restrictions"] == "yes"
    assert found["smtpd_restriction_classes"] == "codomain_check"
    assert found["codomain_check"] == "check_policy_service $codomain_policy"
    assert "smtpd_recipient_restrictions" not in found


def test_default_action_stands_in_braces_of_its_own() -> None:
    """Without the inner braces smtpd dies with "malformed option" (mta.md)."""
    assert lines(house())["codomain_policy"] == (
        "{ unix:codomain/policy, timeout=$codomain_policy_timeout,"
        " { default_action=451 4.3.5 Recipient check unavailable } }"
    )


@pytest.mark.parametrize(
    ("deadline", "timeout"), [("4s", "10s"), ("1s", "10s"), ("5100ms", "11s"), ("50s", "100s")]
)
def test_postfix_waits_twice_the_deadline(deadline: str, timeout: str) -> None:
    """At least twice, and never less than 10 s: else 451 4.3.5 comes from Postfix itself."""
    config = house(f"[policyd]\ndeadline = {deadline}\n")
    assert lines(config)["codomain_policy_timeout"] == timeout


def test_mailboxes_of_this_host_are_a_class_of_their_own() -> None:
    """virtual_mailbox_* only where a domain has no deliver_to and is no relay."""
    assert not [name for name in lines(house()) if name.startswith("virtual_mailbox")]
    assert "virtual_transport" not in lines(house())
    found = lines(house(HERE), mailboxes="lmtp:inet:127.0.0.1:24")
    assert found["virtual_mailbox_domains"] == "${codomain_map}:mailbox-domain"
    assert found["virtual_mailbox_maps"] == "${codomain_map}:recipient"
    assert found["virtual_transport"] == "lmtp:inet:127.0.0.1:24"


def test_the_delimiters_of_all_domains_are_postfix_s() -> None:
    """recipient_delimiter holds each character that parts an extension anywhere."""
    assert lines(house(HERE))["recipient_delimiter"] == "+-"
    none = parse("[domain a.test]\ntype = authoritative\nrecipient_delimiter =\n")
    assert "recipient_delimiter" not in lines(none)


def test_error_limits_are_raised_only_where_filter_is_possible() -> None:
    """Each 452 counts as an error; a second connector for a domain makes FILTER possible."""
    assert "smtpd_hard_error_limit" not in lines(house())
    found = lines(house(SECOND))
    assert found["smtpd_hard_error_limit"] == "1001"
    assert found["smtpd_soft_error_limit"] == "1001"


def test_a_wildcard_and_its_exception_are_two_connectors_for_one_domain() -> None:
    """*.example.net covers unix.example.net as well: the second way of a chain."""
    wild = "[connector w]\nsmart_hosts = [192.0.2.40]\naddress_spaces = *.example.net\n"
    assert lines(house(wild))["smtpd_hard_error_limit"] == "1001"


def test_with_filter_the_policy_goes_last() -> None:
    """FILTER outlives the refusal of a recipient by a later restriction (decisions.md)."""
    found = lines(house("[policyd]\nredirect = filter\n"))
    assert found["smtpd_recipient_restrictions"] == "codomain_check"
    assert "codomain_check" not in found["smtpd_relay_restrictions"]
    assert found["smtpd_hard_error_limit"] == "1001"


def test_with_filter_no_map_is_asked() -> None:
    """`redirect = filter` is for sites without maps: domains and their next hops are listed."""
    found = lines(house("[policyd]\nredirect = filter\n" + HERE))
    assert "codomain_map" not in found
    assert found["relay_domains"] == "corp.local, example.com, unix.example.net"
    assert found["virtual_mailbox_domains"] == "here.test"
    # REDIRECT names no next hop: the target's domain must have one (access(5)).
    assert found["transport_maps"] == (
        "inline:{ { corp.local = smtp:[192.0.2.20] } { example.com = smtp:[192.0.2.20] }"
        " { unix.example.net = smtp:[192.0.2.10], [192.0.2.11]:26 } }"
    )


def test_with_filter_subdomains_have_the_same_next_hop() -> None:
    """transport(5): .domain stands for all below it."""
    wide = (
        "[policyd]\nredirect = filter\n"
        "[domain w.test]\ntype = relay\nsubdomains = yes\n"
        "[connector w]\nsmart_hosts = [192.0.2.40]\naddress_spaces = w.test, *.w.test\n"
    )
    value = lines(parse(wide))["transport_maps"]
    assert value == "inline:{ { w.test = smtp:[192.0.2.40] } { .w.test = smtp:[192.0.2.40] } }"


def test_in_shadow_nothing_is_routed() -> None:
    """Shadow mode works through the policy door alone: the site's routing stays its own."""
    shadow = "[codomain]\nmode = shadow\n[policyd]\nsocketmap_listen =\n[domain a.test]\n"
    found = lines(parse(shadow))
    assert not {"codomain_map", "relay_domains", "transport_maps"} & set(found)
    assert found["smtpd_relay_restrictions"].startswith("codomain_check, ")


def test_without_a_policy_server_the_access_map_checks() -> None:
    """A site of maps alone asks `access`, which gives the reply (mta.md, socketmap)."""
    found = lines(house("[policyd]\nlisten =\n"))
    assert found["codomain_check"] == "check_recipient_access ${codomain_map}:access"
    assert "codomain_policy" not in found


def test_a_codomain_that_listens_nowhere_is_a_fault() -> None:
    """Lines that ask nobody would let everything through."""
    with pytest.raises(ConfigError, match=r"\[policyd\] listen"):
        settings(house("[policyd]\nlisten =\nsocketmap_listen =\n"))


def unix(path: str) -> Endpoint:
    """Return a listener on a socket."""
    return Endpoint("unix", path=path)


def inet(host: str, port: int = 9000) -> Endpoint:
    """Return a listener on a port."""
    return Endpoint("inet", host=host, port=port)


@pytest.mark.parametrize(
    ("endpoints", "written"),
    [
        ([unix("/q/codomain/policy")], "unix:codomain/policy"),
        ([unix("/run/codomain/policy")], "unix:/run/codomain/policy"),
        ([unix("/queue/policy")], "unix:/queue/policy"),
        ([inet("127.0.0.1")], "inet:127.0.0.1:9000"),
        ([inet("0.0.0.0")], "inet:127.0.0.1:9000"),
        ([inet("")], "inet:127.0.0.1:9000"),
        ([inet("::1")], "inet:[::1]:9000"),
        ([inet("::")], "inet:[::1]:9000"),
        ([inet("gw.test")], "inet:gw.test:9000"),
        # A chrooted smtpd reaches the queue directory and TCP, but no other folder.
        ([unix("/run/p"), inet("127.0.0.1")], "inet:127.0.0.1:9000"),
        ([inet("127.0.0.1"), unix("/q/p")], "unix:p"),
        ([], ""),
    ],
)
def test_postfix_asks_where_it_can(endpoints: list[Endpoint], written: str) -> None:
    """Of several listeners the one that a chrooted smtpd reaches; wildcards are this host."""
    assert reach(tuple(endpoints), "/q") == written


def test_a_port_that_is_any_port_cannot_be_written_down() -> None:
    """Port 0 is free to be any; Postfix could not be told."""
    with pytest.raises(ConfigError, match="any free port"):
        reach((inet("127.0.0.1", 0),), "/q")


def test_each_group_of_lines_says_why() -> None:
    """A postmaster reads what a line is for; only followers of a line go without."""
    for config in (house(HERE), house("[policyd]\nredirect = filter\n")):
        found = settings(config)
        assert found[0].why
        assert sum(bool(setting.why) for setting in found) >= len(found) / 2


MILTER = "[milter]\nlisten = unix:/var/spool/postfix/codomain/milter\n"


def judged(text: str) -> dict[str, str]:
    """Return the parameters where the milter judges, by name."""
    return {setting.name: setting.value for setting in settings(house(text), milter=True)}


def test_the_milter_takes_the_place_of_the_check() -> None:
    """Asked with tempfail; Postfix says who may relay, and the policy server is not asked."""
    found = judged(MILTER)
    assert found["smtpd_milters"] == "unix:codomain/milter"
    assert found["milter_default_action"] == "tempfail"
    assert found["milter_command_timeout"] == "10s"
    assert found["smtpd_relay_restrictions"].endswith(", reject_unauth_destination")
    assert not [name for name, value in found.items() if "codomain_check" in name + value]


def test_with_the_milter_the_maps_route_and_do_nothing_else() -> None:
    """An alias map would rewrite twice; a recipient map would refuse before the milter."""
    found = judged(MILTER + HERE)
    assert found["transport_maps"] == "${codomain_map}:transport"
    assert found["relay_domains"] == "${codomain_map}:domain"
    assert found["virtual_mailbox_domains"] == "${codomain_map}:mailbox-domain"
    for name in ("virtual_alias_maps", "relay_recipient_maps", "virtual_mailbox_maps"):
        assert found[name] == ""


def test_the_milter_s_time_out_is_twice_its_deadline() -> None:
    """As with the policy server: with both alike the client would wait in vain."""
    assert judged(MILTER + "deadline = 9s\n")["milter_command_timeout"] == "18s"


def test_in_shadow_the_milter_routes_nothing() -> None:
    """Without the maps the site's own routing stays."""
    found = judged(MILTER + "[policyd]\nsocketmap_listen =\n")
    assert "transport_maps" not in found
    assert found["smtpd_milters"] == "unix:codomain/milter"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", r"\[milter\] listen: it is empty"),
        (MILTER + "[policyd]\nredirect = filter\n", r"\[policyd\] redirect: filter"),
    ],
)
def test_what_the_milter_cannot_do_is_a_fault(text: str, fault: str) -> None:
    """A closed door asks nobody, and FILTER is for the policy server to say."""
    with pytest.raises(ConfigError, match=fault):
        judged(text)
