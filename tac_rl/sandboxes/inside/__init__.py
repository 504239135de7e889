"""What runs inside every sandbox as PID 1: standard library only, Python 3.9 and newer.

It connects to the host's Unix socket before any command runs, and serves that one connection until it
closes; then it exits, and the kernel kills everything else in the sandbox. There is no listener, so
nothing that runs inside can become a peer. One request is served at a time; a request that arrives while
a command runs interrupts that command.

The namespaces are the work of whoever starts it (bubblewrap or docker). This package adds the limits,
another user for the commands where two are mapped, no capabilities, a system call filter, and nothing of
itself to read or trace. Deliberately not here: networking, several shells, any knowledge of tasks.
"""
