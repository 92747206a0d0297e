"""The asyncio doors of the MTA: Postfix's policy delegation protocol and socketmaps.

Bytes of an MTA come in, questions go to the resolver, and its verdicts go back as a policy
action or a map's answer.
"""
