package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"fmt"

	"github.com/smallstep/pkcs7"
	"github.com/smallstep/scep"
)

// Attributes of RFC 8894 section 3.2.1; the library keeps its own copies private.
var (
	oidMessageType    = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 2}
	oidPkiStatus      = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 3}
	oidSenderNonce    = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 5}
	oidRecipientNonce = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 6}
	oidTransactionID  = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 7}
)

// encode makes a pkiMessage. scep.NewCSRRequest would do, but signs with SHA-1 and offers no way to change that, so
// this repeats its steps with the digest set to SHA-256.
func (p *peer) encode(kind scep.MessageType, content []byte, transaction scep.TransactionID, nonce []byte,
	signer certificate, key *rsa.PrivateKey) ([]byte, error) {
	envelope, err := pkcs7.Encrypt(content, p.ca)
	if err != nil {
		return nil, err
	}
	signed, err := pkcs7.NewSignedData(envelope)
	if err != nil {
		return nil, err
	}
	signed.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	attributes := pkcs7.SignerInfoConfig{ExtraSignedAttributes: []pkcs7.Attribute{
		{Type: oidTransactionID, Value: transaction},
		{Type: oidMessageType, Value: kind},
		{Type: oidSenderNonce, Value: nonce},
	}}
	if err := signed.AddSigner(signer, key, attributes); err != nil {
		return nil, err
	}
	return signed.Finish()
}

// exchange sends a request, lets the library verify and decrypt the answer and stores the certificate.
func (p *peer) exchange(kind scep.MessageType, content []byte, transaction scep.TransactionID, signer certificate,
	key *rsa.PrivateKey) (int, error) {
	nonce := make([]byte, 16)
	if _, err := rand.Read(nonce); err != nil {
		return 1, err
	}
	message, err := p.encode(kind, content, transaction, nonce, signer, key)
	if err != nil {
		return 1, err
	}
	answer, err := p.client.PKIOperation(context.Background(), message)
	if err != nil {
		return 1, err
	}
	reply, err := scep.ParsePKIMessage(answer, scep.WithCACerts(p.ca))
	if err != nil {
		return 1, fmt.Errorf("answer not understood: %w", err)
	}
	if !bytes.Equal(reply.RecipientNonce, nonce) {
		return 1, fmt.Errorf("recipientNonce %x is not our senderNonce %x", reply.RecipientNonce, nonce)
	}
	fmt.Println("TRANSACTION", transaction)
	switch reply.PKIStatus {
	case scep.PENDING:
		fmt.Println("PENDING")
		return exitPending, nil
	case scep.FAILURE:
		fmt.Println("FAILURE", reply.FailInfo)
		return exitRefused, nil
	}
	if err := reply.DecryptPKIEnvelope(signer, key); err != nil {
		return 1, fmt.Errorf("answer not decrypted: %w", err)
	}
	issued := reply.CertRepMessage.Certificate
	fmt.Println("ISSUED", issued.Subject, "serial", issued.SerialNumber)
	return 0, writeCertificate(p.folder, "cert.pem", issued)
}
