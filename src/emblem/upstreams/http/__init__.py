"""HTTP/1.1 as a client: connections to one address, kept and used again, one request at a time each.

Own code on httptools and asyncio, since a whole answer to a small request takes aiohttp 166 to 296 µs
of the event loop's thread, every other library more, and a bare socket 48 to 59 (benchmarks/RESULTS.md).

Not spoken: HTTP/2, pipelining, uploads in parts, HEAD. Redirects are not followed, cookies not kept.
"""
