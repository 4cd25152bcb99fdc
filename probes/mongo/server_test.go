package mongo_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/supervisor-checks/supervisor-checks/internal/realservers"
)

// server speaks the wire protocol of MongoDB, as far as a probe has it do so: hello,
// SCRAM-SHA-256 for the user probe, and a ping, which needs that.
// See https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/.
type server struct {
	address  string
	password string
	hello    bson.D       // what is added to the answer to hello
	pings    atomic.Int64 // that were answered
}

func newServer(t *testing.T, password string, certificates *realservers.Certificates, hello ...bson.E) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if certificates != nil {
		pair, err := tls.LoadX509KeyPair(certificates.Cert, certificates.Key)
		if err != nil {
			t.Fatal(err)
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}})
	}
	t.Cleanup(func() { l.Close() })
	s := &server{address: l.Addr().String(), password: password, hello: hello}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for session := (&session{server: s}); session.answer(conn) == nil; {
				}
			}()
		}
	}()
	return s
}

// session is one connection.
type session struct {
	*server
	scram         scram
	authenticated bool
}

const (
	opReply = 1
	opQuery = 2004
	opMsg   = 2013
)

// answer reads a message and answers it.
func (s *session) answer(conn io.ReadWriter) error {
	var header struct{ Length, ID, ResponseTo, Op int32 }
	if err := binary.Read(conn, binary.LittleEndian, &header); err != nil {
		return err
	}
	if header.Length < 16 || header.Length > 1<<20 {
		return fmt.Errorf("a message of %d bytes", header.Length)
	}
	body := make([]byte, header.Length-16)
	if _, err := io.ReadFull(conn, body); err != nil {
		return err
	}
	var reply []byte
	switch header.Op {
	case opMsg: // flags, and a section of kind 0
		header.Op, reply = opMsg, []byte{0, 0, 0, 0, 0}
		body = body[5:]
	case opQuery: // flags, the name of a collection, to skip, to return
		header.Op, reply = opReply, make([]byte, 20)
		reply[16] = 1 // document
		body = body[4+bytes.IndexByte(body[4:], 0)+1+8:]
	default:
		return fmt.Errorf("operation %d", header.Op)
	}
	answer, err := bson.Marshal(s.run(bson.Raw(body)))
	if err != nil {
		return err
	}
	reply = append(reply, answer...)
	header.ResponseTo, header.Length = header.ID, int32(16+len(reply))
	var out bytes.Buffer
	binary.Write(&out, binary.LittleEndian, header)
	out.Write(reply)
	_, err = conn.Write(out.Bytes())
	return err
}

// run does a command.
func (s *session) run(command bson.Raw) bson.D {
	first := command.Index(0).Key()
	switch first {
	case "hello", "isMaster", "ismaster":
		return append(bson.D{
			{Key: "ok", Value: 1}, {Key: "helloOk", Value: true}, {Key: "isWritablePrimary", Value: true}, {Key: "ismaster", Value: true},
			{Key: "minWireVersion", Value: 0}, {Key: "maxWireVersion", Value: 21}, {Key: "maxBsonObjectSize", Value: 16 << 20},
			{Key: "maxMessageSizeBytes", Value: 48_000_000}, {Key: "maxWriteBatchSize", Value: 100_000},
			{Key: "saslSupportedMechs", Value: bson.A{"SCRAM-SHA-256"}},
		}, s.hello...)
	case "saslStart", "saslContinue":
		_, payload := command.Lookup("payload").Binary()
		reply, done, ok := s.scram.step(string(payload), s.password)
		if !ok {
			return failure(18, "AuthenticationFailed", "Authentication failed.")
		}
		s.authenticated = s.authenticated || done
		return bson.D{{Key: "ok", Value: 1}, {Key: "conversationId", Value: 1}, {Key: "done", Value: done}, {Key: "payload", Value: []byte(reply)}}
	case "ping":
		if !s.authenticated && s.password != "" {
			return failure(13, "Unauthorized", "Command ping requires authentication")
		}
		s.pings.Add(1)
		return bson.D{{Key: "ok", Value: 1}}
	case "endSessions":
		return bson.D{{Key: "ok", Value: 1}}
	}
	return failure(59, "CommandNotFound", "no such command: '"+first+"'")
}

func failure(code int, name, text string) bson.D {
	return bson.D{{Key: "ok", Value: 0}, {Key: "code", Value: code}, {Key: "codeName", Value: name}, {Key: "errmsg", Value: text}}
}

// scram is the server's side of RFC 7677.
type scram struct{ clientFirst, serverFirst string }

func (s *scram) step(message, password string) (reply string, done, ok bool) {
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	const salt, iterations = "sixteen bytes...", 4096
	if s.serverFirst == "" {
		bare, found := strings.CutPrefix(message, "n,,")
		user, nonce, _ := strings.Cut(bare, ",r=")
		if !found || user != "n=probe" {
			return "", false, false
		}
		s.clientFirst = bare
		s.serverFirst = fmt.Sprintf("r=%sfromtheserver,s=%s,i=%d", nonce, base64.StdEncoding.EncodeToString([]byte(salt)), iterations)
		return s.serverFirst, false, true
	}
	if message == "" { // an empty last one
		return "", true, true
	}
	without, proof, _ := strings.Cut(message, ",p=")
	given, err := base64.StdEncoding.DecodeString(proof)
	salted, saltErr := pbkdf2.Key(sha256.New, password, []byte(salt), iterations, sha256.Size)
	if err != nil || saltErr != nil || len(given) != sha256.Size {
		return "", false, false
	}
	all := s.clientFirst + "," + s.serverFirst + "," + without
	stored := sha256.Sum256(mac(salted, "Client Key"))
	signature := mac(stored[:], all)
	for i := range given {
		given[i] ^= signature[i]
	}
	if sha256.Sum256(given) != stored {
		return "", false, false
	}
	return "v=" + base64.StdEncoding.EncodeToString(mac(mac(salted, "Server Key"), all)), true, true
}
