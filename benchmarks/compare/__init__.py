"""Emblem beside its rivals: same model files, same texts, in turn, in one run, every answer checked.

``python -m benchmarks.compare --help`` says how. Nothing here is part of the installed package.
"""
