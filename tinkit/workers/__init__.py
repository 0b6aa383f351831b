"""Processes that work on tasks, none of which can hold up another, or the process that started them.

multiprocessing's queues and pools, and PyTorch's loader and Python's executors, which are made of them, share locks and
pipes: a process that is killed or stopped while it holds one stops all the others, and the exit waits for them. Here
each has a socket of its own, no wait on one is unlimited, and the end is SIGKILL, which a stopped process obeys
too.
"""

from tinkit.workers.channel import Carried
from tinkit.workers.serve import Alive, Work
from tinkit.workers.team import GIVE_UP, Wish, WorkerLostError, Workers, each

__all__ = ["GIVE_UP", "Alive", "Carried", "Wish", "Work", "WorkerLostError", "Workers", "each"]
