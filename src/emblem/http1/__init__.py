"""An HTTP/1.1 server for an ASGI application, in the event loop of the application itself.

A server that reads in threads of its own changes between these and the loop for each request, which
takes more than all the rest of an answer that is remembered (benchmarks/RESULTS.md). httptools parses.
Sources: RFC 9110 and 9112, and version 2.3 of ASGI's HTTP protocol.
"""
