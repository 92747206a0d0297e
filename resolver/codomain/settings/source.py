"""The files of the configuration, read and joined: later ones add and override.

In flow paths, out flow sections by kind and name, each key with its file and line.
A file that cannot be read, or is no UTF-8 (RFC 3629), is a fault like any other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from codomain.settings import ini, names
from codomain.settings.faults import Place, WrongError, nearest
from codomain.settings.whole import NAMED, REPLIES, SINGLE, keys_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from codomain.settings.faults import Faults

MAIN_CF = "main.cf"
"""What the place of a value is called that came from Postfix."""

_MACRO = re.compile(r"[^A-Za-z0-9_]")

DROP_INS = "conf.d"
"""The folder beside the first file, whose ``*.ini`` are read after it, sorted."""


@dataclass(slots=True)
class Joined:
    """One section, joined from every file in which it stands."""

    place: Place
    """Where it stands first."""

    name: str
    """Its name, as the configuration compares it; empty for a section that stands once."""

    keys: dict[str, ini.Value] = field(default_factory=dict)
    """The value that counts of each key."""


@dataclass(slots=True)
class Source:
    """All that was read: sections by kind, then by name (empty for those that stand once)."""

    sections: dict[str, dict[str, Joined]] = field(default_factory=dict)
    """By kind and name, in the order of the files."""

    def single(self, kind: str) -> Joined:
        """Return a section that stands once; an empty one where no file has it."""
        return self.sections.get(kind, {}).get("", Joined(Place("", 0, kind), ""))

    def named(self, kind: str) -> Iterable[Joined]:
        """Return the sections of a kind that has names."""
        return self.sections.get(kind, {}).values()


def expand(files: Sequence[Path]) -> list[Path]:
    """Return the files with the drop-ins of the first one behind it; each one once."""
    if not files:
        return []
    folder = files[0].parent / DROP_INS
    try:
        found = sorted(path for path in folder.iterdir() if _is_drop_in(path.name))
    except OSError:
        found = []
    return list(dict.fromkeys([files[0], *found, *files[1:]]))


def _is_drop_in(name: str) -> bool:
    return name.endswith(".ini") and not name.startswith(".")


def read_file(path: Path, faults: Faults) -> list[ini.Section]:
    """Return the sections of a file; none, and a fault, where it cannot be read."""
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        faults.add(Place(str(path)), f"cannot be read: {reason}; name a file that is there")
        return []
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        faults.add(Place(str(path), line), "is no UTF-8; save the file as UTF-8")
        # The rest is still read, so that its faults are said in the same run.
        text = data.decode(errors="replace")
    return ini.read(text, str(path), faults)


def join(blocks: Iterable[ini.Section], faults: Faults) -> Source:
    """Join the sections of all files; unknown ones are faults."""
    source = Source()
    for block in blocks:
        name = _name(block, faults)
        if name is None:
            continue
        of_kind = source.sections.setdefault(block.kind, {})
        joined = of_kind.setdefault(name, Joined(block.place, name))
        if block.kind == "domain" and joined.place.section != block.place.section:
            faults.add(
                block.place, f"is the domain of [{joined.place.section}] again; join the two"
            )
        joined.keys.update(block.keys)
    return source


def parameter_of(kind: str, name: str, key: str) -> str:
    """Name the parameter of main.cf that overrides a key: ``codomain_KIND[_NAME]_KEY``.

    A macro of main.cf is letters, digits and ``_`` (postconf(5)), so anything else in the
    name of a section is ``_``: ``codomain_domain_example_com_mode``.
    """
    return "_".join(filter(None, ("codomain", kind, _MACRO.sub("_", name), key)))


def parameters_of(source: Source) -> dict[str, list[tuple[str, str, str]]]:
    """Return every parameter that may override a key, with the kind, name and key it may mean."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    sections = [(kind, "", declared) for kind, declared in SINGLE.items()]
    sections += [
        (kind, joined.name, declared)
        for kind, declared in NAMED.items()
        for joined in source.named(kind)
    ]
    for kind, name, declared in sections:
        for key in keys_of(declared):
            found.setdefault(parameter_of(kind, name, key), []).append((kind, name, key))
    return found


def override(source: Source, postfix: Mapping[str, str], faults: Faults) -> None:
    """Let main.cf's ``codomain_SECTION_KEY`` take the place of the keys of the INI.

    A section that has a name must stand in the INI: its name cannot be read back from the
    parameter's.
    """
    for parameter, meant in parameters_of(source).items():
        if parameter not in postfix:
            continue
        place = Place(MAIN_CF, 0, "", parameter)
        text = postfix[parameter].strip()
        if len(meant) > 1:
            sections = " and ".join(f"[{kind} {name}]" for kind, name, _ in meant)
            faults.add(place, f"may mean {sections}; write the key into the INI")
            continue
        if code := ini.control_character(text):
            faults.add(place, f"the control character {code} in the value; remove it")
            continue
        kind, name, key = meant[0]
        section = Joined(Place(MAIN_CF, 0, kind), name)
        joined = source.sections.setdefault(kind, {}).setdefault(name, section)
        joined.keys[key] = ini.Value(place, ((0, text),) if text else ())


def _name(block: ini.Section, faults: Faults) -> str | None:
    """Return the name by which a section is compared; None, and a fault, where it has none."""
    kind, name = block.kind, block.name
    if kind in SINGLE or kind == REPLIES:
        if name:
            faults.add(block.place, f"the section has no name; write [{kind}]")
        return ""
    if kind not in NAMED:
        near = nearest(kind, [*SINGLE, *NAMED, REPLIES])
        right = f"[{near} {name}]" if near in NAMED and name else f"[{near}]"
        hint = f"the nearest is {right}" if near else "codomain.ini(5) lists the sections"
        faults.add(block.place, f"unknown section; {hint}")
        return None
    if not name:
        faults.add(block.place, f"the section needs a name; write [{kind} NAME]")
        return None
    try:
        return names.read_domain(name) if kind == "domain" else names.read_label(name)
    except WrongError as error:
        faults.add(block.place, str(error))
        return None
