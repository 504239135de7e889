"""Sandboxes in Docker containers: the same server inside, the same connection, a daemon that isolates.

A container is made with two calls of Docker's API and then never spoken to through it: commands go to our
server, which is PID 1 in it, over a Unix socket. It ends when its owner's end of that socket closes, and the
daemon removes it then.
"""
