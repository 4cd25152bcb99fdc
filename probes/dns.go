package probes

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// DNSConfig configures a probe of a name server.
type DNSConfig struct {
	// Name is what the probe is called. "" means Host.
	Name string

	// Host is the name that is asked for. It is required.
	Host string

	// Type is the kind of record: A, AAAA, CNAME, MX, NS or TXT. "" means any address.
	Type string

	// Server is HOST:PORT of the name server, which is asked for Host as it is. "" means
	// that it is looked up as the system does, in /etc/hosts and with its search list,
	// too.
	Server string

	// Expect are answers of which one must be there: addresses, names in any case with
	// or without the last dot, or texts. None means that any will do.
	Expect []string

	// Timeout bounds all of it. 0 means DefaultTimeout.
	Timeout time.Duration
}

// DNS looks a name up.
type DNS struct {
	cfg    DNSConfig
	name   dnsmessage.Name // Host, from the root
	expect []string        // as answers are
}

// dnsTypes are the kinds of records that are asked for.
var dnsTypes = map[string][]dnsmessage.Type{
	"":      {dnsmessage.TypeA, dnsmessage.TypeAAAA},
	"A":     {dnsmessage.TypeA},
	"AAAA":  {dnsmessage.TypeAAAA},
	"CNAME": {dnsmessage.TypeCNAME},
	"MX":    {dnsmessage.TypeMX},
	"NS":    {dnsmessage.TypeNS},
	"TXT":   {dnsmessage.TypeTXT},
}

// NewDNS returns the probe that cfg describes, or a *ConfigError.
func NewDNS(cfg DNSConfig) (*DNS, error) {
	_, notAddress := netip.ParseAddr(cfg.Host)
	name, notName := dnsmessage.NewName(absolute(cfg.Host))
	if notName == nil {
		_, notName = question(0, name, dnsmessage.TypeA)
	}
	switch {
	case cfg.Host == "":
		return nil, refuse("dns", "host", "is required: the name that is looked up")
	case notAddress == nil:
		return nil, refuse("dns", "host", "%q is an address: there is nothing to look up", cfg.Host)
	case notName != nil:
		return nil, refuse("dns", "host", "%q is not a name", cfg.Host)
	case dnsTypes[cfg.Type] == nil:
		return nil, refuse("dns", "type", "%q is none of A, AAAA, CNAME, MX, NS, TXT", cfg.Type)
	case cfg.Timeout < 0:
		return nil, refuse("dns", "timeout", "%v is less than 0", cfg.Timeout)
	}
	p := &DNS{cfg: cfg, name: name}
	p.cfg.Name, p.cfg.Timeout = cmp.Or(cfg.Name, cfg.Host), cmp.Or(cfg.Timeout, DefaultTimeout)
	if cfg.Server != "" {
		host, port, err := net.SplitHostPort(cfg.Server)
		if err != nil || host == "" || port == "" {
			return nil, refuse("dns", "server", "%q is not HOST:PORT", cfg.Server)
		}
	}
	for _, wanted := range cfg.Expect {
		switch cfg.Type {
		case "TXT":
		case "CNAME", "MX", "NS":
			wanted = canonical(wanted)
		default:
			address, err := netip.ParseAddr(wanted)
			if err != nil {
				return nil, refuse("dns", "expect", "%q is not an address", wanted)
			}
			wanted = address.Unmap().String()
		}
		p.expect = append(p.expect, wanted)
	}
	return p, nil
}

func absolute(name string) string { return strings.TrimSuffix(name, ".") + "." }

func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// Name returns the name.
func (p *DNS) Name() string { return p.cfg.Name }

// Check looks the name up. No answer, and none that is expected, is an error.
func (p *DNS) Check(ctx context.Context) error {
	ctx, cancel := WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	return Because(ctx, p.look(ctx))
}

func (p *DNS) look(ctx context.Context) error {
	var answers []string
	if p.cfg.Server == "" {
		var err error
		if answers, err = p.lookUp(ctx); err != nil {
			return err
		}
	} else {
		for _, kind := range dnsTypes[p.cfg.Type] {
			more, err := p.ask(ctx, kind)
			if err != nil {
				return err
			}
			if answers = append(answers, more...); p.met(answers) {
				break
			}
		}
	}
	switch {
	case len(answers) == 0:
		return errors.New("there is no such record")
	case !p.met(answers):
		return fmt.Errorf("it answers %s, not %s", strings.Join(answers, ", "), strings.Join(p.expect, " or "))
	}
	return nil
}

// met reports whether there is an answer that will do.
func (p *DNS) met(answers []string) bool {
	return slices.ContainsFunc(answers, func(a string) bool { return p.expect == nil || slices.Contains(p.expect, a) })
}

