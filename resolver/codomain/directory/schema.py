"""Which attributes of an LDAP entry say what: filters out, entries in.

In flow the key that is asked for and the raw attributes of an entry; out flow the text of
a filter and a :class:`~codomain.directory.base.Recipient`.  Nothing here opens a
connection or knows a library.

Three schemas: ``active-directory`` (Exchange's proxyAddresses, mail and targetAddress),
``inetlocalmail`` (draft-lachman-laser-ldap-mail-routing: mailLocalAddress,
mailRoutingAddress and mailHost, as Sendmail's FEATURE(ldap_routing) reads them) and
``inetorgperson`` (mail of RFC 2798, and mailAlternateAddress).  Filters are strings of
RFC 4515.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import idna

from codomain.address import Address, parse_mailbox, parse_recipient
from codomain.directory.base import Kind, Recipient
from codomain.directory.filters import all_encoded, any_encoded, encode_filter, equality

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

PLACEHOLDER = "%s"
"""Stands for the address in the ``filter`` of the INI (as in ldap_table(5))."""

GROUP_CLASSES = frozenset({"group", "groupofnames", "groupofuniquenames", "mailgroup"})
"""Object classes of lists: Active Directory's, RFC 4519's two, and Netscape's."""

CONDITIONS_ENCODED = 64
"""Conditions of the INI that are kept encoded: more than there are directories."""

_RANGE = ";range="
_ONE_SPELLING = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~.-]+@(?!xn--|[^@]*\.xn--)[a-z0-9.-]+")


class Attributes:
    """The raw attributes of one entry, by lower-case name and without their options.

    ``proxyAddresses;range=0-1499`` and ``mail;lang-de`` count as values of
    proxyAddresses and mail: an equality filter matches these subtypes too (RFC 4512
    section 2.5.2).
    """

    def __init__(self, raw: Mapping[str, Iterable[bytes]]) -> None:
        self._values: dict[str, list[bytes]] = {}
        for name, values in raw.items():
            self._values.setdefault(name.partition(";")[0].lower(), []).extend(values)

    def texts(self, name: str) -> list[str]:
        """Return the values of an attribute that are UTF-8, without white space around them."""
        texts = []
        for value in self._values.get(name.lower(), ()):
            try:
                texts.append(value.decode("utf-8").strip())
            except UnicodeDecodeError:
                continue
        return [text for text in texts if text]

    def routing(self, name: str) -> str:
        """Return the text of an attribute that says where mail goes; empty: there is none.

        Nothing is left out: bytes that are no UTF-8 are written as escapes and several
        values as a list, neither of which is a mailbox, so that the decision defers
        instead of taking the entry for a mailbox of this system.
        """
        values = self._values.get(name.lower(), [])
        return ", ".join(value.decode("utf-8", "backslashreplace").strip() for value in values)

    def classes(self) -> frozenset[str]:
        """Return the entry's object classes in lower case."""
        return frozenset(text.lower() for text in self.texts("objectClass"))


@dataclass(frozen=True, slots=True)
class Schema:
    """How one kind of directory keeps addresses."""

    name: str
    """Its name in the INI."""

    assertions: tuple[tuple[str, str], ...]
    """Attribute and prefix of each equality test that finds an address."""

    attributes: tuple[str, ...]
    """The attributes that a search asks for."""

    recipient: Callable[[str, Attributes], Recipient]
    """Reads an entry: its DN and its attributes."""

    references_are_usual: bool = False
    """A search that found nothing may still name other servers (searchResRef).

    Active Directory adds such references to every search from the domain's base; from
    another server they mean that a part of the tree was not searched.
    """

    def filter(self, key: str, custom: str = "") -> str:
        """Return the filter that finds an address: every byte of it is data, none is syntax.

        ``key`` is an :attr:`codomain.address.Address.key`, ``custom`` the ``filter`` of the
        INI: with ``%s`` it takes the place of the schema's own, without it is one more
        condition.
        """
        custom = custom.strip()
        if custom and not custom.startswith("("):
            custom = f"({custom})"
        values = [escape(spelling) for spelling in spellings(key)]
        if PLACEHOLDER in custom:
            return _any([custom.replace(PLACEHOLDER, value) for value in values])
        own = _any(
            [
                f"({attribute}={prefix}{value})"
                for value in values
                for attribute, prefix in self.assertions
            ]
        )
        return f"(&{custom}{own})" if custom else own

    def encoded(self, key: str, custom: str = "") -> bytes:
        """Return :meth:`filter` in BER, without the way over its text: a tenth of the time.

        Raises:
            ValueError: ``custom`` is no filter.

        """
        if PLACEHOLDER in custom:
            return encode_filter(self.filter(key, custom))
        values = [spelling.encode("utf-8", "surrogatepass") for spelling in spellings(key)]
        own = any_encoded(
            [
                equality(attribute.encode(), prefix.encode() + value)
                for value in values
                for attribute, prefix in self.assertions
            ]
        )
        return all_encoded([_condition(custom), own]) if custom.strip() else own


@lru_cache(CONDITIONS_ENCODED)
def _condition(custom: str) -> bytes:
    custom = custom.strip()
    return encode_filter(custom if custom.startswith("(") else f"({custom})")


