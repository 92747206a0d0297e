"""Recipient policies in the INI: what is refused, what is warned of, and what holds."""

from __future__ import annotations

import pytest

from codomain.config import parse
from codomain.errors import ConfigError
from codomain.settings.policies import ranked, templates_of, untouched_spaces

HEAD = """\
[codomain]
postmaster = p@corp.local
[domain corp.local]
type = authoritative
[domain example.com]
[domain unix.example.net]
type = relay
[connector unix]
smart_hosts = [192.0.2.10]
address_spaces = example.com, unix.example.net
allow_relay = yes
verify = callout
verify_control = known@example.com
[directory ad]
servers = ldapi:///
"""
REST = "[policy rest]\ndefault = yes\naddress_spaces = corp.local\n"


def faults(text: str) -> list[str]:
    """Return what is wrong with policies, without the place of the section."""
    with pytest.raises(ConfigError) as caught:
        parse(HEAD + text)
    return [fault.partition(": ")[2] for fault in caught.value.faults]


def sales(*lines: str) -> str:
    """Return a policy beside the default one."""
    return "\n".join([f"{REST}[policy sales]", "filter = (title=sales)", *lines]) + "\n"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        # the default policy
        (
            "[policy sales]\naddress_spaces = example.com\nfilter = (cn=*)\n",
            (
                "[policy sales]: no policy is for the entries of no other one; write"
                " default = yes in"
                " the last one"
            ),
        ),
        (
            f"{REST}[policy more]\ndefault = yes\naddress_spaces = corp.local\n",
            '[policy more] default: "rest" is the default policy already; write no',
        ),
        (
            f"{REST}priority = 5\n[policy sales]\npriority = 4\naddress_spaces = example.com\n",
            (
                '[policy rest] priority: the default policy comes last, and "sales" has a'
                " lower one;"
                " write 0"
            ),
        ),
        (
            "[policy rest]\ndefault = yes\naddress_spaces = example.com, corp.local\n",
            (
                "[policy rest] primary: the primary domain of the default policy is"
                " authoritative, and"
                ' "example.com" is shared; write one that is, such as a private one'
            ),
        ),
        (
            f"{REST}filter = (cn=*)\n",
            "[policy rest] filter: the default policy is for all that is left; remove it",
        ),
        # the flag is the domain's
        (
            sales("address_spaces = corp.local, example.com", "authoritative = example.com"),
            (
                '[policy sales] authoritative: it says that "corp.local" is not authoritative, and'
                " [domain corp.local] says type = authoritative; what the domain says holds, so say"
                " the same"
            ),
        ),
        (
            sales("address_spaces = example.com", "authoritative = example.com"),
            (
                '[policy sales] authoritative: it says that "example.com" is authoritative, and'
                " [domain example.com] says type = shared; what the domain says holds, so"
                " say the same"
            ),
        ),
        # spaces
        (sales(), "[policy sales] address_spaces: it gives no addresses; write a domain of yours"),
        (
            sales("address_spaces = foreign.test"),
            (
                '[policy sales] address_spaces: "foreign.test" is no domain of ours, and'
                " mail for it"
                " would not come here; write a [domain foreign.test]"
            ),
        ),
        (
            sales("address_spaces = example.com", "primary = exmaple.com"),
            (
                '[policy sales] primary: "exmaple.com" is not in address_spaces; the nearest is'
                ' "example.com"'
            ),
        ),
        (
            sales("address_spaces = corp.local, example.com", "enabled = example.com"),
            '[policy sales] enabled: the primary domain "corp.local" is not enabled; add it',
        ),
        (
            sales("address_spaces = example.com", "enabled = corp.local, example.com"),
            '[policy sales] enabled: "corp.local" is not in address_spaces; add it there',
        ),
        (
            sales("address_spaces = example.com", "templates = %m@corp.local"),
            '[policy sales] templates: "corp.local" is not in address_spaces; add it there',
        ),
        # values
        (
            sales("address_spaces = *.example.com"),
            (
                '[policy sales] address_spaces: "*.example.com" covers many; write the domain, and'
                " subdomains = yes"
            ),
        ),
        (
            sales("address_spaces = example.com", "templates = %q@example.com"),
            (
                '[policy sales] templates: "%q@example.com": "%q" means nothing; write %m,'
                " %g, %s, %d,"
                " %i, %1g, %rxy or %%"
            ),
        ),
        (
            sales("address_spaces = example.com", "transliterate = u=ue"),
            (
                '[policy sales] transliterate: "u=ue" is no letter and what stands for it;'
                " write ü=ue,"
                " or *"
            ),
        ),
        (
            f"{REST}[policy sales]\naddress_spaces = example.com\nfilter = (mail=%s)\n",
            "[policy sales] filter: %s stands for an address, and there is none; remove it",
        ),
        (
            f"{REST}[policy sales]\naddress_spaces = example.com\nfilter = (title=sales\n",
            (
                '[policy sales] filter: "(title=sales" is no filter; write one such as (mail=%s) or'
                " (department=sales)"
            ),
        ),
    ],
)
def test_a_policy_that_cannot_be_meant_is_a_fault(text: str, fault: str) -> None:
    """Issue, part 2: one default of lowest priority with an authoritative primary, and so on."""
    assert fault in faults(text)


