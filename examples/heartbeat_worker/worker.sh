#!/bin/sh
# A worker in shell that says that it still works. supervisord runs it as
# command=/path/to/worker.sh, so that the shell is the process it knows.
while :; do
	sleep 1 # the work
	supervisor_notify
done
