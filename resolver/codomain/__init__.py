"""Codomain's resolver: what is decided about one envelope recipient, and from what.

It takes a question (who asks, for which recipient) and gives a verdict (deliver, redirect,
relay, refuse, defer or pass). It knows addresses, domains, connectors and directories, and
nothing of the protocols by which an MTA asks: those are the doors, and this package imports
none of them.
"""

from __future__ import annotations

__version__ = "0.1.0"
