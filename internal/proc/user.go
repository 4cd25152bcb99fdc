package proc

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"strconv"

	"github.com/shirou/gopsutil/v3/process"
)

// User returns the name of the user that we run as, or its id where it has none.
func User() string {
	uid := strconv.Itoa(os.Geteuid())
	if u, err := user.LookupId(uid); err == nil {
		return u.Username
	}
	return uid
}

// UIDs returns the user ids that the process pid runs under: real, effective
// and saved, as far as the system tells them apart. It fails when there is no
// such process, or when the system does not let us see it.
func UIDs(ctx context.Context, pid int) ([]uint32, error) {
	p, err := process.NewProcessWithContext(ctx, int32(pid))
	if err != nil {
		return nil, fmt.Errorf("find process %d: %w", pid, err)
	}
	ids, err := p.UidsWithContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the user ids of process %d: %w", pid, err)
	}
	uids := make([]uint32, len(ids))
	for i, id := range ids {
		uids[i] = uint32(id)
	}
	return uids, nil
}
