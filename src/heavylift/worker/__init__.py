"""The worker: one role, one file. `Worker` builds the parts, starts them in order and stops them in reverse."""
