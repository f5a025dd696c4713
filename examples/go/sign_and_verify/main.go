// Sign_and_verify signs the image that the first argument names with a new key, and verifies it.
//
//	cp -r ../../image /tmp/image && go run . oci:/tmp/image:v1
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"example.com/libcosign/cosign"
)

func run(image string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	key, err := cosign.GenerateKey("")
	if err != nil {
		return err
	}
	defer key.Close()
	public, err := key.Public()
	if err != nil {
		return err
	}
	client, err := cosign.NewClient(nil)
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := client.Sign(ctx, image, key, nil); err != nil {
		return err
	}
	v, err := client.Verify(ctx, image, &cosign.Policy{Keys: []*cosign.PublicKey{public}})
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d good signature(s)\n", v.Digest, len(v.Signatures))
	return nil
}

func main() {
	image := "oci:image:v1"
	if len(os.Args) > 1 {
		image = os.Args[1]
	}
	if err := run(image); err != nil {
		log.Fatal(err)
	}
}
