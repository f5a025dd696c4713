module example.com/libcosign/cosign

go 1.24
