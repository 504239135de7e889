"""A double of vLLM for tests of sleeping, which vLLM's CPU build does not offer. See `api_server.py`."""
