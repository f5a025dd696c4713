module example.com/libcosign/tests

go 1.24

require example.com/libcosign/cosign v0.0.0

replace example.com/libcosign/cosign => ../../examples/go/cosign
