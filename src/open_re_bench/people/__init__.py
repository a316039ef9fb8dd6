"""People as participants: their terminals, clock, record, rights, and the commands they have."""
