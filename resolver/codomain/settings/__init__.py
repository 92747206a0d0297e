"""The parts of the configuration; :mod:`codomain.config` is the way in."""
