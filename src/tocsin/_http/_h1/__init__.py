"""HTTP/1.1 behind httpx's transport interface: a pool, a C parser, and sockets that are read as they fill up.

_transport ─ _pool (who gets which connection, no I/O)
           ─ _dial (addresses, TLS) ─ _sockets (bytes in and out, never waiting)
           ─ _connection (one exchange at a time) ─ _head, _parser (no I/O)
"""
