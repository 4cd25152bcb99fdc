package command

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// User is somebody whom a program can be run as.
type User struct {
	credential *syscall.Credential // nil is ourselves
	env        []string
}

// FindUser returns the user of that name or number, with all of the user's groups or with
// the one after a colon: "www-data", "33", "www-data:ssl-cert". The error is for a person:
// there is none, or we are not root, who alone may run programs as somebody else.
func FindUser(text string) (*User, error) {
	name, group, hasGroup := strings.Cut(text, ":")
	found, err := user.Lookup(name)
	if err != nil {
		found, err = user.LookupId(name)
	}
	number, isNumber := id(name)
	switch {
	case err == nil:
		number, _ = id(found.Uid)
	case !isNumber:
		return nil, fmt.Errorf("there is no user %q here", name)
	case !hasGroup:
		return nil, fmt.Errorf("user %s is not known here: add the group, as %s:GROUP", name, name)
	}
	c := &syscall.Credential{Uid: number}
	u := &User{credential: c}
	if found != nil {
		u.env = []string{"HOME=" + found.HomeDir, "USER=" + found.Username, "LOGNAME=" + found.Username}
	}
	if hasGroup {
		if c.Gid, err = findGroup(group); err != nil {
			return nil, err
		}
	} else {
		c.Gid, _ = id(found.Gid)
		groups, err := found.GroupIds()
		if err != nil {
			return nil, fmt.Errorf("the groups of user %q: %w", name, err)
		}
		for _, text := range groups {
			if gid, is := id(text); is {
				c.Groups = append(c.Groups, gid)
			}
		}
	}
	if os.Geteuid() != 0 {
		if int(c.Uid) != os.Geteuid() || int(c.Gid) != os.Getegid() {
			return nil, errors.New("only root can run a program as somebody else: have supervisord run this program as root, or leave the user out")
		}
		u.credential = nil
	}
	return u, nil
}

func findGroup(text string) (uint32, error) {
	if found, err := user.LookupGroup(text); err == nil {
		text = found.Gid
	}
	gid, is := id(text)
	if !is {
		return 0, fmt.Errorf("there is no group %q here", text)
	}
	return gid, nil
}

// id is a number of a user or group. The highest one means none of them to the system.
func id(text string) (number uint32, is bool) {
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err == nil && n != math.MaxUint32
}