// lookUp asks as the system does.
func (p *DNS) lookUp(ctx context.Context) (answers []string, err error) {
	resolver := &net.Resolver{PreferGo: true}
	switch p.cfg.Type {
	case "CNAME":
		name, err := resolver.LookupCNAME(ctx, p.name.String())
		if name = canonical(name); err != nil || name == canonical(p.cfg.Host) { // which has addresses of its own
			return nil, err
		}
		return []string{name}, nil
	case "MX":
		records, err := resolver.LookupMX(ctx, p.cfg.Host)
		for _, r := range records {
			answers = append(answers, canonical(r.Host))
		}
		return answers, err
	case "NS":
		records, err := resolver.LookupNS(ctx, p.cfg.Host)
		for _, r := range records {
			answers = append(answers, canonical(r.Host))
		}
		return answers, err
	case "TXT":
		return resolver.LookupTXT(ctx, p.cfg.Host)
	}
	network := map[string]string{"": "ip", "A": "ip4", "AAAA": "ip6"}[p.cfg.Type]
	addresses, err := resolver.LookupNetIP(ctx, network, p.cfg.Host)
	for _, a := range addresses {
		answers = append(answers, a.Unmap().String())
	}
	return answers, err
}

// ask asks the name server for records of a kind: by UDP and, where that cuts the answer
// short, by TCP.
func (p *DNS) ask(ctx context.Context, kind dnsmessage.Type) ([]string, error) {
	id := uint16(rand.Uint32())
	query, err := question(id, p.name, kind)
	if err != nil {
		return nil, err
	}
	read := func(packet []byte) (m dnsmessage.Message, is bool) {
		var parser dnsmessage.Parser
		header, err := parser.Start(packet)
		if err != nil {
			return m, false
		}
		m.Header = header
		questions, err := parser.AllQuestions()
		if err != nil || !m.Response || m.ID != id || len(questions) != 1 || questions[0].Type != kind || !strings.EqualFold(questions[0].Name.String(), p.name.String()) {
			return m, false
		}
		return m, m.Truncated || m.Unpack(packet) == nil
	}
	var answer dnsmessage.Message
	for _, network := range []string{"udp", "tcp"} {
		conn, err := new(net.Dialer).DialContext(ctx, network, p.cfg.Server)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
		defer stop()
		exchange := overUDP
		if network == "tcp" {
			exchange = overTCP
		}
		if answer, err = exchange(ctx, conn, query, read); err != nil {
			return nil, err
		}
		if !answer.Truncated {
			break
		}
	}
	if answer.RCode != dnsmessage.RCodeSuccess {
		failed := &net.DNSError{Name: p.cfg.Host, Server: p.cfg.Server, IsNotFound: answer.RCode == dnsmessage.RCodeNameError}
		if failed.Err = "the name server answers " + strings.TrimPrefix(answer.RCode.String(), "RCode"); failed.IsNotFound {
			failed.Err = "no such host"
		}
		return nil, failed
	}
	var answers []string
	for _, r := range answer.Answers {
		if r.Header.Type == kind { // and not the CNAME on the way there
			answers = append(answers, recordText(r.Body))
		}
	}
	return answers, nil
}

// question returns the packet that asks for records of a kind.
func question(id uint16, name dnsmessage.Name, kind dnsmessage.Type) ([]byte, error) {
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: id, RecursionDesired: true}}
	m.Questions = []dnsmessage.Question{{Name: name, Type: kind, Class: dnsmessage.ClassINET}}
	return m.Pack()
}

// recordText is what a record says.
func recordText(record dnsmessage.ResourceBody) string {
	switch r := record.(type) {
	case *dnsmessage.AResource:
		return netip.AddrFrom4(r.A).String()
	case *dnsmessage.AAAAResource:
		return netip.AddrFrom16(r.AAAA).Unmap().String()
	case *dnsmessage.CNAMEResource:
		return canonical(r.CNAME.String())
	case *dnsmessage.MXResource:
		return canonical(r.MX.String())
	case *dnsmessage.NSResource:
		return canonical(r.NS.String())
	case *dnsmessage.TXTResource:
		return strings.Join(r.TXT, "")
	}
	return ""
}

// overUDP sends the query, again each second as packets may be lost, and waits for its
// answer. Others may send something, too, which is none.
func overUDP(ctx context.Context, conn net.Conn, query []byte, read func([]byte) (dnsmessage.Message, bool)) (answer dnsmessage.Message, err error) {
	packet := make([]byte, 1<<16)
	for {
		if _, err := conn.Write(query); err != nil {
			return answer, err
		}
		for again := time.Now().Add(time.Second); ; {
			conn.SetReadDeadline(again)
			if ctx.Err() != nil { // whose end may just have set another
				return answer, ctx.Err()
			}
			n, err := conn.Read(packet)
			var late net.Error
			if errors.As(err, &late) && late.Timeout() && ctx.Err() == nil {
				break
			}
			if err != nil {
				return answer, err
			}
			if answer, is := read(packet[:n]); is {
				return answer, nil
			}
		}
	}
}

// overTCP sends the query after its length, and reads the answer after its.
func overTCP(_ context.Context, conn net.Conn, query []byte, read func([]byte) (dnsmessage.Message, bool)) (answer dnsmessage.Message, err error) {
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)); err != nil {
		return answer, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return answer, err
	}
	packet := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, packet); err != nil {
		return answer, err
	}
	answer, is := read(packet)
	if !is {
		return answer, errors.New("what the name server says is no answer")
	}
	return answer, nil
}
