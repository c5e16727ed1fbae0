"""TCP on gevent's event loop.

Rule: a transport knows no commands. Bytes go to a conversation, and come back from it.
"""
