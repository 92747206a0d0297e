"""Where recipients are looked up: LDAP servers, files, and the local copy of either."""
