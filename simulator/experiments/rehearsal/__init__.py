"""The load of a simulated fleet sent to a real server, and what the server does beside what was simulated."""
