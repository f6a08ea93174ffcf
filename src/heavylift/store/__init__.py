"""The only place that speaks to Redis. Calls are built and replies parsed without I/O; connections only send.

`keys` names everything stored, `lua/` holds one file per verb, `scripts` loads them, `jobs` turns arguments into
calls, `connection` carries calls to the server and `channel` listens to what the scripts publish.
"""
