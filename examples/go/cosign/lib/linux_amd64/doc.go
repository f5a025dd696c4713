// Package linux_amd64 holds cosign.h and libcosign.a for the build tag cosign_static.
package linux_amd64
