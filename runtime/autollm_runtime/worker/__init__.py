"""The frame around every task: what it reports to, what it is fed, how it is stopped, how it ends, and the server that forks it."""