def escape(text: str) -> str:
    r"""Write each byte of a value as ``\xx`` (RFC 4515 section 3).

    All of them, so that there is no list of special characters to keep right.  Never
    raises: a surrogate becomes bytes that are no UTF-8, which match nothing.
    """
    return "".join(f"\\{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))


def spellings(key: str) -> tuple[str, ...]:
    """Return the forms in which a directory may hold an address, the key's own first.

    The local part bare and quoted (RFC 5321 section 4.1.2), the domain in A-labels and in
    U-labels (RFC 5890); what is not ASCII composed, as the key is, and decomposed (NFC and
    NFD of Unicode's annex 15): Active Directory compares neither with the other.
    """
    local, _, domain = key.rpartition("@")
    if _ONE_SPELLING.fullmatch(key) and ".." not in local and "." not in {local[0], local[-1]}:
        return (key,)
    forms = [key]
    quoted = Address(local, domain).text()
    if quoted is not None and quoted != key:
        forms.append(quoted)
    unicode_domain = ".".join(_ulabel(label) for label in domain.split("."))
    if unicode_domain != domain:
        forms += [form[: -len(domain)] + unicode_domain for form in forms]
    forms += [unicodedata.normalize("NFD", form) for form in forms if not form.isascii()]
    return tuple(dict.fromkeys(forms))


def address_key(text: str) -> str:
    """Fold an address as a directory writes it; empty: it is none, and matches nothing."""
    mailbox = parse_mailbox(text)
    if mailbox is not None:
        return mailbox.key
    if text.startswith("@"):  # a source route, or a domain alone
        return ""
    return parse_recipient(text.encode("utf-8", "surrogatepass")).key


def next_ranges(raw: Mapping[str, Sequence[bytes]]) -> list[str]:
    """Return the attributes of which the server kept values back, as what to ask next.

    Active Directory gives at most 1,500 values of an attribute, as
    ``proxyAddresses;range=0-1499``; the last part ends with ``*`` (MS-ADTS 3.1.1.3.1.3.3).
    """
    wanted = []
    for description in raw:
        if ";" not in description:
            continue
        name, option, bounds = description.lower().partition(_RANGE)
        last = bounds.partition("-")[2]
        if option and last.isdecimal():
            wanted.append(f"{name}{_RANGE}{int(last) + 1}-*")
    return wanted


def _any(filters: Sequence[str]) -> str:
    return filters[0] if len(filters) == 1 else f"(|{''.join(filters)})"


def _ulabel(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return idna.ulabel(label)
    except (ValueError, IndexError):  # IDNAError is a ValueError; old releases leak both
        return label


def _keys(texts: Iterable[str]) -> tuple[str, ...]:
    # mail repeats one of the others as a rule, and to parse it takes most of the time.
    keys = dict.fromkeys(map(address_key, dict.fromkeys(texts)))
    return tuple(key for key in keys if key)


def _only(texts: Sequence[str]) -> str:
    """Return the one value there is: values of LDAP have no order, so none is the first."""
    return texts[0] if len(texts) == 1 else ""


def _kind(attributes: Attributes, target: str) -> Kind:
    classes = attributes.classes()
    if classes & GROUP_CLASSES:
        return Kind.GROUP
    return Kind.CONTACT if target or "contact" in classes else Kind.MAILBOX


def _smtp(proxy: str) -> str:
    """Return what follows ``smtp:`` (in any case); empty: an address of another system."""
    prefix, _, address = proxy.partition(":")
    return address.strip() if prefix.lower() == "smtp" else ""


def _active_directory(dn: str, attributes: Attributes) -> Recipient:
    proxies = attributes.texts("proxyAddresses")
    mail = attributes.texts("mail")
    # Capitals mark the primary address (KB 321721: "SMTP:" primary, "smtp:" secondary).
    primary = _only([_smtp(proxy) for proxy in proxies if proxy.startswith("SMTP:")])
    target = attributes.routing("targetAddress")
    return Recipient(
        dn=dn,
        kind=_kind(attributes, target),
        addresses=_keys([*filter(None, map(_smtp, proxies)), *mail]),
        primary=primary or _only(mail),
        # A target of another system (X400:) stays whole: it is no mailbox, and defers.
        target=_smtp(target) or target,
        restricted="TRUE" in map(str.upper, attributes.texts("msExchRequireAuthToSendTo")),
    )


def _inetlocalmail(dn: str, attributes: Attributes) -> Recipient:
    addresses = _keys(attributes.texts("mailLocalAddress"))
    mail = _only(attributes.texts("mail"))
    target = attributes.routing("mailRoutingAddress")
    return Recipient(
        dn=dn,
        kind=_kind(attributes, target),
        addresses=addresses,
        # mail is what the person shows; it serves where it also brings mail here.
        primary=mail if address_key(mail) in addresses else "",
        target=target,
        mail_host=attributes.routing("mailHost"),
    )


def _inetorgperson(dn: str, attributes: Attributes) -> Recipient:
    mail = attributes.texts("mail")
    return Recipient(
        dn=dn,
        kind=_kind(attributes, ""),
        addresses=_keys([*mail, *attributes.texts("mailAlternateAddress")]),
        primary=_only(mail),
    )


ACTIVE_DIRECTORY = Schema(
    name="active-directory",
    assertions=(("proxyAddresses", "smtp:"), ("mail", "")),
    attributes=(
        "objectClass",
        "proxyAddresses",
        "mail",
        "targetAddress",
        "msExchRequireAuthToSendTo",
    ),
    recipient=_active_directory,
    references_are_usual=True,
)

INETLOCALMAIL = Schema(
    name="inetlocalmail",
    assertions=(("mailLocalAddress", ""),),
    attributes=("objectClass", "mailLocalAddress", "mailRoutingAddress", "mailHost", "mail"),
    recipient=_inetlocalmail,
)

INETORGPERSON = Schema(
    name="inetorgperson",
    assertions=(("mail", ""), ("mailAlternateAddress", "")),
    attributes=("objectClass", "mail", "mailAlternateAddress"),
    recipient=_inetorgperson,
)

SCHEMAS = {schema.name: schema for schema in (ACTIVE_DIRECTORY, INETLOCALMAIL, INETORGPERSON)}
"""The schemas by the name that the INI gives them."""
