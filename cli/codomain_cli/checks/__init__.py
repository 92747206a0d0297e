"""What ``codomain check`` looks at: a noun for each module, and findings come out of all.

``findings`` is what they have in common; ``instance`` and ``sendmail_cf`` read the MTA's
files; the others decide.
"""
