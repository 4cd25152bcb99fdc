"""A worker that sends heartbeats as supervisor_checks' NotificationFile does.

It prints the path of its notification file, and for every line it reads it
sends one heartbeat and answers with a line. At the end of its input it leaves
the file behind, as a killed worker would.
"""

import os
import sys
import tempfile

root = sys.argv[1] if len(sys.argv) > 1 else tempfile.gettempdir()
name = "-".join([os.environ["SUPERVISOR_GROUP_NAME"], os.environ["SUPERVISOR_PROCESS_NAME"], str(os.getpid())])
path = os.path.join(root, name)
fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0)
print(path, flush=True)
mode = 0
for line in sys.stdin:
    mode ^= 1
    os.fchmod(fd, mode)
    print("sent", flush=True)
