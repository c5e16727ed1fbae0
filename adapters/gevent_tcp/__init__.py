"""TCP on gevent's event loop.

Rule: a transport knows no commands. Bytes go to a session, and come back from it.
"""
