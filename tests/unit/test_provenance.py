"""Where a value comes from: the INI, main.cf, or a default."""

from __future__ import annotations

import pytest

from codomain.config import parse
from codomain.errors import ConfigError
from codomain.settings.provenance import provenance
from codomain.settings.source import parameter_of

INI = """\
[codomain]
log_level = debug
[domain example.com]
type = shared
[connector unix-2]
smart_hosts = [192.0.2.1]
cost = 5
"""


def sources(postfix: dict[str, str]) -> dict[tuple[str, str, str], tuple[object, str]]:
    """Return value and source by section, name and key."""
    found = provenance(parse(INI, postfix=postfix))
    return {(one.kind, one.name, one.key): (one.value, one.source) for one in found}


def test_each_value_has_its_source() -> None:
    """Issue 8: shows where each value comes from."""
    found = sources({})
    assert found["codomain", "", "log_level"] == ("debug", "codomain.ini:2")
    assert found["codomain", "", "log_format"] == ("logfmt", "default")
    assert found["connector", "unix-2", "cost"] == (5, "codomain.ini:7")
    assert found["domain", "example.com", "subdomains"] == (False, "default")


def test_main_cf_goes_before_the_ini() -> None:
    """Issue 8: precedence INI < main.cf, also for sections that have a name."""
    found = sources(
        {
            "codomain_codomain_log_level": "error",
            "codomain_connector_unix_2_cost": "30",
            "codomain_domain_example_com_subdomains": "yes",
        }
    )
    assert found["codomain", "", "log_level"] == ("error", "main.cf: codomain_codomain_log_level")
    cost = (30, "main.cf: codomain_connector_unix_2_cost")
    assert found["connector", "unix-2", "cost"] == cost
    assert found["domain", "example.com", "subdomains"][0] is True


def test_postfix_own_parameters_are_sources_of_defaults() -> None:
    """codomain.ini(5): mynetworks, myhostname and recipient_delimiter stand in."""
    found = sources({"myhostname": "gw.test", "recipient_delimiter": "-", "mynetworks": "10.0.0.1"})
    assert found["codomain", "", "hostname"] == ("gw.test", "main.cf: myhostname")
    place = "main.cf: recipient_delimiter"
    assert found["domain", "example.com", "recipient_delimiter"] == ("-", place)
    assert found["trust", "", "trusted_networks"][1] == "main.cf: mynetworks"


def test_a_parameter_of_two_sections_is_a_fault() -> None:
    """a-b and a_b have one parameter: which is meant cannot be known."""
    ini = "[connector a-b]\nsmart_hosts = x\n[connector a_b]\nsmart_hosts = y\n"
    with pytest.raises(ConfigError, match=r"may mean \[connector a-b\] and \[connector a_b\]"):
        parse(ini, postfix={"codomain_connector_a_b_cost": "3"})


def test_a_bad_value_of_main_cf_names_its_parameter() -> None:
    """The fault is mended in main.cf, so it names the parameter there."""
    with pytest.raises(ConfigError, match=r"main\.cf: codomain_connector_unix_2_cost: "):
        parse(INI, postfix={"codomain_connector_unix_2_cost": "dear"})


def test_a_parameter_is_a_macro_that_postfix_can_name() -> None:
    """postconf(5): $name holds letters, digits and _ alone."""
    assert (
        parameter_of("domain", "sub.example.com", "mode") == "codomain_domain_sub_example_com_mode"
    )
    assert parameter_of("cache", "", "size") == "codomain_cache_size"
