"""The recovery state machine: what is known of each alarm, what to read, what to give. No I/O, clock or random.

What to call when. `now` is monotonic seconds, `wall` an aware UTC datetime; both only ever grow.

    t = Tracker(policy, snapshot=…, partitions=(None,), live=True, sweeps=True, reads=True)

    t.connected(now, wall, session=3, date=ms)   every channel stands and a connect has succeeded since; `date` is the
                                                 server's Date in ms, if known. Not needed for live=False.
    t.alive(now, wall)                           each good connect reply
    t.disconnected(now, wall, cause="…")         a connect failed or the session is gone: messages may be missing
    t.live(now, wall, action, id, observed, session=3, ordered=True)   one message; `observed` None on DELETE
    t.unreadable(now, wall, id="…" or None)      a message that nobody could read
    t.overflowed(now, wall, ids=…, since=wall)   these alarms' pending changes were dropped; `since` is when the oldest
                                                 of them was put, if known
    t.caught_up(now)                             after an overflow: the consumer has taken all that was pending
    t.answered(now, wall, read, answer)          for each Read exactly once, in any order

    After each input, and when t.deadline() has come:
        for read in t.reads(now, paused=…): send it  paused=True asks for no new window: the buffer is more than half full
        for item in t.take(): Give | Note            in order; empties
        t.notices()                                  sentences for the log; empties
        t.renew                                      True once when a new session is wanted
        t.state, t.cause, t.stats, t.error           error: a TocsinError that must end the stream (too many alarms)
"""

from __future__ import annotations
