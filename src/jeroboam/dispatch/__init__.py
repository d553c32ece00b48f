"""The server's end of agents: sessions, assignments, live questions."""
