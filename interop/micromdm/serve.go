package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/go-kit/kit/log"
	scepdepot "github.com/micromdm/scep/v2/depot"
	"github.com/micromdm/scep/v2/depot/file"
	scepserver "github.com/micromdm/scep/v2/server"
)

// serve is micromdm's scepserver with one difference: main has set the library's cipher to AES-128-CBC, which the
// stock binary has no option for. Its answers stay signed with SHA-1. The depot in folder was made with
// `scepserver ca -init -key-password x`.
func serve(caFile, folder, challenge string) error {
	depot, err := file.NewFileDepot(folder)
	if err != nil {
		return err
	}
	certs, key, err := depot.CA([]byte("x"))
	if err != nil {
		return err
	}
	if err := writeCertificate(filepath.Dir(caFile), filepath.Base(caFile), certs[0]); err != nil {
		return err
	}
	signer := scepserver.StaticChallengeMiddleware(challenge, scepserver.SignCSRAdapter(
		scepdepot.NewSigner(depot, scepdepot.WithCAPass("x"), scepdepot.WithAllowRenewalDays(0))))
	logger := log.NewLogfmtLogger(os.Stderr)
	service, err := scepserver.NewService(certs[0], key, signer, scepserver.WithLogger(logger))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("URL: http://%s/scep\n", listener.Addr())
	return http.Serve(listener, scepserver.MakeHTTPHandler(scepserver.MakeServerEndpoints(service), service, logger))
}
