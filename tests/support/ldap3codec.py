"""LDAP messages by ldap3 and pyasn1: another implementation, as a reference for ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ldap3.operation.search import compile_filter, parse_filter, search_operation
from ldap3.protocol import rfc4511
from ldap3.utils import asn1

if TYPE_CHECKING:
    from codomain.directory.messages import Control, Search

_encode = asn1.encode  # type: ignore[attr-defined]
"""pyasn1's, but TRUE is ff (RFC 4511 section 5.1); the stubs lack it."""

_SCOPES = {"base": "BASE", "onelevel": "LEVEL", "subtree": "SUBTREE"}


def search_request(search: Search) -> Any:  # noqa: ANN401 - ldap3's classes carry no types
    """Build a search request."""
    return search_operation(
        search.base,
        search.filter,
        _SCOPES[search.scope],
        "NEVER",
        list(search.attributes),
        search.size_limit,
        search.time_limit,
        types_only=False,
        auto_escape=False,
        auto_encode=False,
    )


def filter_octets(text: str) -> bytes:
    """Encode a filter."""
    parsed = parse_filter(text, None, False, False, None, False)  # noqa: FBT003 - ldap3's own
    data: bytes = _encode(compile_filter(parsed.elements[0]))
    return data


def entry(dn: str, attributes: dict[str, list[bytes]]) -> Any:  # noqa: ANN401
    """Build a search result entry."""
    result = rfc4511.SearchResultEntry()
    result["object"] = rfc4511.LDAPDN(dn)
    listed = rfc4511.PartialAttributeList()
    for number, (name, values) in enumerate(attributes.items()):
        one = rfc4511.PartialAttribute()
        one["type"] = rfc4511.AttributeDescription(name)
        vals = rfc4511.Vals()
        for at, value in enumerate(values):
            vals[at] = rfc4511.AttributeValue(value)
        one["vals"] = vals
        listed[number] = one
    result["attributes"] = listed
    return result


def result(kind: Any, code: int, text: str = "", uris: tuple[str, ...] = ()) -> Any:  # noqa: ANN401
    """Build an operation that is an LDAPResult."""
    done = kind()
    done["resultCode"] = rfc4511.ResultCode(code)
    done["matchedDN"] = rfc4511.LDAPDN("dc=x" if text else "")
    done["diagnosticMessage"] = rfc4511.LDAPString(text)
    if uris:
        referral = rfc4511.Referral()
        for number, uri in enumerate(uris):
            referral[number] = rfc4511.URI(uri)
        done["referral"] = referral
    return done


def message(identity: int, operation: str, value: Any, *controls: Control) -> bytes:  # noqa: ANN401
    """Encode a message around an operation."""
    whole = rfc4511.LDAPMessage()
    whole["messageID"] = rfc4511.MessageID(identity)
    whole["protocolOp"] = rfc4511.ProtocolOp().setComponentByName(operation, value)
    if controls:
        listed = rfc4511.Controls()
        for number, control in enumerate(controls):
            one = rfc4511.Control()
            one["controlType"] = rfc4511.LDAPOID(control.oid)
            if control.critical:  # a value that is the default is not sent (section 5.1)
                one["criticality"] = rfc4511.Criticality(value=True)
            if control.value is not None:
                one["controlValue"] = rfc4511.ControlValue(control.value)
            listed[number] = one
        whole["controls"] = listed
    data: bytes = _encode(whole)
    return data
