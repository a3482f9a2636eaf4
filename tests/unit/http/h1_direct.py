"""Our own transport, made for a test."""

import ssl

from tocsin._http._h1._transport import DirectTransport

TRUSTING = ssl.create_default_context()


def direct(size=2, context=TRUSTING):
    return DirectTransport(context=context, max_connections=size)


def places(transport):
    pool = transport._pool
    return pool.held, pool.idle, pool.waiting
