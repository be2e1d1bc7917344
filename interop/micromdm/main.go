// Command micromdm-driver runs one SCEP operation with micromdm's library, or serves its server with AES.
//
//	micromdm-driver caps   URL FOLDER
//	micromdm-driver enrol  URL FOLDER COMMON-NAME CHALLENGE
//	micromdm-driver renew  URL FOLDER COMMON-NAME
//	micromdm-driver poll   URL FOLDER COMMON-NAME TRANSACTION-ID
//	micromdm-driver serve  CA-PEM FOLDER CHALLENGE
//
// Keys and certificates live as PEM files in FOLDER. Exit codes are those of scep-kem: 0 done, 3 pending, 4 refused
// with a failInfo, 1 anything else.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/go-kit/kit/log"
	scepclient "github.com/micromdm/scep/v2/client"
	"github.com/smallstep/pkcs7"
	"github.com/smallstep/scep"
)

const (
	exitPending = 3
	exitRefused = 4
)

func main() {
	// The library's default is single DES, which RFC 8894 section 2.9 forbids; this global is the only switch.
	pkcs7.ContentEncryptionAlgorithm = pkcs7.EncryptionAlgorithmAES128CBC
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Println("ERROR", err)
		code = 1
	}
	os.Exit(code)
}

func run(args []string) (int, error) {
	if len(args) < 3 {
		return 2, fmt.Errorf("usage: OPERATION URL FOLDER [ARGUMENTS]")
	}
	if args[0] == "serve" {
		return 0, serve(args[1], args[2], args[3])
	}
	peer, err := connect(args[1], args[2])
	if err != nil {
		return 1, err
	}
	switch args[0] {
	case "caps":
		caps, err := peer.client.GetCACaps(context.Background())
		fmt.Printf("CAPS %q\n", caps)
		return 0, err
	case "enrol":
		return peer.enrol(args[3], args[4])
	case "renew":
		return peer.renew(args[3])
	case "poll":
		return peer.poll(args[3], args[4])
	}
	return 2, fmt.Errorf("unknown operation %s", args[0])
}

// peer is a server, with its CA certificates already fetched, and the folder of one client.
type peer struct {
	client scepclient.Client
	folder string
	ca     []certificate
}

func connect(url, folder string) (*peer, error) {
	client, err := scepclient.New(url, log.NewLogfmtLogger(os.Stderr))
	if err != nil {
		return nil, err
	}
	answer, number, err := client.GetCACert(context.Background(), "")
	if err != nil {
		return nil, err
	}
	var ca []certificate
	if number > 1 {
		ca, err = scep.CACerts(answer)
	} else {
		ca, err = parseCertificates(answer)
	}
	return &peer{client: client, folder: folder, ca: ca}, err
}

func (p *peer) enrol(commonName, challenge string) (int, error) {
	key, err := newKey(p.folder, "key.pem")
	if err != nil {
		return 1, err
	}
	identity, err := selfSigned(p.folder, commonName, key)
	if err != nil {
		return 1, err
	}
	csr, err := certificationRequest(commonName, challenge, key)
	if err != nil {
		return 1, err
	}
	return p.exchange(scep.PKCSReq, csr, transactionID(key), identity, key)
}

// renew asks for a new key with a RenewalReq that the old certificate signs.
func (p *peer) renew(commonName string) (int, error) {
	old, oldKey, err := readIdentity(p.folder, "cert.pem", "key.pem")
	if err != nil {
		return 1, err
	}
	key, err := newKey(p.folder, "new-key.pem")
	if err != nil {
		return 1, err
	}
	csr, err := certificationRequest(commonName, "", key)
	if err != nil {
		return 1, err
	}
	return p.exchange(scep.RenewalReq, csr, transactionID(key), old, oldKey)
}

// poll sends a CertPoll. The library has the constant but no encoder for it, so the message is put together from its
// pkcs7 package like every other one here.
func (p *peer) poll(commonName, transaction string) (int, error) {
	identity, key, err := readIdentity(p.folder, "identity.pem", "key.pem")
	if err != nil {
		return 1, err
	}
	content, err := issuerAndSubject(p.ca[0], commonName)
	if err != nil {
		return 1, err
	}
	return p.exchange(scep.CertPoll, content, scep.TransactionID(transaction), identity, key)
}
