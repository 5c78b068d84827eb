"""The admin API: keys, teams, usage, audit and state, for keys of the role ``admin``."""
