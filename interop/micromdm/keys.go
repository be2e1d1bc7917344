package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/smallstep/scep"
	"github.com/smallstep/scep/x509util"
)

type certificate = *x509.Certificate

func parseCertificates(der []byte) ([]certificate, error) {
	return x509.ParseCertificates(der)
}

func subject(commonName string) pkix.Name {
	return pkix.Name{CommonName: commonName, Organization: []string{"interop"}}
}

func newKey(folder, name string) (*rsa.PrivateKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	return key, writePEM(folder, name, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
}

// transactionID is the SHA-256 of the public key in hex: a PrintableString, unlike the base64 that scepclient uses,
// which has '=' and so is a legal but odd one too.
func transactionID(key *rsa.PrivateKey) scep.TransactionID {
	sum := sha256.Sum256(x509.MarshalPKCS1PublicKey(&key.PublicKey))
	return scep.TransactionID(hex.EncodeToString(sum[:]))
}

func selfSigned(folder, commonName string, key *rsa.PrivateKey) (certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      subject(commonName),
		NotBefore:    time.Now().Add(-time.Minute),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	identity, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return identity, writeCertificate(folder, "identity.pem", identity)
}

// certificationRequest is made by smallstep/scep's x509util, because crypto/x509 cannot write a challengePassword.
func certificationRequest(commonName, challenge string, key *rsa.PrivateKey) ([]byte, error) {
	template := &x509util.CertificateRequest{
		CertificateRequest: x509.CertificateRequest{
			Subject:            subject(commonName),
			SignatureAlgorithm: x509.SHA256WithRSA,
		},
		ChallengePassword: challenge,
	}
	return x509util.CreateCertificateRequest(rand.Reader, template, key)
}

// issuerAndSubject is the content of a CertPoll, RFC 8894 section 3.3.3.
func issuerAndSubject(ca certificate, commonName string) ([]byte, error) {
	name, err := asn1.Marshal(subject(commonName).ToRDNSequence())
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(struct{ Issuer, Subject asn1.RawValue }{
		asn1.RawValue{FullBytes: ca.RawSubject},
		asn1.RawValue{FullBytes: name},
	})
}

func readIdentity(folder, certName, keyName string) (certificate, *rsa.PrivateKey, error) {
	certDER, err := readPEM(folder, certName)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(certDER)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := readPEM(folder, keyName)
	if err != nil {
		return nil, nil, err
	}
	key, err := x509.ParsePKCS1PrivateKey(keyDER)
	return cert, key, err
}

func writeCertificate(folder, name string, cert certificate) error {
	return writePEM(folder, name, "CERTIFICATE", cert.Raw)
}

func writePEM(folder, name, kind string, der []byte) error {
	return os.WriteFile(filepath.Join(folder, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

func readPEM(folder, name string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s: no PEM", name)
	}
	return block.Bytes, nil
}
