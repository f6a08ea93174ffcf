"""Bytes that nobody meant to send: whatever comes in ends in a result or in a failure that was foreseen.

The short form is part of the tests. The long one is `make fuzz MINUTES=10`: the same tests over and over, each time
with other dice, in a process of their own, so that a crash or a hang is a find too.
"""
