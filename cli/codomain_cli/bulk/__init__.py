"""Entries in bulk: what the commands that write into a directory are made of."""
