"""A second decision, written from the rules' text alone, to compare the first one with.

It imports nothing of codomain: addresses are parsed anew (:mod:`support.boxes`), a
configuration is a :class:`support.world.World` and not an INI, and a verdict is a line of
words, as in the golden files (``Refuse relaying``, ``Redirect a@b.test via unix``).  The
steps have the numbers of the rules.  It is slow and plain on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from support.boxes import (
    Box,
    bare,
    cut,
    fold_domain,
    fold_local,
    fold_space,
    has_controls,
    hides,
    lower,
    makes_ascii,
    read_mailbox,
    read_path,
    read_policy,
    spaces_over,
)
from support.modelparts import GOES, Found, Standing, Verdict
from support.nextsystems import NextSystems
from support.world import Entry

if TYPE_CHECKING:
    from support.modelparts import Way
    from support.world import Asked, Domain, World

POSTMASTER = "postmaster"
LEADS_ON = (*GOES, "Relay", "Pass")


@dataclass(frozen=True)
class Hop:
    """An address of ours that is being resolved, and the entries that led to it."""

    box: Box
    domain: Domain
    who: Standing
    met: tuple[str, ...] = ()
    again: bool = False  # it is the same address as the one before

    @property
    def hidden(self) -> bool:
        """Step 4: whether it hides a foreign address from a client that is not trusted."""
        return (hides(self.box.local) or self.box.routed) and not self.who.trusted

    @property
    def postmaster(self) -> bool:
        """Whether it is postmaster, with or without extension."""
        base = cut(self.box.local, self.domain.delimiters)[0]
        names = {fold_local(base), fold_local(self.box.local)}
        return POSTMASTER in names and not makes_ascii(base) and not self.again


class Model:
    """The rules, for one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.relaying = {system.name: system.relay for system in world.systems}
        self.next = NextSystems(world)
        self.index: dict[tuple[str, tuple[str, str]], list[Entry]] = {}
        for directory, entries in world.entries.items():
            for entry in entries:
                for key in {box.key for box in map(read_mailbox, entry.addresses) if box}:
                    self.index.setdefault((directory, key), []).append(entry)

    def decide(self, asked: Asked) -> str:
        """Give the verdict in the words of the golden files (steps 1 and 2)."""
        box = (read_path if asked.door == "milter" else read_policy)(asked.recipient)
        who = self.standing(asked)
        if box.domain is None:
            if lower(box.local) != POSTMASTER or box.impossible:
                return "Refuse malformed"
            homes = [d.name for d in self.world.domains if d.type == "authoritative"]
            homes += [d.name for d in self.world.domains]  # RFC 5321, 4.5.1: never refused
            box = Box(POSTMASTER, fold_domain(homes[0]))
        domain = self.whose(box.domain or "")
        if domain is None:
            out = who.trusted or (bool(who.peer_of) and self.world.peers_may_relay)
            return "Pass" if out else "Refuse relaying"
        if not box.local or box.impossible:
            return "Refuse malformed"
        if asked.smtputf8 is False and not box.plain:
            return "Refuse smtputf8"
        return str(self.resolve(Hop(box, domain, who)))

    def standing(self, asked: Asked) -> Standing:
        """Who the client is; maps ask as a trusted unknown one."""
        world = self.world
        if asked.door == "map":
            return Standing(trusted=True, peer_of=())
        client = ip_address(asked.client) if asked.client else None
        client = getattr(client, "ipv4_mapped", None) or client
        bare = asked.certificate.replace(":", "").lower()
        trusted = (
            (client is not None and any(client in ip_network(n) for n in world.networks))
            or (asked.sasl and world.trust_sasl)
            or (bare != "" and bare in {c.replace(":", "").lower() for c in world.certificates})
            or asked.context in world.contexts
        )
        peers = tuple(
            s.name
            for s in world.systems
            if client is not None and any(client in ip_network(net) for net in s.peers)
        )
        return Standing(trusted, peers, probed=bool(peers) and asked.probe)

    def whose(self, name: str) -> Domain | None:
        """Step 2: find the domain of ours that is the longest match."""
        best = None
        for domain in self.world.domains:
            own = fold_domain(domain.name)
            below = domain.subdomains and name.endswith("." + own) and not own.startswith("[")
            longer = best is None or len(own) > len(fold_domain(best.name))
            if name and (name == own or below) and longer:
                best = domain
        return best

    # -- step 3

    def find(self, box: Box, domain: Domain, *, whole: bool = False) -> Found:
        """Ask the directories: the whole address, then, but for step 4, without extension."""
        if domain.type == "relay" or has_controls(box.local) or makes_ascii(box.local):
            return Found()
        base, extension = cut(box.local, domain.delimiters)
        tries = [(box.local, "")] + ([(base, extension)] if extension and not whole else [])
        for local, rest in tries:
            for directory in domain.directories:
                known = self.index.get((directory, Box(local, box.domain).key))
                if known and len({entry.dn for entry in known}) > 1:
                    return Found(fault="ambiguous")
                if known:
                    return Found(known[0], directory, rest)
                if directory in self.world.down:
                    return Found(fault="directory")
        return Found()

    def resolve(self, hop: Hop) -> Verdict:
        """Take steps 3 to 6 for an address of ours."""
        found = self.find(hop.box, hop.domain, whole=hop.hidden and not hop.postmaster)
        if hop.postmaster:
            return self.postmaster(hop, found)
        if found.fault:
            return self.unsure(hop, found)
        if hop.hidden and not found:  # step 4
            return Verdict("Refuse relaying")
        if found:
            return self.use(hop, found)
        mark = f"catch-all of {hop.domain.name}"
        if hop.domain.catch_all and hop.domain.type != "relay" and mark not in hop.met:
            return self.lead(hop, Found(Entry(mark, (), target=hop.domain.catch_all)))
        return self.not_found(hop)

    def unsure(self, hop: Hop, found: Found) -> Verdict:
        """Two entries, or a directory is down: 451, or to deliver_to, unchecked."""
        way = hop.domain.deliver_to
        back = bool(hop.met) or way in hop.who.peer_of or has_controls(hop.box.local)
        if found.fault != "directory" or hop.domain.on_outage == "defer" or hop.hidden or back:
            return Verdict(f"Defer {found.fault}")
        return Verdict("Deliver", hop.box.text, way)

    def postmaster(self, hop: Hop, found: Found) -> Verdict:
        """Never refused: the entry, else [codomain] postmaster, else delivered."""
        if found.fault == "directory":
            return self.unsure(hop, found)
        if found:
            verdict = self.use(hop, found)
            again = read_mailbox(verdict.address)
            if verdict.word == "Redirect" and again and again.key == hop.box.key:
                return Verdict("Deliver", hop.box.text, verdict.way)  # nothing is rewritten
            if verdict.word in (*LEADS_ON, "Defer directory"):
                return verdict
        target = read_mailbox(self.world.postmaster)
        if target and POSTMASTER not in hop.met and target.key != hop.box.key:
            verdict = self.onward(target, hop, POSTMASTER)
            if verdict.word in (*LEADS_ON, "Defer directory"):
                return verdict
            return Verdict("Redirect", target.text, self.first_way(target))
        box = replace(hop.box, local=POSTMASTER) if has_controls(hop.box.local) else hop.box
        relay = self.first_way(box) if hop.domain.type == "relay" else None
        return Verdict("Deliver", box.text, hop.domain.deliver_to or relay)

    # -- step 5

    def use(self, hop: Hop, found: Found) -> Verdict:
        """Make a verdict of an entry."""
        entry = found.entry
        if entry.restricted and not hop.who.trusted:
            return Verdict("Refuse restricted")
        if entry.contact and not entry.target and not entry.host:
            return Verdict("Defer fault")
        if not entry.target:
            return self.mailbox(hop, found)
        if entry.dn in hop.met[:-1]:
            return Verdict("Refuse loop")
        return self.itself(hop, found) if entry.dn in hop.met else self.lead(hop, found)

    def itself(self, hop: Hop, found: Found) -> Verdict:
        """End a chain that leads back to the same entry."""
        if hop.domain.type != "authoritative":
            return self.not_found(hop)
        if found.entry.contact:
            return Verdict("Refuse loop")
        return replace(self.mailbox(hop, found), itself=True)  # ldap_routing: it is here

    def mailbox(self, hop: Hop, found: Found) -> Verdict:
        """Deliver to a mailbox."""
        entry = found.entry
        way: Way = hop.domain.deliver_to or None
        if self.remote(entry):
            way = self.host(entry, found.directory)
            if way is None:
                return Verdict("Defer fault")
        if not hop.met and way in hop.who.peer_of:
            return Verdict("Refuse loop")
        if hop.domain.deliver_as == "given" or not entry.primary:
            return Verdict("Deliver", hop.box.text, way)
        primary = read_mailbox(entry.primary)
        if primary is None or not self.leads(primary, way):
            return Verdict("Defer fault")
        extension = found.extension if hop.domain.keep_extension else ""
        return Verdict("Deliver", Box(primary.local + extension, primary.domain).text, way)

    def lead(self, hop: Hop, found: Found) -> Verdict:
        """Follow an entry's target."""
        entry = found.entry
        way = self.host(entry, found.directory) if self.remote(entry) else None
        target = read_mailbox(entry.target)
        if (way is None and self.remote(entry)) or target is None or hides(target.local):
            return Verdict("Defer fault")
        if not self.authorised(target):
            return Verdict("Refuse relaying")
        target = self.extended(target, hop.domain, found.extension)
        if way is not None:
            return self.through(hop, target, found, way)
        verdict = self.onward(target, hop, entry.dn)
        if hop.met or target.key != hop.box.key or not verdict.itself:
            return verdict
        if hop.domain.type == "authoritative":  # nothing is rewritten
            return self.mailbox(hop, found)
        return self.not_found(hop)

    def through(self, hop: Hop, target: Box, found: Found, way: str) -> Verdict:
        """Host remote + address: the address, through the host (FEATURE(ldap_routing))."""
        if target.key == hop.box.key:
            return self.mailbox(hop, found)
        there = self.whose(target.domain or "")
        if there is not None and there.type != "relay":
            known = self.find(target, there)
            if known.fault:
                return Verdict(f"Defer {known.fault}")
            if known.entry.restricted and not hop.who.trusted:
                return Verdict("Refuse restricted")
            if not known and there.type == "authoritative" and not there.catch_all:
                return Verdict("Defer fault")  # the MTA asks for it by itself, and it bounces
        return self.asked(target, way, hop.who)

    def asked(self, target: Box, way: Way, who: Standing) -> Verdict:
        """Redirect to where no directory of ours looks, unless the system there says no."""
        word = "" if way is None or who.probed else self.next.choose([way], target, probed=False)[1]
        return Verdict(word or "Redirect", "" if word else target.text, None if word else way)

    def onward(self, target: Box, hop: Hop, mark: str) -> Verdict:
        """Resolve a target where it is ours, and find its next hop."""
        domain = self.whose(target.domain or "")
        if domain is None:
            return self.asked(target, self.first_way(target), hop.who)
        met = (*hop.met, mark)
        if len(met) > self.world.max_depth and domain.type != "relay":
            return Verdict("Refuse loop")
        again = target.key == hop.box.key
        verdict = self.resolve(Hop(target, domain, hop.who, met, again))
        if verdict.word == "Deliver":
            return replace(verdict, word="Redirect")
        if verdict.word in {"Relay", "Pass"}:
            return Verdict("Redirect", target.text, verdict.way, itself=True)
        return verdict

    def extended(self, target: Box, domain: Domain, extension: str) -> Box:
        """Carry an extension over to where it means the same."""
        if not extension or not domain.keep_extension or hides(extension):
            return target
        there = self.whose(target.domain or "")
        if there is not None and there.type != "relay":
            own = cut(target.local, there.delimiters)[1]
            if own or extension[0] not in there.delimiters:
                return target
        return Box(target.local + extension, target.domain)

    def authorised(self, target: Box) -> bool:
        """Tell whether mail may be led to a domain."""
        name = target.domain or ""
        return (
            self.whose(name) is not None
            or any(self.relaying[way] for way in self.covering(name))
            or any(space in self.world.allowed_targets for space in spaces_over(name))
        )

    def leads(self, box: Box, way: Way) -> bool:
        """Tell whether the MTA, asking for this address by itself, is led the same way."""
        if self.whose(box.domain or "") is not None:
            return True
        return self.authorised(box) and self.first_way(box) == way is not None

    def remote(self, entry: Entry) -> bool:
        """Tell whether an entry names a host that is not this one."""
        return bool(entry.host) and lower(bare(entry.host)) != self.world.hostname

    def host(self, entry: Entry, directory: str) -> Way:
        """Find the configured way to the host that an entry names."""
        name = lower(bare(entry.host))
        for system in self.world.systems:
            if any(lower(bare(host)) == name for host in system.hosts):
                return system.name
        allowed = self.world.allowed_hosts.get(directory, ())
        return next((host for host in allowed if lower(bare(host)) == name), None)

    # -- step 6

    def covering(self, name: str) -> list[str]:
        """Name the connectors whose spaces cover a domain, in their order."""
        ways: list[str] = []
        systems = sorted(self.world.systems, key=lambda s: s.cost)
        for space in spaces_over(name):
            level = [s for s in systems if space in map(fold_space, s.spaces)]
            ways += [s.name for s in level if s.name not in ways]
        return ways

    def first_way(self, box: Box) -> Way:
        """Name the connector that the transport map gives."""
        return next(iter(self.covering(box.domain or "")), None)

    def not_found(self, hop: Hop) -> Verdict:
        """Nobody here knows it."""
        who = hop.who
        if hop.domain.type == "authoritative":
            return Verdict("Refuse unknown")
        covering = ways = self.covering(hop.box.domain or "")
        if not covering:
            if hop.domain.fallback == "mx":
                return Verdict("Pass")
            return Verdict("Refuse no_route" if who.trusted else "Refuse relaying")
        if hop.met:  # a contact leads here: it may, and no system has had the mail
            way, word = self.next.choose(covering, hop.box, probed=False)
            way, word = (covering[0], "") if who.probed else (way, word)
            return Verdict(word or "Relay", "", way or None, itself=True)
        last = max((ways.index(w) + 1 for w in who.peer_of if w in ways), default=0)
        earlier = [way for way in ways[:last] if way not in who.peer_of]
        if not who.peer_of and not who.trusted:
            ways = [way for way in ways if self.relaying[way]]
            if not ways:
                return Verdict("Refuse relaying")
        way, word = self.next.choose(ways[last:], hop.box, probed=who.probed)
        if not ways[last:]:
            word = "Refuse unknown" if who.probed else "Refuse loop"
        if word.startswith("Refuse") and not who.probed:
            way = self.next.knowing(earlier, hop.box)
            word = "" if way else word
        by_map = self.next.choose(covering, hop.box, probed=who.probed)[0]
        return Verdict(word) if word else Verdict("Relay", "", way, diverted=way != by_map)
