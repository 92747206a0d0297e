"""Recipient policies at work: which entries get which addresses, shown and stamped.

``entries`` and ``reading`` bring the directories' entries and whom each policy is for,
``plan`` decides, ``showing`` writes the plan down, ``writing`` carries it out; ``spaces``
is for ``codomain check``.
"""
