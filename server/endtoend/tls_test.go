package endtoend_test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"peal/scripts/testca"
	"peal/server"
)

// overTLS is the name of the test that runs others with TLS.
const overTLS = "TestOverTLS"

// TestOverTLS runs tests of every transport against servers with TLS: what holds without
// it holds with it.
func TestOverTLS(t *testing.T) {
	believe(t)
	for _, test := range []func(*testing.T){
		TestCommandsMissAndRepeatNothing,
		TestCommandHistoryToASlowReader,
		TestDrainSaysGoodByeToCommanders,
		TestOneConnectionForEverything,
		TestPipelinedRequestsAreAnsweredInOrder,
		TestRequestsBehindAParkedPollWait,
		TestAClientThatHangsUpIsForgotten,
		TestHTTP10,
		TestConnectionCloseIsObeyed,
		TestExpectContinue,
		TestChunkedUpload,
		TestTooLarge,
		TestForeignHostsAndOriginsAreRefused,
		TestACrowdHasEveryMessageOnceAndInOneOrder,
		TestForeignCursorIsToldAsAGapOnAllTransports,
		TestCursorOfOneTransportResumesOnAnother,
		TestDisconnectEndsAllConnectionsOfAClient,
		TestAResumedStreamBeginsWithWhatWasMissed,
		TestConnectionsEndWithTheirToken,
		TestARenewalMissesAndRepeatsNothing,
		TestHalfClosedClientIsAnsweredOnEveryRoute,
		TestHalfClosedPollLeaves,
		TestSlowRequestsAreRefusedInWords,
		TestPollIsHeldUntilAMessageComes,
		TestPollAnswersAtOnceWhatWaits,
		TestPollRawIsOneMessageAtATime,
		TestPollAnswerIsBounded,
		TestSIGTERMInTheMiddleOfAFanOut,
		TestParkedPollsAreAnsweredAtTheEnd,
		TestPublishTakesWhatClientsSend,
		TestPublishBatch,
		TestPublishRefusals,
		TestChannelsAndHistory,
		TestSlowConsumersByTheRuleOfTheirChannel,
		TestSSEHeadAndPositionComeAtOnce,
		TestSSEEventsAndData,
		TestSSEJSONFormat,
		TestSSEResumesByLastEventID,
		TestWebSocketMessageReachesEveryClientAndItsSender,
		TestWebSocketSubprotocol,
		TestWebSocketJSONFormat,
		TestWebSocketTwoChannelsHaveOneOrder,
		TestWebSocketRefusalsComeAsCloseCodes,
		TestWebSocketCursors,
		TestAccessLog,
		TestPHPPublishes,
		TestPHPPublishesWithCurl,
		TestPHPReceivesByPolling,
		TestPHPReceivesServerSentEvents,
		TestPHPClientPublishesAndReadsBack,
		TestClientInNode,
		TestOwnPageShowsAllTransports,
	} {
		name := runtime.FuncForPC(reflect.ValueOf(test).Pointer()).Name()
		t.Run(strings.TrimPrefix(name[strings.LastIndexByte(name, '.')+1:], "Test"), test)
	}
}

func isOverTLS(t testing.TB) bool { return strings.HasPrefix(t.Name(), overTLS+"/") }

// encrypted is the certificate of all servers in TestOverTLS, which sets it.
var encrypted struct {
	ca        *testca.CA
	cert, key string
}

// encrypt gives a server a certificate in tests of TestOverTLS, and returns what its
// clients trust.
func encrypt(t testing.TB, c *server.Config) *tls.Config {
	if !isOverTLS(t) {
		return nil
	}
	c.TLS.Certs, c.TLS.Keys = []string{encrypted.cert}, []string{encrypted.key}
	return trusting(encrypted.ca)
}

// believe has the programs that tests start trust the authority of encrypted: PHP, Node, and
// the browser, which knows the certificate.
func believe(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	encrypted.ca = testca.New(t, "Test")
	encrypted.cert, encrypted.key = encrypted.ca.Files(dir, "server", testca.Leaf{})
	root, ini := encrypted.ca.File(dir, "root"), filepath.Join(dir, "ini")
	if err := os.Mkdir(ini, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(ini, "ca.ini"), []byte("curl.cainfo="+root+"\nopenssl.cafile="+root+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(encrypted.cert)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	for name, value := range map[string]string{"PHP_INI_SCAN_DIR": ":" + ini, "NODE_EXTRA_CA_CERTS": root, knownKey: base64.StdEncoding.EncodeToString(sum[:])} {
		if err := os.Setenv(name, value); err != nil { // not t.Setenv: tests of it run in parallel
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Unsetenv(name) })
	}
}

// knownKey names the variable with the digest of the public key that the browser accepts.
const knownKey = "ENDTOEND_PUBLIC_KEY"

// encryptionFlags are those of encrypt for a process.
func encryptionFlags(t testing.TB) (trust *tls.Config, flags []string) {
	var c server.Config
	if trust = encrypt(t, &c); trust == nil {
		return nil, nil
	}
	return trust, []string{"--tls-cert", c.TLS.Certs[0], "--tls-key", c.TLS.Keys[0]}
}

// trusting is what a client of a server with a certificate of ca needs.
func trusting(ca *testca.CA) *tls.Config {
	return &tls.Config{RootCAs: ca.Pool, ServerName: "localhost"}
}

// trusts makes p a server with TLS, if trust is not nil.
func (p *peal) trusts(trust *tls.Config) {
	if p.trust = trust; trust == nil {
		return
	}
	p.url = "https://" + p.addr
	p.client.Transport.(*http.Transport).TLSClientConfig = trust
}

// ws is the URL of WebSockets.
func (p *peal) ws() string { return strings.Replace(p.url, "http", "ws", 1) }

// connect opens a connection, over which the test speaks HTTP.
func (p *peal) connect() (net.Conn, error) {
	c, err := net.DialTimeout("tcp", p.addr, patience)
	if err != nil || p.trust == nil {
		return c, err
	}
	return tls.Client(c, p.trust), nil // shakes hands with the first byte
}

// tcp is the connection below TLS, if there is TLS.
func tcp(c net.Conn) *net.TCPConn {
	if secured, ok := c.(*tls.Conn); ok {
		c = secured.NetConn()
	}
	return c.(*net.TCPConn)
}

// endSide ends the client's side of a connection, as its protocol does that.
func endSide(c net.Conn) error { return c.(interface{ CloseWrite() error }).CloseWrite() }
