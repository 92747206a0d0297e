"""Rules of ``codomain explain``: every step of a decision, and what each door answers to it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from codomain.config import parse
from codomain.directory.filters import encode_filter
from codomain_cli import origins, plain
from codomain_cli.asking import Asking, question_of
from codomain_cli.explain import explain_now
from codomain_cli.explainobject import as_object
from codomain_cli.explainview import rows
from codomain_cli.lookups import readable

if TYPE_CHECKING:
    from codomain.config import Config

STRANGER = "198.51.100.7"
DOCUMENT = Path(__file__).parents[2] / "docs" / "explain-json.md"

PEOPLE = """\
dn: cn=Ann,dc=example,dc=com
objectClass: user
cn: Ann
mailNickname: ann
proxyAddresses: SMTP:ann@example.com
proxyAddresses: smtp:a.smith@example.com

dn: cn=Bob,dc=example,dc=com
objectClass: contact
cn: Bob
mailNickname: bob
proxyAddresses: SMTP:bob@example.com
targetAddress: SMTP:bob@unix.example.net

dn: cn=John,dc=example,dc=com
objectClass: user
cn: John
mailNickname: john
proxyAddresses: SMTP:john@example.com
proxyAddresses: smtp:"john doe"@example.com
"""

INI = """\
[codomain]
postfix = off
hostname = mx.example.com
[policyd]
listen = unix:/tmp/policy
socketmap_listen = {maps}
[domain example.com]
type = shared
deliver_to = exchange
[domain corp.local]
type = authoritative
mode = {mode}
[domain unix.example.net]
type = relay
[connector exchange]
smart_hosts = [192.0.2.20]
[connector unix]
smart_hosts = [192.0.2.10]
address_spaces = example.com, unix.example.net
allow_relay = yes
[connector inner]
smart_hosts = [192.0.2.40]
address_spaces = example.com
cost = 5
[connector late]
smart_hosts = [192.0.2.30]:2525
address_spaces = example.com
allow_relay = yes
cost = 20
[directory people]
type = files
path = {path}
[context inside]
trusted = yes
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Give decisions.md's configuration, with a second and a closed way out."""
    return _config(tmp_path)


def _config(folder: Path, mode: str = "enforce") -> Config:
    people = folder / "people.ldif"
    people.write_text(PEOPLE)
    maps = "" if mode == "shadow" else "unix:/tmp/map"
    return parse(INI.format(path=people, mode=mode, maps=maps))


def explained(config: Config, address: str, client: str = STRANGER, **more: str) -> dict[str, Any]:
    """Return the object of an explanation, through JSON and back."""
    question = question_of(Asking(address, client, **more))  # type: ignore[arg-type]
    made = as_object(explain_now(config, question))
    loaded: dict[str, Any] = json.loads(json.dumps(made))
    return loaded


def maps_of(found: dict[str, Any]) -> dict[tuple[str, str], str]:
    """Return the maps' answers by name and key."""
    return {(one["map"], one["key"]): one["answer"] for one in found["doors"]["maps"]["answers"]}


def shown(found: dict[str, Any]) -> str:
    """Return what a terminal shows."""
    return "\n".join(plain.table(rows(found)))


