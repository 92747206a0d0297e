"""Call-out: the next systems are asked about recipients that no directory of ours knows."""
