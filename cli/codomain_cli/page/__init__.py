"""The status page: what the daemon has in force, answered and refused, for a browser."""
