"""The office: a private company for every attempt.

`base.py` has the words, `tenant.py` one private copy of the state, `server.py` the process that serves
tenants, `process.py` the trainer's side of it. Each service is a package of its own: `chat`, `forge`,
`tracker`, `drive`, `control`. Importing this package imports none of them.
"""