def test_a_mailbox_is_explained_from_address_to_doors(config: Config) -> None:
    """decisions.md's example: ann is delivered through exchange; every door lets her pass."""
    found = explained(config, "A.Smith+list@EXAMPLE.com")
    assert found["recipient"] == "A.Smith+list@example.com"
    assert found["address"] == {
        "local": "A.Smith+list",
        "domain": "example.com",
        "written": "EXAMPLE.com",
        "key": "a.smith+list@example.com",
    }
    assert found["domain"] == {
        "name": "example.com",
        "type": "shared",
        "directories": ["people"],
        "deliver_to": "exchange",
    }
    lookups = [(one["key"], one["source"], one["state"]) for one in found["lookups"]]
    assert lookups == [
        ("a.smith+list@example.com", "files", "absent"),
        ("a.smith@example.com", "files", "found"),
    ]
    (entry,) = found["lookups"][1]["entries"]
    assert entry["kind"] == "mailbox"
    assert entry["dn"] == "cn=Ann,dc=example,dc=com"
    assert sorted(entry["addresses"]) == ["a.smith@example.com", "ann@example.com"]
    assert found["verdict"] == {
        "kind": "deliver",
        "reason": None,
        "summary": "delivered to A.Smith+list@example.com, through exchange",
        "address": "A.Smith+list@example.com",
        "connector": "exchange",
        "next_hop": "smtp:[192.0.2.20]",
        "entry": "cn=Ann,dc=example,dc=com",
        "detail": None,
    }
    assert found["doors"]["policy"] == {"open": True, "answer": "action=DUNNO"}
    assert found["doors"]["milter"] == {"open": False, "answer": "CONTINUE", "changes": []}
    answers = maps_of(found)
    key = "A.Smith+list@example.com"
    assert answers["domain", "example.com"] == "OK relay"
    assert answers["mailbox-domain", "example.com"] == "NOTFOUND"
    assert answers["recipient", key] == "OK accepted"
    assert answers["alias", key] == "NOTFOUND"
    assert answers["transport", key] == "OK smtp:[192.0.2.20]"
    assert answers["access", key] == "NOTFOUND"
    assert answers["route", key] == "OK esmtp:[192.0.2.20]"


def test_a_contact_is_explained_to_its_target_and_the_targets_way(config: Config) -> None:
    """decisions.md's example: bob goes to bob@unix.example.net via [192.0.2.10]."""
    found = explained(config, "bob@example.com")
    assert found["verdict"]["kind"] == "redirect"
    assert found["verdict"]["address"] == "bob@unix.example.net"
    assert found["doors"]["milter"]["changes"] == [
        "addrcpt <bob@unix.example.net>",
        "delrcpt <bob@example.com>",
    ]
    answers = maps_of(found)
    assert answers["alias", "bob@example.com"] == "OK bob@unix.example.net"
    assert answers["transport", "bob@unix.example.net"] == "OK smtp:[192.0.2.10]"


def test_a_refusal_is_explained_letter_for_letter(config: Config) -> None:
    """550 5.1.1 at the policy door, the milter and access; error: in the transport map."""
    found = explained(config, "nobody@corp.local")
    assert (found["verdict"]["kind"], found["verdict"]["reason"]) == ("refuse", "unknown")
    assert found["doors"]["policy"]["answer"] == "action=550 5.1.1 User unknown"
    told = "550 5.1.1 Recipient address rejected: User unknown"
    assert found["doors"]["milter"]["answer"] == told
    answers = maps_of(found)
    assert answers["recipient", "nobody@corp.local"] == "NOTFOUND"
    assert answers["transport", "nobody@corp.local"] == "OK error:5.1.1 User unknown"
    assert answers["access", "nobody@corp.local"] == "OK 550 5.1.1 User unknown"


def test_each_connector_says_why_it_is_the_way_out_or_not(config: Config) -> None:
    """A stranger: the cheapest does not relay, the next is taken, the last not needed."""
    found = explained(config, "nobody@example.com")
    ways = {way["name"]: (way["chosen"], way["why"]) for way in found["connectors"]}
    assert ways == {
        "inner": (False, "takes no stranger's mail (allow_relay)"),
        "unix": (True, "the way out"),
        "late": (False, "not needed: unix goes before it"),
        "exchange": (False, "the way to the mailboxes of the domain"),
    }
    # The transport map, which knows no client, names another way: the door leads it by FILTER.
    assert found["doors"]["policy"]["answer"] == "action=FILTER smtp:[192.0.2.10]"


def test_each_connector_says_why_for_mail_from_a_peer(config: Config) -> None:
    """A chain moves forward: neither the client's own system nor one before it."""
    found = explained(config, "nobody@example.com", "192.0.2.10")
    ways = {way["name"]: way["why"] for way in found["connectors"]}
    assert ways["inner"] == "it stands before the one that sent it"
    assert ways["unix"] == "the client belongs to it"
    assert ways["late"] == "the way out"
    assert found["client"]["peer_of"] == ["unix"]


