//go:build !linux

package proc

func descriptors(pid int) (int, error) {
	p, err := find(pid)
	if err != nil {
		return 0, err
	}
	n, err := p.NumFDs()
	return int(n), err
}

func countThreads(pid int) (int, error) {
	p, err := find(pid)
	if err != nil {
		return 0, err
	}
	n, err := p.NumThreads()
	return int(n), err
}
