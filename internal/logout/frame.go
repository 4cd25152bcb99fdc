package logout

import (
	"crypto/rand"
	"fmt"
	"net"
)

// framing tells a connection's messages apart.
type framing func(message []byte) (packets [][]byte, err error)

// nul ends a message, which is JSON and has none within.
func nul(message []byte) ([][]byte, error) { return [][]byte{append(message, 0)}, nil }

// line ends a message, which has no other.
func line(message []byte) ([][]byte, error) { return [][]byte{append(message, '\n')}, nil }

// counted is octet counting, RFC 6587, section 3.4.1.
func counted(message []byte) ([][]byte, error) {
	return [][]byte{append(fmt.Appendf(nil, "%d ", len(message)), message...)}, nil
}

// whole is a datagram for a message.
func whole(message []byte) ([][]byte, error) { return [][]byte{message}, nil }

const (
	packetSize  = 8192 // of GELF over UDP at most, which all of Graylog's inputs take
	chunkHeader = 12
	mostChunks  = 128
)

// chunked is a datagram for a message of GELF, or several with a header of their own.
func chunked(message []byte) ([][]byte, error) {
	if len(message) <= packetSize {
		return whole(message)
	}
	const size = packetSize - chunkHeader
	count := (len(message) + size - 1) / size
	if count > mostChunks {
		return nil, fmt.Errorf("a line of %d bytes is too long for GELF over UDP", len(message))
	}
	header := make([]byte, chunkHeader)
	header[0], header[1] = 0x1e, 0x0f
	rand.Read(header[2:10]) // which of the messages it is
	header[11] = byte(count)
	var packets [][]byte
	for i := range count {
		header[10] = byte(i)
		part := message[i*size : min((i+1)*size, len(message))]
		packets = append(packets, append(append(make([]byte, 0, packetSize), header...), part...))
	}
	return packets, nil
}

// framingOf returns what tells messages to a apart on a connection.
func framingOf(a Address, conn net.Conn) framing {
	switch network := conn.RemoteAddr().Network(); {
	case network == "unix":
		return line
	case network == "tcp" && a.syslog:
		return counted
	case network == "tcp":
		return nul
	case network == "udp" && !a.syslog:
		return chunked
	}
	return whole
}
