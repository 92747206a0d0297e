"""The entries of a manual as a real server takes them.

A manual shows of an entry what mail is about; the server also wants the attributes of its
class, the entries above it, and the accounts that bind.  In flows LDIF as it stands in the
page, out flows LDIF for slapadd(8), parents first (RFC 2849).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STRUCTURAL = {"user", "contact", "inetorgperson", "organizationalunit", "group"}
"""Classes that an entry may stand on; with others alone it is an inetOrgPerson here."""

PARENTS = {"ou": "organizationalUnit", "cn": "organizationalRole"}
"""The class of an entry that is only there to hold others, by its RDN."""

ACCOUNT = """\
dn: {dn}
objectClass: applicationProcess
objectClass: simpleSecurityObject
cn: {name}
userPassword: {password}
"""


def loadable(ldif: str, base: str, accounts: Mapping[str, str] | None = None) -> str:
    """Return all that a server with this base is to have; ``accounts``: passwords by DN."""
    records = {base: _top(base)}
    own = {_dn(record): record for record in ldif.strip().split("\n\n") if record.strip()}
    for dn in [*own, *(accounts or {})]:
        for parent in reversed(list(_above(dn, base))):
            records.setdefault(parent, own.get(parent) or _holder(parent))
    for dn, record in own.items():
        records[dn] = _whole(record)
    for dn, password in (accounts or {}).items():
        records[dn] = ACCOUNT.format(dn=dn, name=_rdn(dn)[1], password=password)
    return "\n".join(record.rstrip("\n") + "\n" for record in records.values())


def _dn(record: str) -> str:
    first = record.strip().splitlines()[0]
    return first.partition(":")[2].strip()


def _rdn(dn: str) -> tuple[str, str]:
    name, _, value = dn.partition(",")[0].partition("=")
    return name.lower(), value


def _above(dn: str, base: str) -> Iterator[str]:
    while dn.lower() != base.lower():
        dn = dn.partition(",")[2]
        assert dn, f"{dn} is not below {base}"
        if dn.lower() != base.lower():
            yield dn


def _top(base: str) -> str:
    value = _rdn(base)[1]
    return f"dn: {base}\nobjectClass: dcObject\nobjectClass: organization\ndc: {value}\no: x\n"


def _holder(dn: str) -> str:
    name, value = _rdn(dn)
    return f"dn: {dn}\nobjectClass: {PARENTS[name]}\n{name}: {value}\n"


def _whole(record: str) -> str:
    """Give an entry what its class must have."""
    lines = record.strip().splitlines()
    names = {line.partition(":")[0].lower() for line in lines}
    classes = {line.split()[1].lower() for line in lines if line.startswith("objectClass:")}
    name, value = _rdn(_dn(record))
    # slapadd(8) wants the values of an attribute together.
    first = [line for line in lines if line.startswith("objectClass:")]
    rest = [line for line in lines[1:] if line not in first]
    first.append("objectClass: extensibleObject")
    if not classes & STRUCTURAL:
        first.append("objectClass: inetOrgPerson")
    more = []
    if name not in names:
        more.append(f"{name}: {value}")
    if "organizationalunit" not in classes:
        more += [f"{each}: {value}" for each in ("cn", "sn") if each not in {name, *names}]
    return "\n".join([lines[0], *first, *rest, *more]) + "\n"
