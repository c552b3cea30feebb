"""A process of this machine that serves one deployment, and its successor beside it.

The old and the new server share the public port for a moment: the candidate proves itself on
a loopback port of its own, then listens on the public one too, is recorded, and only then is
the old one told to leave. The words on the line between deployer and candidate are those of
`wherry.serve.adapters.control`.
"""
