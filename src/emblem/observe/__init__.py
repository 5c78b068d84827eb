"""What operators see of a server: metrics for Prometheus and traces for OpenTelemetry.

Lines of the log are made in ``api/access.py`` and written by ``api/logs.py``. Nothing here holds
a text or a key, and no label has a value that a client chose.
"""
