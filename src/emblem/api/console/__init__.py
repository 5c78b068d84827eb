"""The console's server side: its files, and the sessions of the people who use it."""
