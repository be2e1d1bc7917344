// Stands for google.golang.org/api, 390 megabytes of which step-ca uses one package, for tokens of its GCP provisioner.
module google.golang.org/api

go 1.25.0
