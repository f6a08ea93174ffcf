"""The command line. One command, one file; each opens a `Session`, asks, and shows what came back.

What a command shows goes to standard output, for people as tables, for machines (`--json`) as JSON lines. What went
wrong goes to standard error, as one line that says what to do. The exit codes are in `exits`.
"""
