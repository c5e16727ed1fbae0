"""The client's side: connections to a server, pools of them, and Python values as JSON.

Rule: nothing here imports a network; which sockets, queues and clocks do the work is given to it.
"""
