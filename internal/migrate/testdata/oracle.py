"""oracle.py FILE: prints what supervisord itself makes of a configuration, as JSON."""
import json
import shlex
import sys

from supervisor.options import ServerOptions

options = ServerOptions()
options.realize(["-n", "-c", sys.argv[1]])
processes, listeners = [], {}
for group in options.process_group_configs:
    for process in group.process_configs:
        if not hasattr(group, "pool_events"):
            processes.append([group.name, process.name])
            continue
        listener = listeners.setdefault(group.name, {"Commands": [], "Environment": process.environment})
        listener["Events"] = sorted(event.__name__ for event in group.pool_events)
        listener["Commands"].append(shlex.split(process.command))
print(json.dumps({"Processes": processes, "Listeners": listeners}))