def test_maps_are_shown_with_both_forms_of_a_key(config: Config) -> None:
    """Postfix asks with the quoted form, and with the unquoted one where they differ."""
    found = explained(config, "john doe@example.com")
    answers = maps_of(found)
    assert answers["recipient", '"john doe"@example.com'] == "OK accepted"
    assert answers["recipient", "john doe@example.com"] == "OK accepted"
    assert '("john doe"@example.com and john doe@example.com)' in shown(found)


def test_a_foreign_address_is_explained(config: Config) -> None:
    """Not ours: a stranger is refused, a trusted client passes; maps find nothing."""
    found = explained(config, "someone@elsewhere.test")
    assert found["domain"] is None
    assert found["verdict"]["reason"] == "relaying"
    assert found["doors"]["policy"]["answer"] == "action=554 5.7.1 Relay access denied"
    assert maps_of(found)["recipient", "someone@elsewhere.test"] == "NOTFOUND"
    inside = explained(config, "someone@elsewhere.test", context="inside")
    assert inside["client"]["trusted"] is True
    assert inside["verdict"]["kind"] == "pass"


def test_a_key_without_a_domain_is_in_no_map(config: Config) -> None:
    """decisions.md: NOTFOUND in every map but the two of domains."""
    found = explained(config, "postmaster")
    assert found["doors"]["policy"]["answer"] == "action=DUNNO"
    assert set(maps_of(found).values()) == {"NOTFOUND"}


def test_shadow_mode_is_explained_with_what_it_keeps_back(tmp_path: Path) -> None:
    """The doors let the mail through; the verdict is the one that would hold."""
    found = explained(_config(tmp_path, "shadow"), "nobody@corp.local")
    assert found["mode"] == "shadow"
    assert found["verdict"]["reason"] == "unknown"
    assert found["doors"]["policy"]["answer"] == "action=DUNNO"
    assert found["doors"]["milter"]["answer"] == "CONTINUE"
    assert found["doors"]["maps"]["open"] is False
    assert "let through, because shadow mode holds; enforced it would be refused" in shown(found)


def test_what_others_wrote_is_shown_with_its_control_characters_escaped(config: Config) -> None:
    """ESC moves the cursor, U+202E turns the direction; neither reaches the terminal."""
    found = explained(config, 'a\x1b[2J\u202eb\n"c@corp.local')
    text = shown(found)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert 'a\\x1b[2J\\u202eb\\n"c@corp.local' in text
    assert "\x1b" not in json.dumps(found)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("plain text", "plain text"),
        ("straße", "straße"),
        ("\t\r\n", "\\t\\r\\n"),
        ("\x00\x07\x7f\x9b", "\\x00\\x07\\x7f\\x9b"),  # 9b: CSI of ECMA-48 in one octet
        ("\u200b\u2028\u2066\ufeff", "\\u200b\\u2028\\u2066\\ufeff"),
        ("\udcff", "\\udcff"),  # an octet that is no UTF-8
        ("\U000e0041", "\\U000e0041"),  # a tag: invisible
    ],
)
def test_only_plain_characters_are_printed(raw: str, text: str) -> None:
    """Unicode's Cc, Cf, Cs, Zl and Zp are escaped."""
    assert plain.printable(raw) == text


def test_long_rows_are_folded_into_their_column() -> None:
    """A terminal's width holds; what is piped is not folded."""
    row = ("label", "one two three four five six")
    assert list(plain.table([row], 27)) == ["label  one two three four", "       five six"]
    assert list(plain.table([row])) == ["label  one two three four five six"]


def _keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {key for inner in value.values() for key in _keys(inner)}
    if isinstance(value, list):
        return {key for inner in value for key in _keys(inner)}
    return set()


