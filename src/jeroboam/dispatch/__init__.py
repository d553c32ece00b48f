"""The server end of agents: sessions, assignments, live questions."""
