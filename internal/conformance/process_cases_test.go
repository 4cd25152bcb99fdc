package conformance

// memoryCases are those of supervisor_memory_check.
var memoryCases = []test{
	{name: "less than the limit", program: "memory", args: "-n x -g web -m 100000000", set: as(alone), want: healthy},
	{name: "more than the limit", program: "memory", args: "-n x -g web -m 1", set: as(alone), want: unhealthy},
	{name: "as much as the limit", program: "memory", args: "-n x -g web -m $OWN", set: as(alone), want: healthy},
	{name: "a little more than the limit", program: "memory", args: "-n x -g web -m $OWN_LESS", set: as(alone), want: unhealthy},
	{name: "a child does not count", program: "memory", args: "-n x -g web -m $OWN", set: as(withChild), want: healthy},
	{name: "a child counts", program: "memory", args: "-n x -g web -m $OWN -c", set: as(withChild), want: unhealthy},
	{name: "as much as the limit, with a child", program: "memory", args: "-n x -g web -m $ALL -c", set: as(withChild), want: healthy},
	{name: "more than the limit, with a child", program: "memory", args: "-n x -g web -m $ALL_LESS --cumulative", set: as(withChild), want: unhealthy},
	{name: "without a child, but counting them", program: "memory", args: "-n x -g web -m $OWN -c", set: as(alone), want: healthy},
	{name: "a child that is a zombie", program: "memory", args: "-n x -g web -m 100000000 -c", set: as(withZombie), want: healthy},
	{name: "a zombie", program: "memory", args: "-n x -g web -m 1", set: as(zombie), want: healthy},
	{name: "a process that is gone", program: "memory", args: "-n x -g web -m 1", set: as(gone), want: unknown},
	{name: "a process that is gone, with its children", program: "memory", args: "-n x -g web -m 1 -c", set: as(gone), want: unknown},
	{name: "at every tick", program: "memory", args: "-n x -g web -m 100000000", set: as(alone), do: "TICK_60 TICK_60 TERM", want: expectation{finds: "healthy; healthy"}},
	{name: "the option as it is spelt", program: "memory", args: "-n x -g web --msx-rss 1", set: as(alone), want: unhealthy},
	{name: "its beginning", program: "memory", args: "-n x -g web --msx 1", set: as(alone), want: unhealthy},
	{name: "another beginning", program: "memory", args: "--c x --process-g web --m=1", set: as(alone), want: refuses("ambiguous option: --c")},
	{name: "the beginning of cumulative", program: "memory", args: "-n x -g web -m $OWN --cumul", set: as(withChild), want: unhealthy},
	{name: "bundled options", program: "memory", args: "-n x -g web -cm$OWN", set: as(withChild), want: unhealthy},
	{name: "a bundle with an equals sign", program: "memory", args: "-n x -g web -cm=$OWN", set: as(withChild), differs: rowLenient, python: refuses("argument -m/--msx-rss"), ours: unhealthy},
	{name: "a limit with an underscore and a plus", program: "memory", args: "-n x -g web -m +100_000_000", set: as(alone), want: healthy},
	{name: "a limit with a unit", program: "memory", args: "-n x -g web -m 100TiB", set: as(alone), differs: rowLenient, python: refuses("argument -m/--msx-rss"), ours: healthy},
	{name: "a limit of 0", program: "memory", args: "-n x -g web -m 0", set: as(alone), differs: rowNoLimit, python: unhealthy, ours: refuses("argument -m/--msx-rss")},
	{name: "a limit of less than 0", program: "memory", args: "-n x -g web -m -5", set: as(alone), differs: rowNoLimit, python: unhealthy, ours: refuses("argument -m/--msx-rss")},
}

// cpuCases are those of supervisor_cpu_check. Both programs see each tick at the
// same time, since Python's takes its time over one.
var cpuCases = []test{
	{name: "idle", program: "cpu", args: "-n x -g web -p 50 -i 0", set: as(alone), do: "TICK_60 TICK_60 TERM", together: true,
		differs: rowCPU, python: expectation{finds: "healthy; healthy"}, ours: expectation{finds: "unknown; healthy"}},
	{name: "busy", program: "cpu", args: "-n x -g web -p 1 -i 0", set: as(spinner), do: "TICK_60 TICK_60 TERM", together: true,
		differs: rowCPU, python: expectation{finds: "healthy; unhealthy"}, ours: expectation{finds: "unknown; unhealthy"}},
	{name: "busy, but not for long", program: "cpu", args: "-n x -g web -p 1 -i 3600", set: as(spinner), do: "TICK_60 TICK_60 TERM", together: true,
		differs: rowCPU, python: expectation{finds: "healthy; healthy"}, ours: expectation{finds: "unknown; unknown"}},
	{name: "busy, and may be", program: "cpu", args: "-n x -g web --max 10000 --int 0", set: as(spinner), do: "TICK_60 TICK_60 TERM", together: true,
		differs: rowCPU, python: expectation{finds: "healthy; healthy"}, ours: expectation{finds: "unknown; healthy"}},
	{name: "busy, and then another run of it is", program: "cpu", args: "-n x -g web -p 1 -i 0", do: "TICK_60 AGAIN TICK_60 TERM", together: true, set: func(w *world) {
		w.runsAs("web:a", spinner(w.t))
		w.steps["AGAIN"] = func() { w.runsAs("web:a", anotherSpinner(w.t)) }
	}, differs: rowCPUState,
		python: expectation{finds: "healthy; unhealthy", leaves: "web:a RUNNING 2"}, ours: expectation{finds: "unknown; unknown", leaves: "web:a RUNNING 1"}},
	{name: "a process that is gone", program: "cpu", args: "-n x -g web -p 50 -i 0", set: as(gone), do: "TICK_60 TICK_60 TERM", want: expectation{finds: "unknown; unknown"}},
	{name: "a limit of less than 0", program: "cpu", args: "-n x -g web -p -1 -i 0", set: as(gone), differs: rowNoLimit, python: unknown, ours: refuses("argument -p/--max-cpu-percent")},
	{name: "a limit with a fraction", program: "cpu", args: "-n x -g web -p 99.5 -i 0", set: as(gone), differs: rowLenient, python: refuses("argument -p/--max-cpu-percent"), ours: unknown},
	{name: "an interval of less than 0", program: "cpu", args: "-n x -g web -p 50 -i=-1", set: as(gone), differs: rowNoLimit, python: unknown, ours: refuses("argument -i/--interval")},
}