def test_the_json_has_the_keys_that_its_document_names(config: Config) -> None:
    """docs/explain-json.md: version 1; a key is only ever added, and stands there first."""
    found = explained(config, "nobody@example.com")
    assert found["version"] == 1
    assert set(found) == {
        "version",
        "live",
        "generation",
        "recipient",
        "address",
        "client",
        "domain",
        "mode",
        "steps",
        "lookups",
        "indexes",
        "connectors",
        "callouts",
        "verdict",
        "doors",
    }
    documented = set(re.findall(r"`([a-z_]+)`", DOCUMENT.read_text(encoding="utf-8")))
    used = _keys(found) | _keys(explained(config, "bob@example.com"))
    used |= _keys(origins.as_object(config))
    assert used <= documented, used - documented


def test_explain_imports_nothing_that_it_does_not_need(config: Config, tmp_path: Path) -> None:
    """300 ms cold: HTTP, LDAP, TLS, asyncio and terminals are left to those who need them."""
    ini = tmp_path / "codomain.ini"
    maps = "unix:/tmp/map"
    ini.write_text(INI.format(path=tmp_path / "people.ldif", mode="enforce", maps=maps))
    assert config.directories[0].type == "files"
    code = (
        "import sys\n"
        "from codomain_cli.main import run\n"
        "try:\n"
        f"    run(['explain', 'ann@example.com', '--config', {str(ini)!r}])\n"
        "except SystemExit as end:\n"
        "    status = end.code\n"
        "heavy = ['aiohttp', 'ldap3', 'rich', 'asyncio', 'ssl', 'prometheus_client', 'lmdb',"
        " 'redis', 'cachetools', 'Milter', 'milter', 'uvloop', 'aiosmtpd']\n"
        "print([name for name in heavy if name in sys.modules], status, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr.replace("<Exit.OK: 0>", "0") == "[] 0\n"
    assert "delivered to ann@example.com, through exchange" in done.stdout


def test_each_value_is_shown_with_its_origin(tmp_path: Path) -> None:
    """FILE:LINE, the parameter of main.cf, or default; values as one would write them."""
    people = tmp_path / "people.ldif"
    people.write_text(PEOPLE)
    ini = "[domain corp.local]\n[cache]\nfound_ttl = 90s\n[directory d]\ntype = files\npath = "
    config = parse(
        ini + str(people),
        postfix={"mynetworks": "192.0.2.0/24", "codomain_policyd_deadline": "2500ms"},
    )
    found = origins.as_object(config)
    values = {
        (one["section"], one["key"]): (one["value"], one["source"]) for one in found["settings"]
    }
    assert values["cache", "found_ttl"] == ("90s", "codomain.ini:3")
    assert values["cache", "stale_ttl"] == ("24h", "default")
    assert values["trust", "trusted_networks"] == ("192.0.2.0/24", "main.cf: mynetworks")
    deadline = values["policyd", "deadline"]
    assert deadline == ("2500ms", "main.cf: codomain_policyd_deadline")
    assert values["policyd", "socket_mode"] == ("0660", "default")
    assert values["directory d", "path"] == (str(people), "codomain.ini:6")
    assert values["directory d", "max_shrink"] == ("20%", "default")
    assert values["domain corp.local", "type"] == ("shared", "default")


@pytest.mark.parametrize(
    ("sent", "shown_as"),
    [
        ("(mail=\\61\\6e\\6e\\40x.test)", "(mail=ann@x.test)"),
        ("(mail=\\28\\29\\2a\\5c\\00)", "(mail=\\28\\29\\2a\\5c\\00)"),
        ("(mail=\\5c28\\C3\\9f)", "(mail=\\5c28\\C3\\9f)"),
    ],
)
def test_a_filter_is_shown_readable_and_stays_the_same(sent: str, shown_as: str) -> None:
    """RFC 4515 section 3: only NUL, parentheses, asterisk and backslash must be escaped."""
    assert readable(sent) == shown_as
    assert encode_filter(readable(sent)) == encode_filter(sent)
