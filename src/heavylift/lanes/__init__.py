"""Where attempts run: `io` (threads and an event loop) and `cpu` (process slots). Knows no Redis."""