def test_a_fault_names_the_line_of_the_item() -> None:
    """The place is where it is mended."""
    with pytest.raises(ConfigError) as caught:
        parse(HEAD + sales("address_spaces = example.com", "templates =", "  %m@corp.local"))
    line = HEAD.count("\n") + 3 + 5
    assert caught.value.faults[0].startswith(f"codomain.ini:{line}: [policy sales] templates:")


def test_a_relay_domain_in_a_policy_is_warned_of() -> None:
    """No directory is asked there: whoever is stamped gets no mail by it."""
    config = parse(HEAD + sales("address_spaces = unix.example.net"))
    assert any(
        '[policy sales] address_spaces: "unix.example.net" is a relay domain' in line
        for line in config.warnings
    )
    null = parse(HEAD + f"{REST}[policy null]\naddress_spaces = unix.example.net\n")
    assert null.warnings == ()


def test_policies_without_active_directory_are_warned_of() -> None:
    """Only entries with proxyAddresses are stamped."""
    config = parse(HEAD + "schema = inetorgperson\n" + REST)
    assert any("no directory has schema = active-directory" in line for line in config.warnings)


def test_the_order_is_by_priority_and_the_default_is_last() -> None:
    """Of equal ones the first; whatever the order in the file."""
    config = parse(
        HEAD + REST + "".join(
            f"[policy {name}]\npriority = {priority}\naddress_spaces = example.com\n"
            for name, priority in (("low", 1), ("high", 9), ("low2", 1), ("none", 0))
        )
    )  # fmt: skip
    assert [policy.name for policy in ranked(config.policies)] == [
        "high", "low", "low2", "none", "rest",
    ]  # fmt: skip


def test_the_primary_template_comes_first_and_each_space_has_one() -> None:
    """A domain without a template has %m; one that is not enabled has none in use."""
    config = parse(
        HEAD + sales(
            "address_spaces = corp.local, example.com, unix.example.net",
            "primary = example.com",
            "templates = %m.x@corp.local, %g.%s@example.com, %m@example.com",
            "enabled = corp.local, example.com",
        )
    )  # fmt: skip
    assert [template.text for template in templates_of(config.policies[1])] == [
        "%g.%s@example.com", "%m@example.com", "%m.x@corp.local",
    ]  # fmt: skip


def test_a_space_is_untouched_while_only_null_filters_name_it() -> None:
    """A policy without a filter is for no entry; the default one needs none."""
    null = f"{REST}[policy null]\naddress_spaces = example.com\n"
    assert untouched_spaces(parse(HEAD + null).policies) == {"example.com"}
    both = null + "[policy more]\nfilter = (cn=*)\naddress_spaces = example.com\n"
    assert untouched_spaces(parse(HEAD + both).policies) == set()
