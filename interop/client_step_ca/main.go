// step-ca's certificate authority with its SCEP provisioners and nothing else of it: no ACME, no TLS, no cloud. It does
// what step-ca's own main does for SCEP (ca/ca.go): reads a ca.json, makes the authority, and mounts scep/api.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/go-chi/chi/v5"
	"github.com/smallstep/certificates/authority"
	"github.com/smallstep/certificates/authority/config"
	"github.com/smallstep/certificates/logging"
	"github.com/smallstep/certificates/scep"
	"github.com/smallstep/certificates/scep/api"

	_ "github.com/smallstep/certificates/cas/softcas"
	_ "go.step.sm/crypto/kms/softkms"
)

func main() {
	if err := serve(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

// serve answers at http://127.0.0.1:PORT/scep/PROVISIONER, and prints that URL without the provisioner.
func serve(configuration string) error {
	settings, err := config.LoadConfiguration(configuration)
	if err != nil {
		return err
	}
	ca, err := authority.New(settings)
	if err != nil {
		return err
	}
	logger, err := logging.New("ca", settings.Logger)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	router := chi.NewRouter()
	router.Route("/scep", func(r chi.Router) { api.Route(r) })
	fmt.Printf("URL: http://%s/scep\n", listener.Addr())
	server := http.Server{
		Handler: logger.Middleware(router),
		BaseContext: func(net.Listener) context.Context {
			return scep.NewContext(authority.NewContext(context.Background(), ca), ca.GetSCEP())
		},
	}
	return server.Serve(listener)
}
