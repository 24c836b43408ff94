"""The schedule and the deliveries on a fleet: a queue carries names, and the row of each period is the truth.

A tick sends the name of every entry that is due, and a worker runs it as ``run_periodic_schedule`` would: it claims the
period, or finds it claimed or done. So a message that comes twice does nothing, and one that is lost is sent again by
the next tick.
"""

from stockandflow.distributed.jobs import deliver, run_entry
from stockandflow.distributed.queues import Queue, connect, queue
from stockandflow.distributed.sending import QUIET, send_entry, wake

__all__ = [
    "QUIET",
    "Queue",
    "connect",
    "deliver",
    "queue",
    "run_entry",
    "send_entry",
    "wake",
]
