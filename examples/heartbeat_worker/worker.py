"""A worker in Python that says that it still works, with nothing installed.

With the NotificationFile of supervisor_checks it would be shorter; this is what
that does.
"""
import itertools
import os
import tempfile
import time

path = os.path.join(
    tempfile.gettempdir(),
    "{}-{}-{}".format(os.environ["SUPERVISOR_GROUP_NAME"], os.environ["SUPERVISOR_PROCESS_NAME"], os.getpid()),
)
heartbeat = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0)

for mode in itertools.cycle([0o001, 0o000]):
    time.sleep(1)  # the work
    os.fchmod(heartbeat, mode)
