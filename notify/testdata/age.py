"""Prints how old a heartbeat is in seconds, as supervisor_checks judges it."""

import os
import sys
import time

print(time.time() - os.lstat(sys.argv[1]).st_ctime)
