"""Emblem as a gateway beside LiteLLM's proxy: one upstream, one load, in one run."""
